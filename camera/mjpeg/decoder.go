// Package mjpeg reads the JPEG pictures that cameras send: it cuts a stream of
// them into pictures and decodes their luma.
//
// The standard library's decoder makes a new picture each time, colours it,
// and wants Huffman tables, which many USB cameras leave out. This one decodes
// what cameras send into a frame that the caller owns: JPEG (ITU-T T.81) of 8
// bits a sample with Huffman codes, sequential and progressive, grey, YCbCr,
// RGB, CMYK and YCCK. It does no work for colour that luma does not need, it
// knows the tables of the standard's annex K, and it gets over a lost or
// damaged restart interval as libjpeg does. What it does not decode it names.
package mjpeg

import (
	"cmp"

	"mien/camera"
)

// MaxPixels is the largest picture of a camera, 4096x2160: a stranger must not
// be able to ask for more memory than a small board has.
const MaxPixels = 4096 * 2160

// Decoder decodes pictures one after the other. It keeps nothing of them but
// memory. The zero Decoder is ready for use.
type Decoder struct {
	// MaxPixels is the largest picture that is decoded; 0 means MaxPixels, for
	// pictures of a camera. What decoding needs beside the frame, for
	// progressive pictures and CMYK, is at most as many bytes.
	MaxPixels int

	quant   [4][64]int32 // by id, in zigzag order
	quants  [4]bool      // those that the picture has
	tables  [2][4]huffman
	brought bool // the last picture had tables of its own
	started bool

	width, height int
	progressive   bool
	comps         [4]component
	ncomps        int
	hmax, vmax    int
	restart       int // MCUs between restart markers, or 0
	adobe         int // colour transform of the Adobe segment, or -1
	jfif          bool
	model         colours
	direct        bool // the frame itself is the plane of the first component
	scans         int
	missing       int // scans of wanted components that are to come, in sequential pictures
	lost          int // MCUs whose data were lost between two restarts
	total         int // MCUs of all scans of wanted components

	scan  scan
	bits  bitReader
	eob   int // blocks of a progressive scan that are known to be empty
	block [64]int32
}

type component struct {
	id, h, v int // sampling
	tq       int
	dc, ac   int // tables
	pred     int32
	wanted   bool
	read     bool         // its scan has been, in sequential pictures
	plane    camera.Frame // its samples, where they cannot be the frame's
	coef     [][64]int16  // progressive: coefficients in zigzag order, a row of blocks after the other
	across   int          // blocks in a row of coef
	left     [64]int8     // progressive: bits of each coefficient that are to come; -1: all
}

// Decode decodes the luma of the JPEG picture in data into f. Time and Seq of
// f are the caller's. Its errors are of type *camera.BadPicture; after one
// f's pixels are undefined.
func (d *Decoder) Decode(data []byte, f *camera.Frame) error {
	if !d.started || d.brought {
		d.tables, d.started, d.brought = standard(), true, false
	}
	if err := d.decode(data, f); err != nil {
		return err
	}
	return nil
}

func (d *Decoder) decode(data []byte, f *camera.Frame) *camera.BadPicture {
	if len(data) < 2 || data[0] != 0xff || data[1] != 0xd8 {
		return camera.Bad(camera.Damaged, "mjpeg: this is no JPEG picture")
	}
	d.ncomps, d.restart, d.adobe, d.jfif, d.scans, d.lost, d.total = 0, 0, -1, false, 0, 0, 0
	d.quants = [4]bool{}
	for pos := 2; ; {
		code, segment, next, ok := marker(data, pos)
		if !ok || code == 0xd9 {
			return d.finish(ok, f)
		}
		pos = next
		var err *camera.BadPicture
		switch {
		case code == 0xdb:
			err = d.readQuant(segment)
		case code == 0xc4:
			err = d.readHuffman(segment)
		case code == 0xdd:
			if len(segment) < 2 {
				return cut()
			}
			d.restart = int(segment[0])<<8 | int(segment[1])
		case code == 0xe0 && len(segment) >= 5 && string(segment[:5]) == "JFIF\x00":
			d.jfif = true
		case code == 0xee && len(segment) >= 12 && string(segment[:5]) == "Adobe":
			d.adobe = int(segment[11])
		case code >= 0xc0 && code <= 0xc2:
			d.progressive = code == 0xc2
			err = d.readFrame(segment, f)
		case code >= 0xc3 && code <= 0xcf && code != 0xc8 && code != 0xcc:
			return camera.Bad(camera.Unsupported, "mjpeg: the picture is %s JPEG (SOF%d); cameras send baseline or progressive JPEG", frameKinds[code-0xc0], code-0xc0)
		case code == 0xda:
			var n int
			if n, err = d.readScan(segment, data[pos:], f); err == nil && n < 0 {
				return d.finish(true, f)
			}
			pos += n
		}
		if err != nil {
			return err
		}
	}
}

