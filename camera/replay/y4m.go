package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"mien/camera"
)

// y4m reads YUV4MPEG2, the format that ffmpeg and mjpegtools exchange raw
// pictures in: a line of parameters, then for each picture a line "FRAME" and
// its planes, luma first.
// Source: yuv4mpeg(5), https://mjpeg.sourceforge.io.
type y4m struct {
	file   io.ReadSeeker
	r      *bufio.Reader
	begin  int64 // where the first picture is
	w, h   int
	colour int // bytes after the luma plane
}

// Largest picture, in pixels.
const maxPixels = 64 << 20

func newY4M(file io.ReadSeeker) (reader, float64, error) {
	y := &y4m{file: file, r: bufio.NewReaderSize(file, 64<<10)}
	line, err := y.line()
	if err != nil {
		return nil, 0, fmt.Errorf("no y4m header: %w", err)
	}
	y.begin = int64(len(line) + 1)
	rate, err := y.header(string(line))
	return y, rate, err
}

// line reads a line without its end. It is good until the next read.
func (y *y4m) line() ([]byte, error) {
	b, err := y.r.ReadSlice('\n')
	if err != nil {
		if len(b) > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b[:len(b)-1], nil
}

func (y *y4m) header(line string) (rate float64, err error) {
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "YUV4MPEG2" {
		return 0, errors.New("no y4m header: the file does not begin with YUV4MPEG2")
	}
	space := "420jpeg"
	for _, w := range words[1:] {
		switch key, v := w[0], w[1:]; key {
		case 'W':
			y.w, err = strconv.Atoi(v)
		case 'H':
			y.h, err = strconv.Atoi(v)
		case 'F':
			rate, err = ratio(v)
		case 'C':
			space = v
		}
		if err != nil {
			return 0, fmt.Errorf("y4m header: bad parameter %q", w)
		}
	}
	if y.w < 1 || y.h < 1 || y.w > maxPixels/y.h {
		return 0, fmt.Errorf("y4m header: a picture of %dx%d pixels", y.w, y.h)
	}
	half := func(n int) int { return (n + 1) / 2 }
	switch space {
	case "mono":
	case "420jpeg", "420mpeg2", "420paldv", "420":
		y.colour = 2 * half(y.w) * half(y.h)
	case "422":
		y.colour = 2 * half(y.w) * y.h
	case "444":
		y.colour = 2 * y.w * y.h
	default:
		return 0, fmt.Errorf("y4m header: colour space %q; mono, 420, 422 and 444 of 8 bits are supported", space)
	}
	return rate, nil
}

// ratio reads "30:1". 0:0 means unknown.
func ratio(s string) (float64, error) {
	a, b, _ := strings.Cut(s, ":")
	n, err := strconv.Atoi(a)
	if err != nil {
		return 0, err
	}
	d, err := strconv.Atoi(b)
	if err != nil {
		return 0, err
	}
	if n == 0 && d == 0 {
		return 0, nil
	}
	if n <= 0 || d <= 0 || n/d > 1000 {
		return 0, errors.New("no rate")
	}
	return float64(n) / float64(d), nil
}

var frameWord = []byte("FRAME")

func (y *y4m) frame(f *camera.Frame) error {
	line, err := y.line()
	if err == io.EOF {
		return err
	}
	if err != nil {
		return cut(err)
	}
	if !bytes.HasPrefix(line, frameWord) {
		return errors.New("y4m: no FRAME where one should begin")
	}
	f.Resize(y.w, y.h)
	if _, err := io.ReadFull(y.r, f.Pix); err != nil {
		return cut(err)
	}
	if _, err := y.r.Discard(y.colour); err != nil {
		return cut(err)
	}
	return nil
}

func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("y4m: the last picture is cut")
	}
	return err
}

func (y *y4m) rewind() error {
	if _, err := y.file.Seek(y.begin, io.SeekStart); err != nil {
		return err
	}
	y.r.Reset(y.file)
	return nil
}

func (y *y4m) close() error { return nil }
