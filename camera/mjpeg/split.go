package mjpeg

import (
	"bytes"
	"io"

	"mien/camera"
)

// Splitter cuts a stream into JPEG pictures. What is between them is skipped:
// the boundaries and headers of multipart HTTP, or nothing.
//
// A picture's end is found by walking its segments, so that a preview inside
// it does not end it. Where the walk comes upon the start of the next picture
// the one before has no end of its own, or was cut; in neither case does it
// cost its successor.
type Splitter struct {
	Bad func(error) // is told of each picture that is dropped, if set

	r       io.Reader
	err     error  // of r, once there is one
	buf     []byte // what was read and is not behind us
	given   int    // of buf, by the last call of Next
	barren  int    // bytes without a picture since there was one
	dropped camera.Dropped
}

// maxPicture is the largest picture in bytes. One of MaxPixels has about 3 MB
// in good quality.
const maxPicture = 4 << 20

// mostBarren is how many bytes without the start of a picture are told as a
// fault, so that one knows why there is none: headers have less.
const mostBarren = 64 << 10

// chunk is how much is read at a time.
const chunk = 32 << 10

// NewSplitter returns a splitter that reads r.
func NewSplitter(r io.Reader) *Splitter { return &Splitter{r: r} }

// Dropped returns the pictures of which there was not enough to give them.
func (s *Splitter) Dropped() camera.Dropped { return s.dropped }

// Next returns the next picture; the memory is the splitter's own and good
// until the next call. It begins with its first byte, and ends with its last
// where it has an end. After the last picture Next returns the reader's error.
func (s *Splitter) Next() ([]byte, error) {
	s.skip(s.given)
	s.given = 0
	for {
		if !s.find() {
			return nil, s.err
		}
		n, next, bad := s.walk()
		if bad == nil {
			s.given = next
			return s.buf[:n], nil
		}
		s.drop(bad)
		s.skip(next)
	}
}

func (s *Splitter) drop(bad *camera.BadPicture) {
	s.dropped.Add(bad)
	if s.Bad != nil {
		s.Bad(bad)
	}
}

// skip forgets the first n bytes.
func (s *Splitter) skip(n int) { s.buf = append(s.buf[:0], s.buf[n:]...) }

// have reads until there are n bytes, if it can.
func (s *Splitter) have(n int) bool {
	for len(s.buf) < n {
		if s.err != nil {
			return false
		}
		if cap(s.buf)-len(s.buf) < chunk {
			room := max(min(2*cap(s.buf), maxPicture+2*chunk), len(s.buf)) + chunk
			s.buf = append(make([]byte, 0, room), s.buf...)
		}
		k, err := s.r.Read(s.buf[len(s.buf):][:chunk])
		s.buf, s.err = s.buf[:len(s.buf)+k], err
	}
	return true
}

// start returns where in b a picture begins, or below zero: at its marker, if
// there is another behind it, or a zero byte before that. Pixels and text hold
// no such thing.
func start(b []byte) int {
	for at := 0; ; {
		k := bytes.Index(b[at:], []byte{0xff, 0xd8})
		if at += k; k < 0 || at+startLen > len(b) {
			return -1
		}
		if c := b[at+2]; c == 0xff || c == 0 {
			return at
		}
		at += 2
	}
}

// startLen is how many bytes tell that a picture begins.
const startLen = 3

// find makes the buffer begin with the start of a picture, if there is one.
func (s *Splitter) find() bool {
	for {
		if i := start(s.buf); i >= 0 {
			s.skip(i)
			s.barren = 0
			return true
		}
		n := max(len(s.buf)-startLen+1, 0)
		s.skip(n)
		if s.barren += n; s.barren > mostBarren {
			s.barren = 0
			s.drop(camera.Bad(camera.Unsupported, "mjpeg: %d KiB came that begin no JPEG picture", mostBarren>>10))
		}
		if !s.have(len(s.buf) + 1) {
			return false
		}
	}
}

