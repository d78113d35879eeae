//go:build linux

package v4l2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mien/camera"
	"mien/camera/mjpeg"
)

// Options of a camera. Zero values take the defaults.
type Options struct {
	Device        string        // empty means /dev/video0
	Width, Height int           // wished for; 0 means 640x480. The driver has the last word
	Rate          float64       // frames a second, wished for; 0 leaves it to the driver
	Format        string        // four letters, such as YUYV; empty takes the best that the camera has
	Buffers       int           // frames that the driver may keep; 0 means 4
	Timeout       time.Duration // without a frame after which the camera is lost; 0 means 5 s
}

// Formats that are understood, the best first. YUYV is what USB cameras send
// by nature; others are often made of it on the way. JPEG costs the most.
var formats = []struct {
	fourcc FourCC
	luma   func(f *camera.Frame, b []byte, line int) // nil for JPEG
	bytes  int                                       // of a row, a pixel of luma
	halves int                                       // of the first plane, that all planes together are
}{
	{fourcc("YUYV"), even, 2, 2},
	{fourcc("GREY"), plane, 1, 2},
	{fourcc("NV12"), plane, 1, 3},
	{fourcc("NV21"), plane, 1, 3},
	{fourcc("YU12"), plane, 1, 3},
	{fourcc("YV12"), plane, 1, 3},
	{fourcc("422P"), plane, 1, 4},
	{fourcc("YVYU"), even, 2, 2},
	{fourcc("UYVY"), odd, 2, 2},
	{fourcc("VYUY"), odd, 2, 2},
	{fourcc("MJPG"), nil, 0, 0},
	{fourcc("JPEG"), nil, 0, 0},
}

// Source is an open camera. It is a camera.Source.
type Source struct {
	camera.Tally
	o       Options
	kernel  kernel
	fd      int
	card    string
	pix     pixFormat
	luma    func(f *camera.Frame, b []byte, line int)
	bytes   int
	halves  int
	buffers [][]byte
	buf     buffer
	jpeg    mjpeg.Decoder
	started bool
	first   uint32 // the driver's number of the first frame
	seq     uint64
	closed  bool
}

var (
	_ camera.Source  = (*Source)(nil)
	_ camera.Dropper = (*Source)(nil)
)

// Open opens a camera and starts it. A camera that is unplugged makes Next
// return an error; once it is plugged in again, Open works again.
func Open(o Options) (*Source, error) { return open(o, &linux{}) }

func open(o Options, k kernel) (*Source, error) {
	o.Device = cmp.Or(o.Device, "/dev/video0")
	o.Width, o.Height = cmp.Or(o.Width, 640), cmp.Or(o.Height, 480)
	o.Buffers, o.Timeout = cmp.Or(o.Buffers, 4), cmp.Or(o.Timeout, 5*time.Second)
	if o.Width < 16 || o.Height < 16 || o.Width > 8192 || o.Height > 8192 || o.Buffers < 2 || o.Buffers > 32 || o.Timeout < 0 || !(o.Rate >= 0 && o.Rate <= 1000) {
		return nil, fmt.Errorf("v4l2: %s: cannot take %dx%d at %g a second with %d buffers", o.Device, o.Width, o.Height, o.Rate, o.Buffers)
	}
	if len(o.Format) != 0 && len(o.Format) != 4 {
		return nil, fmt.Errorf("v4l2: %q is no format: want four letters such as YUYV", o.Format)
	}
	s := &Source{o: o, kernel: k, fd: -1}
	if err := s.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("v4l2: %s: %w", o.Device, err), s.Close())
	}
	return s, nil
}

func (s *Source) start() error {
	fd, err := s.kernel.open(s.o.Device)
	if err != nil {
		return advise(err)
	}
	s.fd = fd
	if err := s.capture(); err != nil {
		return err
	}
	if err := s.negotiate(); err != nil {
		return err
	}
	if s.o.Rate > 0 {
		s.rate()
	}
	if err := s.mapBuffers(); err != nil {
		return err
	}
	kind := int32(kindCapture)
	if err := s.kernel.ioctl(s.fd, streamon, unsafe.Pointer(&kind)); err != nil {
		return fmt.Errorf("starting the camera: %w", advise(err))
	}
	return nil
}

