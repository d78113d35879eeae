package mjpeg

import "sync"

// bitReader reads the bits of a scan up to the next marker. Beyond that it
// reads zeros and counts the bytes of them.
type bitReader struct {
	data []byte
	acc  uint32 // the next bits, at the top
	n    uint   // how many of them
	over int
}

// fill makes at least 17 bits available.
func (r *bitReader) fill() {
	for r.n <= 24 {
		var b byte
		switch {
		case len(r.data) == 0:
			r.over++
		case r.data[0] != 0xff:
			b, r.data = r.data[0], r.data[1:]
		case len(r.data) > 1 && r.data[1] == 0: // a stuffed 0xff
			b, r.data = 0xff, r.data[2:]
		default: // a marker: the scan, or what is between two restarts, is over
			r.over++
		}
		r.acc |= uint32(b) << (24 - r.n)
		r.n += 8
	}
}

// value reads a number of n bits, n at most 15, as T.81 F.2.2.1 extends it.
func (r *bitReader) value(n uint) int32 {
	if n == 0 {
		return 0
	}
	if r.n < n {
		r.fill()
	}
	v := int32(r.acc >> (32 - n))
	r.acc <<= n
	r.n -= n
	if v < 1<<(n-1) {
		v += -1<<n + 1
	}
	return v
}

// take reads n bits as they stand, n at most 15.
func (r *bitReader) take(n uint) uint32 {
	if n == 0 {
		return 0
	}
	if r.n < n {
		r.fill()
	}
	v := r.acc >> (32 - n)
	r.acc <<= n
	r.n -= n
	return v
}

// starved reports whether more was read than there was, or much more.
func (r *bitReader) starved(much bool) bool {
	if much {
		return r.over > 8
	}
	return 8*r.over > int(r.n)
}

// symbol reads one Huffman code, if there is one of those bits.
func (r *bitReader) symbol(h *huffman) (uint8, bool) {
	if r.n < 16 {
		r.fill()
	}
	if e := h.fast[r.acc>>(32-fastBits)]; e != 0 {
		r.acc <<= e >> 8
		r.n -= uint(e >> 8)
		return uint8(e), true
	}
	for n := uint(fastBits + 1); n <= 16; n++ {
		code := int32(r.acc >> (32 - n))
		if code <= h.last[n] {
			r.acc <<= n
			r.n -= n
			return h.values[uint8(code+h.first[n])], true
		}
	}
	return 0, false
}

// resync goes on after restart marker number want, from 0 to 7, and reports
// whether what follows it is at hand. Where the next marker is another it
// guesses what was lost as libjpeg does (jdmarker.c, jpeg_resync_to_restart):
// one or two ahead, the interval that is due is lost; one or two behind, it is
// a leftover; farther away, its number is damaged.
func (r *bitReader) resync(want byte) bool {
	data := r.data
	for len(data) > 1 {
		code := data[1]
		if data[0] != 0xff || code == 0 || code == 0xff {
			data = data[1:]
			continue
		}
		ahead := (code - 0xd0 - want) & 7
		switch {
		case code < 0xc0: // no marker that there is
		case code < 0xd0 || code > 0xd7, ahead == 1, ahead == 2:
			*r = bitReader{data: data}
			return false
		case ahead == 6, ahead == 7:
		default:
			*r = bitReader{data: data[2:]}
			return true
		}
		data = data[2:]
	}
	*r = bitReader{}
	return false
}

// fastBits is the length of codes that one look-up decodes.
const fastBits = 9

// huffman is a table of codes. An unset table has none.
type huffman struct {
	fast   [1 << fastBits]uint16 // length<<8 | value of the code that those bits begin with
	last   [17]int32             // last code of each length, or -1
	first  [17]int32             // what added to a code of that length gives its place in values
	values [256]uint8
}

// set makes the table from the number of codes of each length and their values
// in order (T.81 annex C), if there is one like that.
func (h *huffman) set(counts, values []byte) bool {
	*h = huffman{}
	copy(h.values[:], values)
	code, k := int32(0), 0
	for n := 1; n <= 16; n++ {
		c := int32(counts[n-1])
		h.first[n] = int32(k) - code
		h.last[n] = code + c - 1
		if c == 0 {
			h.last[n] = -1
		}
		if code+c > 1<<n {
			*h = huffman{}
			return false
		}
		for range c {
			if n <= fastBits {
				e := uint16(n)<<8 | uint16(h.values[k])
				at := code << (fastBits - n)
				for i := range int32(1) << (fastBits - n) {
					h.fast[at+i] = e
				}
			}
			code++
			k++
		}
		code <<= 1
	}
	return true
}

// standard are the tables of T.81 annex K.3, for pictures without their own.
var standard = sync.OnceValue(func() (tables [2][4]huffman) {
	for i, t := range annexK {
		// These are valid: a test decodes with them.
		_ = tables[i/2][i%2].set([]byte(t[:16]), []byte(t[16:]))
	}
	return tables
})

// annexK are tables K.3 to K.6: luma DC, chroma DC, luma AC, chroma AC; the
// number of codes of each length, then their values.
var annexK = [4]string{
	"\x00\x01\x05\x01\x01\x01\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00" + "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b",
	"\x00\x03\x01\x01\x01\x01\x01\x01\x01\x01\x01\x00\x00\x00\x00\x00" + "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b",
	"\x00\x02\x01\x03\x03\x02\x04\x03\x05\x05\x04\x04\x00\x00\x01\x7d" +
		"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\x08\x23\x42\xb1\xc1\x15\x52\xd1\xf0" +
		"\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49" +
		"\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89" +
		"\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5" +
		"\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa",
	"\x00\x02\x01\x02\x04\x04\x03\x04\x07\x05\x04\x04\x00\x01\x02\x77" +
		"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91\xa1\xb1\xc1\x09\x23\x33\x52\xf0" +
		"\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26\x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48" +
		"\x49\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87" +
		"\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3" +
		"\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa",
}