// walk walks the picture with which the buffer begins. It returns how many
// bytes it has and where to go on; or what is wrong with it.
func (s *Splitter) walk() (n, next int, bad *camera.BadPicture) {
	last := 2      // where the last segment begins
	scans := false // there were some
	for i := 2; ; {
		if i > maxPicture {
			return 0, len(s.buf), camera.Bad(camera.TooLarge, "mjpeg: a picture of more than %d MiB", maxPicture>>20)
		}
		if !s.have(i + 2) {
			if scans {
				return s.trim(len(s.buf)), len(s.buf), nil // whether that is all of it the decoder will say
			}
			return 0, len(s.buf), cut()
		}
		code := s.buf[i+1]
		switch {
		case s.buf[i] == 0 || s.buf[i] == 0xff && code == 0xff: // padding
			i++
		case s.buf[i] != 0xff:
			// No marker where one should be: the last segment was cut, and took
			// some of what follows for its own.
			if k := start(s.buf[last:i]); k >= 0 {
				return 0, last + k, cut()
			}
			last = i
			i++
		case code == 0xd9:
			if !scans {
				return 0, i + 2, camera.Bad(camera.Cut, "mjpeg: a picture without pixels")
			}
			return i + 2, i + 2, nil
		case s.starts(i):
			if !scans {
				return 0, i, cut()
			}
			return s.trim(i), i, nil
		case code == 0 || code == 0x01 || code >= 0xd0 && code <= 0xd8:
			i += 2
		default:
			end, ok := s.segment(i)
			if !ok {
				continue // to the end of what there is
			}
			// Tables hold no start of a picture, and a segment does not end with
			// one; a preview may lie within.
			s.have(end + 2)
			k := start(s.buf[i:min(end+2, len(s.buf))])
			if k >= 0 && (i+k > end-3 || (code < 0xe0 || code > 0xef) && code != 0xfe) {
				return 0, i + k, cut()
			}
			last = i
			if i = end; code == 0xda {
				scans, last = true, end
				i = s.scan(i)
			}
		}
	}
}

// starts reports whether a picture begins at i.
func (s *Splitter) starts(i int) bool {
	return s.have(i+startLen) && start(s.buf[i:i+startLen]) == 0
}

// segment returns where the segment of the marker at i ends. When there is not
// so much the rest of the stream has been read.
func (s *Splitter) segment(i int) (end int, ok bool) {
	if s.have(i + 4) {
		end = i + 2 + max(int(s.buf[i+2])<<8|int(s.buf[i+3]), 2)
		if s.have(end) {
			return end, true
		}
	}
	// What seemed a segment may be the rest of a cut picture and the next one.
	if k := start(s.buf[i+2:]); k >= 0 {
		return i + 2 + k, true
	}
	s.buf = s.buf[:i]
	return i, false
}

// scan returns where the marker is that ends the scan whose data begin at i.
// Markers that cannot be there are damage within it.
func (s *Splitter) scan(i int) int {
	for i <= maxPicture && s.have(i+2) {
		k := bytes.IndexByte(s.buf[i:len(s.buf)-1], 0xff)
		if k < 0 {
			i = len(s.buf) - 1
			continue
		}
		i += k
		if s.ends(i) {
			return i
		}
		i++
	}
	return i
}

// ends reports whether the marker at i ends a scan.
func (s *Splitter) ends(i int) bool {
	switch s.buf[i+1] {
	case 0xd9:
		return true
	case 0xd8:
		return s.starts(i)
	case 0xda: // another scan, of 1 to 4 components
		if !s.have(i + 5) {
			return false
		}
		n := int(s.buf[i+4])
		return n >= 1 && n <= 4 && s.buf[i+2] == 0 && int(s.buf[i+3]) == 6+2*n
	case 0xc4, 0xdb, 0xdc, 0xdd, 0xfe: // tables between scans
		if !s.have(i + 4) {
			return false
		}
		end := i + 2 + int(s.buf[i+2])<<8 + int(s.buf[i+3])
		return s.have(end+1) && s.buf[end] == 0xff
	}
	return false
}

// trim returns how much of the first n bytes is picture, where it has no end
// of its own: not the boundary that follows.
func (s *Splitter) trim(n int) int {
	const header = 1 << 10
	tail := s.buf[max(0, n-header):n]
	if k := bytes.LastIndex(tail, []byte("\n--")); k >= 0 {
		return n - len(tail) + k
	}
	return n
}