// advise says what to do about the usual errors.
func advise(err error) error {
	for _, c := range []struct {
		err  error
		what string
	}{
		{unix.EACCES, `add the user to group "video"`},
		{unix.ENOENT, "is the camera plugged in? ls /dev/video* lists what there is"},
		{unix.ENODEV, "the camera was unplugged"},
		{unix.ENXIO, "the camera was unplugged"},
		{unix.EBUSY, "another program uses the camera: fuser -v /dev/video*"},
		{unix.ENOSPC, "the USB bus has no room for the camera: choose a smaller picture or MJPG"},
		{unix.ENOTTY, "this is no camera"},
	} {
		if errors.Is(err, c.err) {
			return fmt.Errorf("%w (%s)", err, c.what)
		}
	}
	return err
}

// capture makes sure that the device gives pictures.
func (s *Source) capture() error {
	var c capability
	if err := s.kernel.ioctl(s.fd, querycap, unsafe.Pointer(&c)); err != nil {
		return advise(err)
	}
	s.card = text(c.card[:])
	caps := c.all
	if caps&capDeviceCaps != 0 {
		caps = c.device
	}
	switch {
	case caps&capCapture == 0 && caps&capCaptureMplane != 0:
		return fmt.Errorf("%s gives pictures in several planes, which is not supported; a camera behind libcamera is opened as rpicam", s.card)
	case caps&capCapture == 0:
		return fmt.Errorf("%s gives no pictures; cameras often have two devices, try the other", s.card)
	case caps&capStreaming == 0:
		return fmt.Errorf("%s cannot stream", s.card)
	}
	return nil
}

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return camera.Printable(s)
}

// offered returns the formats that the camera has.
func (s *Source) offered() ([]FourCC, error) {
	var out []FourCC
	for i := range uint32(256) {
		d := fmtdesc{index: i, kind: kindCapture}
		err := s.kernel.ioctl(s.fd, enumFmt, unsafe.Pointer(&d))
		if errors.Is(err, unix.EINVAL) {
			return out, nil
		}
		if err != nil {
			return nil, advise(err)
		}
		out = append(out, d.fourcc)
	}
	return out, nil
}

// negotiate agrees with the driver on a format and size: the first of ours in
// the size wished for, else the one that comes nearest to it.
func (s *Source) negotiate() error {
	have, err := s.offered()
	if err != nil {
		return err
	}
	best, bestOff := -1, 0
	for i, f := range formats {
		if s.o.Format != "" && f.fourcc != fourcc(s.o.Format) || !contains(have, f.fourcc) {
			continue
		}
		pix, err := s.set(f.fourcc)
		if err != nil || pix.fourcc != f.fourcc {
			continue
		}
		off := abs(int(pix.width)-s.o.Width) + abs(int(pix.height)-s.o.Height)
		if best < 0 || off < bestOff {
			best, bestOff = i, off
		}
		if off == 0 {
			break
		}
	}
	if best < 0 {
		return fmt.Errorf("%s offers %v; want %s", s.card, have, cmp.Or(s.o.Format, "one of GREY, NV12, YU12, YUYV, UYVY, MJPG"))
	}
	pix, err := s.set(formats[best].fourcc)
	if err != nil {
		return advise(err)
	}
	s.pix, s.luma, s.bytes, s.halves = pix, formats[best].luma, formats[best].bytes, formats[best].halves
	return s.checkFormat()
}

func contains(fs []FourCC, f FourCC) bool {
	for _, g := range fs {
		if f == g {
			return true
		}
	}
	return false
}

func abs(n int) int { return max(n, -n) }

// set asks for a format and returns what the driver made of it.
func (s *Source) set(f FourCC) (pixFormat, error) {
	v := format{kind: kindCapture}
	v.pix = pixFormat{width: uint32(s.o.Width), height: uint32(s.o.Height), fourcc: f, field: fieldNone}
	err := s.kernel.ioctl(s.fd, sFmt, unsafe.Pointer(&v))
	return v.pix, err
}

