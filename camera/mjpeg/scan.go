package mjpeg

import (
	"slices"

	"mien/camera"
)

// maxScans bounds the scans of a picture. Encoders make about ten; each costs a
// walk over the picture, however short it is.
const maxScans = 64

// scan is a scan's header.
type scan struct {
	comps        []*component
	first, last  int // coefficients
	high, low    uint
	across, down int // MCUs
	room         [4]*component
	hasWanted    bool
}

// readScan reads the scan whose header is b and returns where the next marker
// is; below zero means that nothing more of the picture is needed.
func (d *Decoder) readScan(b, data []byte, f *camera.Frame) (int, *camera.BadPicture) {
	s := &d.scan
	if err := d.readScanHeader(b, s); err != nil {
		return 0, err
	}
	if d.scans++; d.scans > maxScans {
		return 0, damaged("more scans than any picture has")
	}
	if s.hasWanted {
		if err := d.readUnits(s, data, f); err != nil {
			return 0, err
		}
		if !d.progressive {
			for _, c := range s.comps {
				if c.wanted && !c.read {
					c.read = true
					d.missing--
				}
			}
			if d.missing == 0 {
				return -1, nil
			}
		}
	}
	return scanEnd(data), nil
}

func (d *Decoder) readScanHeader(b []byte, s *scan) *camera.BadPicture {
	if d.ncomps == 0 {
		return damaged("pixels before the frame header")
	}
	n := 0
	if len(b) > 0 {
		n = int(b[0])
	}
	if n < 1 || n > d.ncomps || len(b) < 4+2*n {
		return damaged("scan header")
	}
	s.comps, s.hasWanted = s.room[:0], false
	for i := range n {
		c := d.byID(int(b[1+2*i]))
		dc, ac := int(b[2+2*i]>>4), int(b[2+2*i]&15)
		if c == nil || dc > 3 || ac > 3 || slices.Contains(s.comps, c) {
			return damaged("scan header")
		}
		if c.wanted && !d.quants[c.tq] { // that of the picture before may be another
			return damaged("it lacks a quantisation table")
		}
		c.dc, c.ac = dc, ac
		s.comps = append(s.comps, c)
		s.hasWanted = s.hasWanted || c.wanted
	}
	if n == 1 {
		w, h := d.size(s.comps[0])
		s.across, s.down = (w+7)/8, (h+7)/8
	} else {
		s.across, s.down = (d.width+8*d.hmax-1)/(8*d.hmax), (d.height+8*d.vmax-1)/(8*d.vmax)
	}
	s.first, s.last, s.high, s.low = 0, 63, 0, 0
	if d.progressive {
		b = b[1+2*n:]
		s.first, s.last, s.high, s.low = int(b[0]), int(b[1]), uint(b[2]>>4), uint(b[2]&15)
		if s.first > s.last || s.last > 63 || s.first == 0 && s.last != 0 || s.first > 0 && n > 1 ||
			s.low > 13 || s.high != 0 && s.high != s.low+1 {
			return damaged("scan header")
		}
	}
	return nil
}

func (d *Decoder) byID(id int) *component {
	for i := range d.comps[:d.ncomps] {
		if d.comps[i].id == id {
			return &d.comps[i]
		}
	}
	return nil
}

// readUnits reads the MCUs of a scan. Damage costs what is left until the next
// restart; without restarts, the picture.
func (d *Decoder) readUnits(s *scan, data []byte, f *camera.Frame) *camera.BadPicture {
	d.bits = bitReader{data: data}
	d.begin(s)
	restarts, skip := 0, false
	units := s.across * s.down
	d.total += units
	for unit := range units {
		if d.restart > 0 && unit > 0 && unit%d.restart == 0 {
			skip = !d.bits.resync(byte(restarts & 7))
			restarts++
			d.begin(s)
		}
		ux, uy := unit%s.across, unit/s.across
		if skip {
			d.lost++
			d.blank(s, ux, uy, f)
			continue
		}
		err := d.readUnit(s, ux, uy, f)
		// A few bits that an encoder forgot at the end are forgiven.
		last := d.restart == 0 || units-unit <= d.restart
		switch {
		case err == nil && d.bits.starved(last):
			err = cut()
			if len(d.bits.data) > 1 && d.bits.data[0] == 0xff && d.bits.data[1] != 0xd9 {
				err = damaged("a marker amid its pixels")
			}
		case err == nil:
			continue
		}
		if d.restart == 0 {
			return err
		}
		skip = true
		d.lost++
		d.blank(s, ux, uy, f)
	}
	return nil
}

// begin starts a scan, or what is behind a restart.
func (d *Decoder) begin(s *scan) {
	d.eob = 0
	for _, c := range s.comps {
		c.pred = 0
	}
	if d.progressive && s.hasWanted {
		for _, c := range s.comps {
			for k := s.first; k <= s.last; k++ {
				c.left[k] = int8(s.low)
			}
		}
	}
}

// readUnit reads the MCU at ux, uy.
func (d *Decoder) readUnit(s *scan, ux, uy int, f *camera.Frame) *camera.BadPicture {
	for _, c := range s.comps {
		hs, vs := d.unit(len(s.comps), c)
		for k := range hs * vs {
			x, y := hs*ux+k%hs, vs*uy+k/hs
			var err *camera.BadPicture
			switch {
			case !d.progressive:
				if err = d.readBlock(c, c.wanted); err == nil && c.wanted {
					idct(&d.block, d.plane(c, f), 8*x, 8*y)
				}
			case s.first == 0:
				err = d.readDC(s, c, x, y)
			case s.high == 0:
				err = d.readAC(s, &c.coef[y*c.across+x], &d.tables[1][c.ac])
			default:
				err = d.refineAC(s, &c.coef[y*c.across+x], &d.tables[1][c.ac])
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// plane returns where the samples of c go.
func (d *Decoder) plane(c *component, f *camera.Frame) *camera.Frame {
	if d.direct {
		return f
	}
	return &c.plane
}

// blank makes an MCU grey whose data are lost.
func (d *Decoder) blank(s *scan, ux, uy int, f *camera.Frame) {
	if d.progressive {
		return // its coefficients stay what earlier scans made of them
	}
	for _, c := range s.comps {
		if !c.wanted {
			continue
		}
		hs, vs := d.unit(len(s.comps), c)
		for k := range hs * vs {
			d.block = [64]int32{}
			idct(&d.block, d.plane(c, f), 8*(hs*ux+k%hs), 8*(vs*uy+k/hs))
		}
	}
}

// zigzag says where in the block the n-th coefficient goes.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// errCode is for bits that are no Huffman code.
var errCode = damaged("no such Huffman code")

// errRun is for coefficients beyond the end of their block.
var errRun = damaged("more coefficients than a block has")

// readBlock reads a block's coefficients, and dequantises them into d.block if
// they are wanted.
func (d *Decoder) readBlock(c *component, wanted bool) *camera.BadPicture {
	dc, ac, q := &d.tables[0][c.dc], &d.tables[1][c.ac], &d.quant[c.tq]
	size, ok := d.bits.symbol(dc)
	if !ok || size > 15 {
		return errCode
	}
	c.pred += d.bits.value(uint(size))
	if wanted {
		d.block = [64]int32{c.pred * q[0]}
	}
	for k := 1; k < 64; k++ {
		s, ok := d.bits.symbol(ac)
		if !ok {
			return errCode
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
			return errRun
		}
		if wanted {
			d.block[zigzag[k]] = v * q[k]
		}
	}
	return nil
}