// frameKinds are the coding processes that are not decoded, by the number of
// their SOF marker (T.81 table B.1).
var frameKinds = [16]string{3: "lossless", 5: "differential", 6: "differential progressive", 7: "differential lossless",
	9: "arithmetic-coded", 10: "progressive arithmetic-coded", 11: "lossless arithmetic-coded",
	13: "differential arithmetic-coded", 14: "differential arithmetic-coded", 15: "differential arithmetic-coded"}

// cut is for a picture that ends before its last pixel, as one does that was
// cut on its way from the camera.
func cut() *camera.BadPicture { return camera.Bad(camera.Cut, "mjpeg: the picture is cut") }

func damaged(what string) *camera.BadPicture {
	return camera.Bad(camera.Damaged, "mjpeg: the picture is damaged: %s", what)
}

// marker returns the marker at or after pos, what is in its segment, and where
// the next one begins; ok is false where there is none, or not all of it.
func marker(data []byte, pos int) (code byte, segment []byte, next int, ok bool) {
	for pos < len(data) && data[pos] != 0xff {
		pos++ // rubbish between segments, as libjpeg skips it
	}
	for pos < len(data) && data[pos] == 0xff {
		pos++
	}
	if pos >= len(data) {
		return 0, nil, 0, false
	}
	code = data[pos]
	pos++
	if code == 0 || code == 0x01 || code >= 0xd0 && code <= 0xd9 {
		return code, nil, pos, true
	}
	if pos+2 > len(data) {
		return 0, nil, 0, false
	}
	n := int(data[pos])<<8 | int(data[pos+1])
	if n < 2 || pos+n > len(data) {
		return 0, nil, 0, false
	}
	return code, data[pos+2 : pos+n], pos + n, true
}

// scanEnd returns where the next marker is that is not part of a scan.
func scanEnd(data []byte) int {
	for i := 0; i+1 < len(data); i++ {
		if data[i] == 0xff && data[i+1] != 0 && (data[i+1] < 0xd0 || data[i+1] > 0xd7) && data[i+1] != 0xff {
			return i
		}
	}
	return len(data)
}

func (d *Decoder) readQuant(b []byte) *camera.BadPicture {
	for len(b) > 0 {
		id, wide := b[0]&15, b[0]>>4
		b = b[1:]
		if id > 3 || wide > 1 || len(b) < 64<<wide {
			return damaged("quantisation table")
		}
		for i := range 64 {
			if wide == 1 {
				d.quant[id][i] = int32(b[2*i])<<8 | int32(b[2*i+1])
			} else {
				d.quant[id][i] = int32(b[i])
			}
		}
		b = b[64<<wide:]
		d.quants[id] = true
	}
	return nil
}

func (d *Decoder) readHuffman(b []byte) *camera.BadPicture {
	d.brought = true
	for len(b) > 0 {
		if len(b) < 17 {
			return damaged("Huffman table")
		}
		class, id := b[0]>>4, b[0]&15
		n := 0
		for _, c := range b[1:17] {
			n += int(c)
		}
		if class > 1 || id > 3 || n > 256 || len(b) < 17+n || !d.tables[class][id].set(b[1:17], b[17:17+n]) {
			return damaged("Huffman table")
		}
		b = b[17+n:]
	}
	return nil
}