// checkFormat refuses what cannot be; a row's length is the driver's to say,
// and some leave it out where rows are not padded.
func (s *Source) checkFormat() error {
	p := &s.pix
	if p.width == 0 || p.height == 0 || p.width > 16384 || p.height > 16384 {
		return fmt.Errorf("%s gives pictures of %dx%d", s.card, p.width, p.height)
	}
	if s.luma == nil {
		return nil
	}
	row := p.width * uint32(s.bytes)
	if p.bytesPerLine == 0 {
		p.bytesPerLine = row
	}
	if p.bytesPerLine < row || p.bytesPerLine > 1<<20 {
		return fmt.Errorf("%s has %d bytes in a row of %d pixels of %v", s.card, p.bytesPerLine, p.width, p.fourcc)
	}
	return nil
}

// rate wishes for a frame rate. Drivers may ignore it.
func (s *Source) rate() {
	p := streamparm{kind: kindCapture, num: 1000, den: uint32(s.o.Rate*1000 + 0.5)}
	_ = s.kernel.ioctl(s.fd, sParm, unsafe.Pointer(&p))
}

func (s *Source) mapBuffers() error {
	r := requestBuffers{count: uint32(s.o.Buffers), kind: kindCapture, memory: memoryMmap}
	if err := s.kernel.ioctl(s.fd, reqbufs, unsafe.Pointer(&r)); err != nil {
		return fmt.Errorf("asking for buffers: %w", advise(err))
	}
	if r.count < 2 || r.count > 32 {
		return fmt.Errorf("%s has %d buffers, want 2 or more", s.card, r.count)
	}
	for i := range r.count {
		s.buf = buffer{index: i, kind: kindCapture, memory: memoryMmap}
		if err := s.kernel.ioctl(s.fd, querybuf, unsafe.Pointer(&s.buf)); err != nil {
			return fmt.Errorf("asking for buffer %d: %w", i, advise(err))
		}
		b, err := s.kernel.mmap(s.fd, int64(s.buf.offset), int(s.buf.length))
		if err != nil {
			return fmt.Errorf("mapping buffer %d: %w", i, err)
		}
		s.buffers = append(s.buffers, b)
		if err := s.queue(i); err != nil {
			return err
		}
	}
	return nil
}

// queue gives a buffer back to the driver.
func (s *Source) queue(i uint32) error {
	s.buf = buffer{index: i, kind: kindCapture, memory: memoryMmap}
	if err := s.kernel.ioctl(s.fd, qbuf, unsafe.Pointer(&s.buf)); err != nil {
		return fmt.Errorf("giving back buffer %d: %w", i, advise(err))
	}
	return nil
}

// String says what camera this is and what it sends.
func (s *Source) String() string {
	return fmt.Sprintf("%s: %s, %dx%d %v", s.o.Device, s.card, s.pix.width, s.pix.height, s.pix.fourcc)
}

// Next fills f with the next frame. Damaged ones are skipped. When the camera
// is unplugged, or sends nothing for Options.Timeout, it returns an error; the
// source is then to be closed.
func (s *Source) Next(ctx context.Context, f *camera.Frame) error {
	var waited time.Duration
	begun := time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.closed {
			return camera.ErrClosed
		}
		// Short waits, so that cancelling is noticed.
		const nap = 100 * time.Millisecond
		ready, err := s.kernel.wait(s.fd, nap)
		if err != nil {
			return s.lost(err)
		}
		if !ready {
			if waited += nap; waited >= s.o.Timeout {
				return s.silent("no frame")
			}
			continue
		}
		ok, err := s.take(f)
		if err != nil {
			return s.lost(err)
		}
		if ok {
			return nil
		}
		if time.Since(begun) >= s.o.Timeout {
			return s.silent("no good frame")
		}
	}
}

// silent is the error of a camera that gives nothing, and why as far as that is
// known.
func (s *Source) silent(what string) error {
	err := fmt.Errorf("%s for %v", what, s.o.Timeout)
	if d := s.Dropped(); d.Total() > 0 {
		err = fmt.Errorf("%w; dropped since it was opened: %v", err, d)
	}
	return s.lost(err)
}

