// Package replay stands in for a camera: it plays folders of pictures, .y4m
// and MJPEG recordings, and scenes made of one picture that moves.
package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mien/camera"
	"mien/camera/mjpeg"
	"mien/camera/picture"
)

// Options of a replay. The zero value plays a recording once, as fast as it is
// read.
type Options struct {
	Rate float64 // pictures a second; 0 means the recording's own, or 25 where it has none
	Real bool    // play in real time: Next waits until the picture is due
	Loop bool    // begin again at the end instead of returning io.EOF
}

// Source plays pictures as if a camera had taken them. It is a camera.Source.
type Source struct {
	camera.Tally
	o     Options
	rate  float64
	read  reader
	start time.Time
	seq   uint64
	timer *time.Timer
	done  bool

	found bool  // there was a good picture since the beginning
	bad   error // the last that was not
}

var (
	_ camera.Source  = (*Source)(nil)
	_ camera.Dropper = (*Source)(nil)
)

// reader gives the pictures of a recording in order.
type reader interface {
	// frame fills f's picture, or returns io.EOF.
	frame(f *camera.Frame) error
	// rewind goes back to the first picture.
	rewind() error
	close() error
}

func newSource(r reader, rate float64, o Options) *Source {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &Source{o: o, rate: cmp.Or(o.Rate, rate, 25), read: r, timer: t}
}

// Open plays what is at path: a folder of pictures in the order of their
// names, a picture, a recording whose name ends in .y4m, or a sequence of JPEG
// pictures whose name ends in .mjpeg or .mjpg.
func Open(path string, o Options) (*Source, error) {
	if o.Rate < 0 || o.Rate > 1000 {
		return nil, fmt.Errorf("replay: %g pictures a second: want more than 0 and at most 1000", o.Rate)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	if info.IsDir() {
		return openFolder(path, o)
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".y4m":
		return openFile(path, o, newY4M)
	case ".mjpeg", ".mjpg":
		return openFile(path, o, newMJPEG)
	}
	if single(path) {
		return newSource(&folder{names: []string{path}}, 0, o), nil
	}
	return nil, fmt.Errorf("replay: %s: not a folder, .y4m, .mjpeg or a picture (%s)", path, picture.Kinds)
}

// Next fills f with the next picture. Its Time is when the picture was due,
// counted from the first call.
func (s *Source) Next(ctx context.Context, f *camera.Frame) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.done {
		return camera.ErrClosed
	}
	if s.start.IsZero() {
		s.start = time.Now()
	}
	if err := s.good(f); err != nil {
		return err
	}
	f.Time = s.start.Add(time.Duration(float64(s.seq) / s.rate * float64(time.Second)))
	s.seq++
	f.Seq = s.seq
	if s.o.Real {
		return s.wait(ctx, f.Time)
	}
	return nil
}

// good reads the next picture that is one. The others are dropped, and are the
// error only where there is no good one at all.
func (s *Source) good(f *camera.Frame) error {
	for {
		err := s.read.frame(f)
		if err == nil {
			s.found = true
			return nil
		}
		var bad *camera.BadPicture
		switch {
		case errors.As(err, &bad):
			s.bad = err
			s.Drop(err)
		case err != io.EOF:
			return err
		case !s.found && s.bad != nil:
			return s.bad
		case !s.o.Loop || !s.found:
			return io.EOF
		default:
			s.found = false
			if err := s.read.rewind(); err != nil {
				return err
			}
		}
	}
}

func (s *Source) wait(ctx context.Context, until time.Time) error {
	d := time.Until(until)
	if d <= 0 {
		return nil
	}
	s.timer.Reset(d)
	select {
	case <-s.timer.C:
		return nil
	case <-ctx.Done():
		s.timer.Stop()
		return ctx.Err()
	}
}

// Close releases the recording.
func (s *Source) Close() error {
	if s.done {
		return nil
	}
	s.done = true
	return s.read.close()
}

// single reports whether a file is a picture, by its name.
func single(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff":
		return true
	}
	return false
}

// folder reads single pictures.
type folder struct {
	names    []string
	next     int
	pictures picture.Reader
}

func openFolder(dir string, o Options) (*Source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && single(e.Name()) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("replay: %s: no picture in this folder (%s)", dir, picture.Kinds)
	}
	slices.Sort(names)
	return newSource(&folder{names: names}, 0, o), nil
}

func (d *folder) frame(f *camera.Frame) error {
	if d.next == len(d.names) {
		return io.EOF
	}
	name := d.names[d.next]
	d.next++
	b, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if err := d.pictures.Read(b, f); err != nil {
		return fmt.Errorf("replay: %s: %w", name, err)
	}
	return nil
}

func (d *folder) rewind() error { d.next = 0; return nil }
func (d *folder) close() error  { return nil }

// openFile plays a recording that is one file.
func openFile(path string, o Options, open func(io.ReadSeeker) (reader, float64, error)) (*Source, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	r, rate, err := open(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("replay: %s: %w", path, err), file.Close())
	}
	s := newSource(&named{r, path, file}, rate, o)
	if m, ok := r.(*motion); ok {
		m.drop, m.split.Bad = s.Drop, s.Drop
	}
	return s, nil
}

// named adds the file's name to a reader's errors.
type named struct {
	reader
	path string
	file *os.File
}

func (n *named) frame(f *camera.Frame) error {
	err := n.reader.frame(f)
	if err != nil && err != io.EOF {
		return fmt.Errorf("replay: %s: %w", n.path, err)
	}
	return err
}

func (n *named) close() error { return n.file.Close() }

// motion reads a sequence of JPEG pictures.
type motion struct {
	file    io.ReadSeeker
	split   *mjpeg.Splitter
	decoder mjpeg.Decoder
	frames  int
	drop    func(error) // is told of pictures that are not there as a whole
}

func newMJPEG(file io.ReadSeeker) (reader, float64, error) {
	return &motion{file: file, split: mjpeg.NewSplitter(file)}, 0, nil
}

func (m *motion) frame(f *camera.Frame) error {
	b, err := m.split.Next()
	if err == io.EOF && m.frames == 0 {
		if d := m.split.Dropped(); d.Total() > 0 {
			return errors.New(d.Last)
		}
		return errors.New("no JPEG picture in it")
	}
	if err != nil {
		return err
	}
	m.frames++
	return m.decoder.Decode(b, f)
}

func (m *motion) rewind() error {
	if _, err := m.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	m.split, m.frames = mjpeg.NewSplitter(m.file), 0
	m.split.Bad = m.drop
	return nil
}

func (m *motion) close() error { return nil }
