package mjpeg

import "mien/camera"

// The scans of a progressive picture (T.81 annex G): first the DC coefficients
// of all blocks, then bands of others, each with its upper bits first and one
// bit more by each further scan.

// whole reports whether all of c's coefficients have come. An encoder may leave
// some out; a picture that did not come to its end has lost them.
func (c *component) whole(ended bool) bool {
	if c.left[0] < 0 {
		return false
	}
	for _, bits := range c.left {
		if bits > 0 || bits < 0 && !ended {
			return false
		}
	}
	return true
}

// readDC reads the DC coefficient of a block, or one bit more of it.
func (d *Decoder) readDC(s *scan, c *component, x, y int) *camera.BadPicture {
	v := int32(0)
	if s.high == 0 {
		size, ok := d.bits.symbol(&d.tables[0][c.dc])
		if !ok || size > 15 {
			return errCode
		}
		c.pred += d.bits.value(uint(size))
		v = c.pred << s.low
	} else {
		v = int32(d.bits.take(1)) << s.low
	}
	if !c.wanted {
		return nil
	}
	if p := &c.coef[y*c.across+x][0]; s.high == 0 {
		*p = int16(v)
	} else {
		*p |= int16(v)
	}
	return nil
}

// readAC reads the upper bits of a band of coefficients.
func (d *Decoder) readAC(s *scan, b *[64]int16, table *huffman) *camera.BadPicture {
	if d.eob > 0 {
		d.eob--
		return nil
	}
	for k := s.first; k <= s.last; k++ {
		v, ok := d.bits.symbol(table)
		if !ok {
			return errCode
		}
		run, size := int(v>>4), uint(v&15)
		if size == 0 {
			if run < 15 {
				d.eob = 1<<run - 1 + int(d.bits.take(uint(run)))
				return nil
			}
			k += 15
			continue
		}
		if k += run; k > s.last {
			return errRun
		}
		b[k] = int16(d.bits.value(size) << s.low)
	}
	return nil
}

// refineAC reads one bit more of a band of coefficients.
func (d *Decoder) refineAC(s *scan, b *[64]int16, table *huffman) *camera.BadPicture {
	bit := int16(1) << s.low
	// more gives one bit more to a coefficient that is not zero.
	more := func(p *int16) {
		switch {
		case d.bits.take(1) == 0:
		case *p > 0:
			*p += bit
		default:
			*p -= bit
		}
	}
	k := s.first
	for ; d.eob == 0 && k <= s.last; k++ {
		v, ok := d.bits.symbol(table)
		if !ok {
			return errCode
		}
		run, size, fresh := int(v>>4), v&15, int16(0)
		switch {
		case size == 1:
			fresh = -bit
			if d.bits.take(1) == 1 {
				fresh = bit
			}
		case size != 0:
			return errCode
		case run < 15:
			d.eob = 1<<run + int(d.bits.take(uint(run)))
		}
		if d.eob > 0 {
			break
		}
		// run zeros are passed over, and the place of the new one is the next.
		for ; k <= s.last; k++ {
			if b[k] != 0 {
				more(&b[k])
				continue
			}
			if run == 0 {
				break
			}
			run--
		}
		if fresh != 0 {
			if k > s.last {
				return errRun
			}
			b[k] = fresh
		}
	}
	if d.eob > 0 {
		for ; k <= s.last; k++ {
			if b[k] != 0 {
				more(&b[k])
			}
		}
		d.eob--
	}
	return nil
}

// transform makes samples of the coefficients.
func (d *Decoder) transform(f *camera.Frame) {
	for i := range d.comps[:d.ncomps] {
		c := &d.comps[i]
		if !c.wanted {
			continue
		}
		to, q := d.plane(c, f), &d.quant[c.tq]
		for n := range c.coef {
			for k, v := range c.coef[n] {
				d.block[zigzag[k]] = int32(v) * q[k]
			}
			idct(&d.block, to, 8*(n%c.across), 8*(n/c.across))
		}
	}
}