func (s *Source) lost(err error) error {
	return fmt.Errorf("v4l2: %s: %w", s.o.Device, advise(err))
}

// take takes a frame from the driver, if there is a good one.
func (s *Source) take(f *camera.Frame) (ok bool, err error) {
	s.buf = buffer{kind: kindCapture, memory: memoryMmap}
	if err := s.kernel.ioctl(s.fd, dqbuf, unsafe.Pointer(&s.buf)); err != nil {
		if errors.Is(err, unix.EAGAIN) {
			return false, nil
		}
		return false, err
	}
	i, used, flags := s.buf.index, s.buf.used, s.buf.flags
	if int(i) >= len(s.buffers) || int64(used) > int64(len(s.buffers[i])) {
		return false, fmt.Errorf("the driver speaks of buffer %d with %d bytes", i, used)
	}
	s.count(f)
	err = s.fill(f, s.buffers[i][:used])
	if flags&flagError != 0 {
		err = errDriver
	}
	if err != nil {
		s.Drop(err)
	}
	return err == nil, s.queue(i)
}

var errDriver = camera.Bad(camera.Damaged, "the driver marks the frame as damaged")

// count numbers and dates the frame that s.buf describes. Drivers that do not
// count are helped out.
func (s *Source) count(f *camera.Frame) {
	if !s.started {
		s.started, s.first = true, s.buf.sequence
	}
	s.seq = max(s.seq+1, uint64(s.buf.sequence-s.first)+1)
	f.Seq, f.Time = s.seq, time.Now()
	if s.buf.flags&flagClockMask != flagClockMonotone {
		return
	}
	stamp := time.Duration(s.buf.seconds)*time.Second + time.Duration(s.buf.micros)*time.Microsecond
	if age := s.kernel.uptime() - stamp; age > 0 && age < time.Minute {
		f.Time = f.Time.Add(-age)
	}
}

// fill copies the luma of a driver's frame.
func (s *Source) fill(f *camera.Frame, b []byte) error {
	if s.luma == nil {
		return s.jpeg.Decode(b, f)
	}
	w, h := int(s.pix.width), int(s.pix.height)
	line := s.line(len(b))
	if len(b) < (h-1)*line+w*s.bytes {
		return camera.Bad(camera.Cut, "the driver gave %d bytes of a frame of %d", len(b), h*line)
	}
	f.Resize(w, h)
	s.luma(f, b, line)
	return nil
}

// line returns the length of a row in a frame of n bytes. Some drivers pad rows
// and do not say so: then there are as many bytes more as whole rows have.
func (s *Source) line(n int) int {
	said, h := int(s.pix.bytesPerLine), int(s.pix.height)
	const align = 16 // hardware pads to this at least
	if line := 2 * n / (h * s.halves); line > said && line%align == 0 && line*h*s.halves == 2*n {
		return line
	}
	return said
}

// plane copies formats whose first plane is luma.
func plane(f *camera.Frame, b []byte, line int) {
	w := f.Rect.Dx()
	for y := range f.Rect.Dy() {
		copy(f.Pix[y*w:][:w], b[y*line:])
	}
}

// even and odd copy formats in which luma is every second byte.
func even(f *camera.Frame, b []byte, line int) { second(f, b, line, 0) }
func odd(f *camera.Frame, b []byte, line int)  { second(f, b, line, 1) }

func second(f *camera.Frame, b []byte, line, first int) {
	w := f.Rect.Dx()
	for y := range f.Rect.Dy() {
		row, from := f.Pix[y*w:][:w], b[y*line:][:2*w]
		for x := range row {
			row[x] = from[2*x+first]
		}
	}
}

// Close stops the camera and gives it back.
func (s *Source) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.fd < 0 {
		return nil
	}
	var errs []error
	// An unplugged camera cannot be stopped, and need not be.
	kind := int32(kindCapture)
	_ = s.kernel.ioctl(s.fd, streamoff, unsafe.Pointer(&kind))
	for _, b := range s.buffers {
		errs = append(errs, s.kernel.munmap(b))
	}
	errs = append(errs, s.kernel.close(s.fd))
	return errors.Join(errs...)
}
