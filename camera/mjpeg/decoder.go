// Package mjpeg reads the JPEG pictures that cameras send: it cuts a stream of
// them into pictures and decodes their luma.
//
// The standard library's decoder makes a new picture each time, colours it,
// and wants Huffman tables, which many USB cameras leave out. This one decodes
// what cameras send, baseline JPEG (ITU-T T.81), into a frame that the caller
// owns. It does no work for colour beyond skipping it, and it knows the tables
// of the standard's annex K. Nothing else is supported.
package mjpeg

import (
	"errors"
	"fmt"

	"mien/camera"
)

// Largest picture that is decoded, in pixels: damage must not ask for more
// memory than a board has.
const maxPixels = 64 << 20

// errShort is for a picture that ends before its last pixel, as one does that
// was cut on its way from the camera.
var errShort = errors.New("mjpeg: the picture is cut")

// Decoder decodes pictures one after the other. It keeps nothing of them but
// memory. The zero Decoder is ready for use.
type Decoder struct {
	quant   [4][64]int32 // by id, in zigzag order
	tables  [2][4]huffman
	started bool // the annex K tables are in place

	width, height int
	comps         [3]component
	ncomps        int
	hmax, vmax    int
	restart       int // MCUs between restart markers, or 0

	bits  bitReader
	block [64]int32
}

type component struct {
	id, h, v int // sampling
	tq       int
	dc, ac   int // tables
	pred     int32
}

// Decode decodes the luma of the JPEG picture in data into f. Time and Seq of
// f are the caller's. After an error f's pixels are undefined.
func (d *Decoder) Decode(data []byte, f *camera.Frame) error {
	if len(data) < 4 || data[0] != 0xff || data[1] != 0xd8 {
		return errors.New("mjpeg: this is no JPEG picture")
	}
	d.defaults()
	d.ncomps, d.restart = 0, 0
	for pos := 2; ; {
		code, segment, next, err := marker(data, pos)
		if err != nil {
			return err
		}
		pos = next
		switch {
		case code == 0xdb:
			err = d.readQuant(segment)
		case code == 0xc4:
			err = d.readHuffman(segment)
		case code == 0xdd:
			if len(segment) < 2 {
				return errShort
			}
			d.restart = int(segment[0])<<8 | int(segment[1])
		case code == 0xc0 || code == 0xc1:
			if err = d.readFrame(segment); err == nil {
				f.Resize(d.width, d.height)
			}
		case code >= 0xc2 && code <= 0xcf && code != 0xc8 && code != 0xcc:
			return fmt.Errorf("mjpeg: the picture is JPEG of kind SOF%d; cameras send baseline JPEG, SOF0", code-0xc0)
		case code == 0xda:
			luma, err := d.readScan(segment, data[pos:], f)
			if err != nil || luma {
				return err
			}
			pos += scanEnd(data[pos:])
		case code == 0xd9:
			return errShort
		}
		if err != nil {
			return err
		}
	}
}

