package mjpeg

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Splitter cuts a stream into JPEG pictures. What is between them is skipped:
// the boundaries and headers of multipart HTTP, or nothing.
type Splitter struct {
	r   *bufio.Reader
	buf []byte
}

// maxPicture is the largest picture in bytes.
const maxPicture = 32 << 20

// NewSplitter returns a splitter that reads r.
func NewSplitter(r io.Reader) *Splitter { return &Splitter{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next picture, from its first byte to its last; the memory
// is the splitter's own and good until the next call. After the last picture
// it returns io.EOF, and io.ErrUnexpectedEOF for one that is cut.
//
// A picture's end is found by walking its segments, so that a preview inside
// it does not end it.
func (s *Splitter) Next() ([]byte, error) {
	if err := s.start(); err != nil {
		return nil, err
	}
	s.buf = append(s.buf[:0], 0xff, 0xd8)
	code, err := s.code()
	for {
		switch {
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case code == 0xd9:
			return s.buf, nil
		case code == 0xd8:
			s.buf = append(s.buf[:0], 0xff, 0xd8) // the one before was cut
			code, err = s.code()
		case code == 0x01 || code >= 0xd0 && code <= 0xd7:
			code, err = s.code()
		default:
			if err = s.segment(); err == nil && code == 0xda {
				code, err = s.scan()
			} else if err == nil {
				code, err = s.code()
			}
		}
	}
}

// start skips to behind the next start of a picture.
func (s *Splitter) start() error {
	for {
		if err := s.skipTo(0xff); err != nil {
			return err
		}
		b, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		if b == 0xd8 {
			return nil
		}
		if b == 0xff {
			if err := s.r.UnreadByte(); err != nil {
				return err
			}
		}
	}
}

// skipTo reads up to and with the next byte of that value.
func (s *Splitter) skipTo(b byte) error {
	for {
		_, err := s.r.ReadSlice(b)
		if err == nil || !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// code reads the next marker.
func (s *Splitter) code() (byte, error) {
	for {
		b, err := s.r.ReadByte()
		if err != nil {
			return 0, err
		}
		if b != 0xff {
			return 0, errors.New("mjpeg: the stream is damaged: no marker where one should be")
		}
		for b == 0xff {
			if b, err = s.r.ReadByte(); err != nil {
				return 0, err
			}
		}
		if b != 0 {
			s.buf = append(s.buf, 0xff, b)
			return b, nil
		}
	}
}

// segment reads a marker's segment.
func (s *Splitter) segment() error {
	hi, err := s.r.ReadByte()
	if err != nil {
		return err
	}
	lo, err := s.r.ReadByte()
	if err != nil {
		return err
	}
	n := int(hi)<<8 | int(lo)
	if n < 2 {
		return errors.New("mjpeg: the stream is damaged: a segment of no length")
	}
	s.buf = append(s.buf, hi, lo)
	for n -= 2; n > 0; {
		chunk, err := s.r.Peek(min(n, 4096))
		if len(chunk) == 0 {
			return err
		}
		s.buf = append(s.buf, chunk...)
		k, _ := s.r.Discard(len(chunk))
		n -= k
	}
	return nil
}

// scan reads pixels up to the marker that ends them, and returns that.
func (s *Splitter) scan() (byte, error) {
	for {
		chunk, err := s.r.ReadSlice(0xff)
		s.buf = append(s.buf, chunk...)
		if len(s.buf) > maxPicture {
			return 0, fmt.Errorf("mjpeg: a picture of more than %d MiB", maxPicture>>20)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return 0, err
		}
		b, err := s.r.ReadByte()
		for err == nil && b == 0xff {
			b, err = s.r.ReadByte()
		}
		if err != nil {
			return 0, err
		}
		s.buf = append(s.buf, b)
		if b != 0 && (b < 0xd0 || b > 0xd7) {
			return b, nil
		}
	}
}