// readFrame reads a frame header and makes room for the picture.
func (d *Decoder) readFrame(b []byte, f *camera.Frame) *camera.BadPicture {
	if d.ncomps != 0 {
		return damaged("two frame headers in one picture")
	}
	if len(b) < 6 {
		return damaged("frame header")
	}
	bits, h, w, n := int(b[0]), int(b[1])<<8|int(b[2]), int(b[3])<<8|int(b[4]), int(b[5])
	limit := cmp.Or(d.MaxPixels, MaxPixels)
	switch {
	case bits != 8:
		return camera.Bad(camera.Unsupported, "mjpeg: the picture has %d bits a sample, want 8", bits)
	case h == 0 && w > 0:
		return camera.Bad(camera.Unsupported, "mjpeg: the picture tells its height after its pixels (DNL), which is not read")
	case w == 0:
		return damaged("a picture without pixels")
	case w*h > limit:
		return camera.Bad(camera.TooLarge, "mjpeg: a picture of %dx%d pixels; at most %d are taken", w, h, limit)
	case n != 1 && n != 3 && n != 4:
		return camera.Bad(camera.Unsupported, "mjpeg: the picture has %d components, want 1, 3 or 4", n)
	case len(b) < 6+3*n:
		return damaged("frame header")
	}
	d.hmax, d.vmax = 1, 1
	for i := range n {
		c := &d.comps[i]
		c.id, c.h, c.v, c.tq = int(b[6+3*i]), int(b[7+3*i]>>4), int(b[7+3*i]&15), int(b[8+3*i])
		c.wanted, c.read = false, false
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.tq > 3 {
			return damaged("frame header")
		}
		if n == 1 {
			c.h, c.v = 1, 1 // a lone component is not interleaved, whatever it says
		}
		d.hmax, d.vmax = max(d.hmax, c.h), max(d.vmax, c.v)
	}
	d.width, d.height, d.ncomps = w, h, n
	f.Resize(w, h)
	return d.room(limit)
}

// size returns a component's size in samples.
func (d *Decoder) size(c *component) (w, h int) {
	return (d.width*c.h + d.hmax - 1) / d.hmax, (d.height*c.v + d.vmax - 1) / d.vmax
}

// room chooses the components that luma needs, and makes room for them beside
// the frame.
func (d *Decoder) room(limit int) *camera.BadPicture {
	d.model = d.colours()
	d.direct = d.model.weights == nil && !d.model.key && d.comps[0].h == d.hmax && d.comps[0].v == d.vmax
	d.missing = 0
	need := 0
	for i := range d.comps[:d.ncomps] {
		c := &d.comps[i]
		if c.wanted = d.model.wants(i); !c.wanted {
			continue
		}
		d.missing++
		w, h := d.size(c)
		if !d.direct {
			need += w * h
		}
		if d.progressive {
			hs, vs := d.unit(2, c)
			c.across = (d.width + 8*d.hmax - 1) / (8 * d.hmax) * hs
			down := (d.height + 8*d.vmax - 1) / (8 * d.vmax) * vs
			need += c.across * down * 128
			if need <= limit {
				if n := c.across * down; cap(c.coef) < n {
					c.coef = make([][64]int16, n)
				} else {
					c.coef = c.coef[:n]
					clear(c.coef)
				}
			}
			for k := range c.left {
				c.left[k] = -1
			}
		}
		if need > limit {
			what := "in several colours"
			if d.progressive {
				what = "progressive"
			}
			return camera.Bad(camera.TooLarge, "mjpeg: a %s picture of %dx%d pixels; decoding it takes more than %d bytes", what, d.width, d.height, limit)
		}
		if !d.direct {
			c.plane.Resize(w, h)
		}
	}
	return nil
}

// unit returns how many blocks of c an MCU of n components has.
func (d *Decoder) unit(n int, c *component) (hs, vs int) {
	if n == 1 {
		return 1, 1
	}
	return c.h, c.v
}

// finish ends a picture: ended says whether it has come to an end of its own.
func (d *Decoder) finish(ended bool, f *camera.Frame) *camera.BadPicture {
	switch {
	case d.ncomps == 0 || d.scans == 0:
		return cut()
	case d.progressive:
		for i := range d.comps[:d.ncomps] {
			if c := &d.comps[i]; c.wanted && !c.whole(ended) {
				return cut()
			}
		}
		d.transform(f)
	case d.missing > 0:
		return cut()
	}
	// What a few restart intervals lacked is grey; a picture that lacks more
	// than an eighth is none.
	if d.lost > d.total/8 {
		return damaged("most of its restart intervals are lost")
	}
	if !d.direct {
		d.mix(f)
	}
	return nil
}