// marker returns the marker at or after pos, what is in its segment, and where
// the next one begins.
func marker(data []byte, pos int) (code byte, segment []byte, next int, err error) {
	for pos < len(data) && data[pos] != 0xff {
		pos++ // rubbish between segments, as libjpeg skips it
	}
	for pos < len(data) && data[pos] == 0xff {
		pos++
	}
	if pos >= len(data) {
		return 0, nil, 0, errShort
	}
	code = data[pos]
	pos++
	if code == 0 || code == 0x01 || code >= 0xd0 && code <= 0xd9 {
		return code, nil, pos, nil
	}
	if pos+2 > len(data) {
		return 0, nil, 0, errShort
	}
	n := int(data[pos])<<8 | int(data[pos+1])
	if n < 2 || pos+n > len(data) {
		return 0, nil, 0, errShort
	}
	return code, data[pos+2 : pos+n], pos + n, nil
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

func (d *Decoder) readQuant(b []byte) error {
	for len(b) > 0 {
		id, wide := b[0]&15, b[0]>>4
		b = b[1:]
		if id > 3 || wide > 1 || len(b) < 64<<wide {
			return errors.New("mjpeg: bad quantisation table")
		}
		for i := range 64 {
			if wide == 1 {
				d.quant[id][i] = int32(b[2*i])<<8 | int32(b[2*i+1])
			} else {
				d.quant[id][i] = int32(b[i])
			}
		}
		b = b[64<<wide:]
	}
	return nil
}

func (d *Decoder) readHuffman(b []byte) error {
	for len(b) > 0 {
		if len(b) < 17 {
			return errShort
		}
		class, id := b[0]>>4, b[0]&15
		n := 0
		for _, c := range b[1:17] {
			n += int(c)
		}
		if class > 1 || id > 3 || n > 256 || len(b) < 17+n {
			return errors.New("mjpeg: bad Huffman table")
		}
		if err := d.tables[class][id].set(b[1:17], b[17:17+n]); err != nil {
			return err
		}
		b = b[17+n:]
	}
	return nil
}

func (d *Decoder) readFrame(b []byte) error {
	if d.ncomps != 0 {
		return errors.New("mjpeg: two frame headers in one picture")
	}
	if len(b) < 6 {
		return errShort
	}
	bits, h, w, n := int(b[0]), int(b[1])<<8|int(b[2]), int(b[3])<<8|int(b[4]), int(b[5])
	switch {
	case bits != 8:
		return fmt.Errorf("mjpeg: %d bits a sample, want 8", bits)
	case w == 0 || h == 0 || w*h > maxPixels:
		return fmt.Errorf("mjpeg: a picture of %dx%d pixels", w, h)
	case n != 1 && n != 3:
		return fmt.Errorf("mjpeg: %d components, want 1 or 3", n)
	case len(b) < 6+3*n:
		return errShort
	}
	d.hmax, d.vmax = 1, 1
	for i := range n {
		c := component{id: int(b[6+3*i]), h: int(b[7+3*i] >> 4), v: int(b[7+3*i] & 15), tq: int(b[8+3*i])}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.tq > 3 {
			return errors.New("mjpeg: bad frame header")
		}
		if n == 1 {
			c.h, c.v = 1, 1 // a lone component is not interleaved, whatever it says
		}
		d.hmax, d.vmax = max(d.hmax, c.h), max(d.vmax, c.v)
		d.comps[i] = c
	}
	if d.comps[0].h != d.hmax || d.comps[0].v != d.vmax {
		return errors.New("mjpeg: luma is coarser than colour")
	}
	d.width, d.height, d.ncomps = w, h, n
	return nil
}

// readScan decodes a scan if luma is in it.
func (d *Decoder) readScan(b, data []byte, f *camera.Frame) (luma bool, err error) {
	if d.ncomps == 0 {
		return false, errors.New("mjpeg: pixels before the frame header")
	}
	if len(b) < 1 || len(b) < 1+2*int(b[0]) {
		return false, errShort
	}
	var in [3]*component
	n := int(b[0])
	if n < 1 || n > d.ncomps {
		return false, errors.New("mjpeg: bad scan header")
	}
	for i := range n {
		c := d.byID(int(b[1+2*i]))
		dc, ac := int(b[2+2*i]>>4), int(b[2+2*i]&15)
		if c == nil || dc > 3 || ac > 3 {
			return false, errors.New("mjpeg: bad scan header")
		}
		c.dc, c.ac, c.pred = dc, ac, 0
		in[i] = c
		luma = luma || c == &d.comps[0]
	}
	if !luma {
		return false, nil
	}
	return true, d.decode(in[:n], data, f)
}

func (d *Decoder) byID(id int) *component {
	for i := range d.comps[:d.ncomps] {
		if d.comps[i].id == id {
			return &d.comps[i]
		}
	}
	return nil
}

// decode decodes a scan of the given components.
func (d *Decoder) decode(in []*component, data []byte, f *camera.Frame) error {
	hs, vs := 1, 1 // blocks of luma in a unit
	if len(in) > 1 {
		hs, vs = d.hmax, d.vmax
	}
	across, down := (d.width+8*hs-1)/(8*hs), (d.height+8*vs-1)/(8*vs)
	d.bits = bitReader{data: data}
	for unit := range across * down {
		if d.restart > 0 && unit > 0 && unit%d.restart == 0 {
			if err := d.bits.nextRestart(); err != nil {
				return err
			}
			for _, c := range in {
				c.pred = 0
			}
		}
		ux, uy := unit%across*hs, unit/across*vs
		for _, c := range in {
			h, v := c.h, c.v
			if len(in) == 1 {
				h, v = 1, 1
			}
			for k := range h * v {
				luma := c == &d.comps[0]
				if err := d.readBlock(c, luma); err != nil {
					return err
				}
				if luma {
					idct(&d.block, f, 8*(ux+k%h), 8*(uy+k/h))
				}
			}
		}
		if d.bits.over > 8 {
			return errShort
		}
	}
	return nil
}

// zigzag says where in the block the n-th coefficient goes. It is longer than
// the block, so that a run beyond its end needs no check.
var zigzag = [64 + 16]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
	63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
}

// readBlock reads a block's coefficients, and dequantises them into d.block if
// they are wanted.
func (d *Decoder) readBlock(c *component, wanted bool) error {
	dc, ac, q := &d.tables[0][c.dc], &d.tables[1][c.ac], &d.quant[c.tq]
	size, err := d.bits.symbol(dc)
	if err != nil {
		return err
	}
	if size > 15 {
		return errors.New("mjpeg: the picture is damaged")
	}
	c.pred += d.bits.value(uint(size))
	if wanted {
		d.block = [64]int32{c.pred * q[0]}
	}
	for k := 1; k < 64; k++ {
		s, err := d.bits.symbol(ac)
		if err != nil {
			return err
		}
		run, size := int(s>>4), uint(s&15)
		if size == 0 {
			if run != 15 {
				break
			}
			k += 15
			continue
		}
		k += run
		v := d.bits.value(size)
		if k > 63 {
			return errors.New("mjpeg: the picture is damaged")
		}
		if wanted {
			d.block[zigzag[k]] = v * q[k]
		}
	}
	return nil
}
