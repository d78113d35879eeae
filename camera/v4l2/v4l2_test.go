//go:build linux

package v4l2

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mien/camera"
	"mien/camera/cameratest"
)

// Sizes in C, on 64-bit Linux: the numbers of the requests hold them, so a
// kernel refuses others.
func TestLayout(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return
	}
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"VIDIOC_QUERYCAP", querycap, 0x80685600}, {"VIDIOC_ENUM_FMT", enumFmt, 0xc0405602}, {"VIDIOC_S_FMT", sFmt, 0xc0d05605},
		{"VIDIOC_REQBUFS", reqbufs, 0xc0145608}, {"VIDIOC_QUERYBUF", querybuf, 0xc0585609}, {"VIDIOC_QBUF", qbuf, 0xc058560f},
		{"VIDIOC_DQBUF", dqbuf, 0xc0585611}, {"VIDIOC_STREAMON", streamon, 0x40045612}, {"VIDIOC_STREAMOFF", streamoff, 0x40045613},
		{"VIDIOC_S_PARM", sParm, 0xc0cc5616},
	} {
		if c.got != c.want {
			t.Errorf("%s is %#x, want %#x", c.name, c.got, c.want)
		}
	}
	var b buffer
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"timestamp", unsafe.Offsetof(b.seconds), 24}, {"sequence", unsafe.Offsetof(b.sequence), 56}, {"memory", unsafe.Offsetof(b.memory), 60},
		{"m.offset", unsafe.Offsetof(b.offset), 64}, {"length", unsafe.Offsetof(b.length), 72},
	} {
		if c.got != c.want {
			t.Errorf("v4l2_buffer.%s is at %d, want %d", c.name, c.got, c.want)
		}
	}
}

// device is a camera driver: what the kernel's side of the interface does,
// with the liberties that drivers take.
type device struct {
	offer   []FourCC
	size    image.Point // the only size it has
	padding int         // bytes after each row
	mute    bool        // the driver does not say that there are any
	stamps  bool        // frames carry the driver's clock
	noCount bool        // frames carry no number
	bad     map[int]bool
	short   map[int]bool
	openErr error
	caps    uint32

	opened, closed, mapped int
	format                 FourCC
	memory                 [][]byte
	queued                 []uint32
	on, gone, stalled      bool
	n                      int
	now                    time.Duration
	jpegs                  [][]byte
}

const picture = 8 // pictures differ from number to number, up to here

func newDevice(format string) *device {
	d := &device{offer: []FourCC{fourcc("H264"), fourcc(format)}, size: image.Pt(96, 64), caps: capCapture | capStreaming, now: time.Hour}
	for n := range picture {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, want(uint64(n+1)), &jpeg.Options{Quality: 98}); err != nil {
			panic(err)
		}
		d.jpegs = append(d.jpegs, b.Bytes())
	}
	return d
}

func want(seq uint64) *image.Gray { return cameratest.Pattern(96, 64, (seq-1)%picture) }

func (d *device) open(string) (int, error) {
	if d.openErr != nil {
		return -1, d.openErr
	}
	d.opened++
	d.gone, d.n = false, 0
	return 3, nil
}

func (d *device) ioctl(fd int, req uintptr, arg unsafe.Pointer) error {
	if d.gone {
		return unix.ENODEV
	}
	switch req {
	case querycap:
		c := (*capability)(arg)
		copy(c.card[:], "Test Camera")
		c.all, c.device = d.caps|capDeviceCaps|0x10, d.caps
	case enumFmt:
		f := (*fmtdesc)(arg)
		if int(f.index) >= len(d.offer) {
			return unix.EINVAL
		}
		f.fourcc = d.offer[f.index]
	case sFmt:
		f := (*format)(arg)
		f.pix.width, f.pix.height = uint32(d.size.X), uint32(d.size.Y)
		if !contains(d.offer, f.pix.fourcc) {
			f.pix.fourcc = d.offer[0]
		}
		d.format = f.pix.fourcc
		f.pix.bytesPerLine, f.pix.sizeImage = uint32(d.line()), uint32(d.line()*d.size.Y*2)
		if d.mute {
			f.pix.bytesPerLine -= uint32(d.padding)
		}
	case sParm:
		return unix.ENOTTY // many have no rates
	case reqbufs:
		r := (*requestBuffers)(arg)
		r.count = min(r.count, 3)
		d.memory = make([][]byte, r.count)
		for i := range d.memory {
			d.memory[i] = make([]byte, max(d.line()*d.size.Y*2, 1<<15))
		}
	case querybuf:
		b := (*buffer)(arg)
		b.offset, b.length = b.index<<20, uint32(len(d.memory[b.index]))
	case qbuf:
		d.queued = append(d.queued, (*buffer)(arg).index)
	case dqbuf:
		return d.dequeue((*buffer)(arg))
	case streamon:
		d.on = true
	case streamoff:
		d.on, d.queued = false, d.queued[:0]
	default:
		return unix.ENOTTY
	}
	return nil
}

func (d *device) line() int {
	switch d.format {
	case fourcc("MJPG"):
		return 0
	case fourcc("YUYV"), fourcc("UYVY"):
		return 2*d.size.X + d.padding
	}
	return d.size.X + d.padding
}

func (d *device) dequeue(b *buffer) error {
	if !d.on || len(d.queued) == 0 {
		return unix.EINVAL
	}
	b.index = d.queued[0]
	copy(d.queued, d.queued[1:])
	d.queued = d.queued[:len(d.queued)-1]
	b.used = uint32(d.draw(d.memory[b.index]))
	d.now += 40 * time.Millisecond
	if !d.noCount {
		b.sequence = uint32(7 + d.n) // drivers need not begin at 0
	}
	if d.stamps {
		stamp := d.now - 15*time.Millisecond
		b.flags = flagClockMonotone
		b.seconds, b.micros = int(stamp/time.Second), int(stamp%time.Second/time.Microsecond)
	}
	if d.bad[d.n] {
		b.flags |= flagError
	}
	if d.short[d.n] {
		b.used /= 2
	}
	d.n++
	return nil
}

// draw writes picture d.n in the driver's format, with rubbish for colour and
// between the rows.
func (d *device) draw(b []byte) int {
	if d.format == fourcc("MJPG") {
		return copy(b, d.jpegs[d.n%picture])
	}
	line := d.line()
	for y := range d.size.Y {
		for x := range d.size.X {
			v := uint8(40 + (x*2+y+d.n%picture*9)%160) // as cameratest.Pattern
			switch d.format {
			case fourcc("YUYV"):
				b[y*line+2*x], b[y*line+2*x+1] = v, 0xee
			case fourcc("UYVY"):
				b[y*line+2*x], b[y*line+2*x+1] = 0xee, v
			default:
				b[y*line+x] = v
			}
		}
	}
	for _, f := range formats {
		if f.fourcc == d.format {
			return line * d.size.Y * f.halves / 2
		}
	}
	return line * d.size.Y
}

func (d *device) mmap(_ int, offset int64, length int) ([]byte, error) {
	d.mapped++
	return d.memory[offset>>20][:length], nil
}

func (d *device) munmap([]byte) error { d.mapped--; return nil }

func (d *device) wait(_ int, timeout time.Duration) (bool, error) {
	if d.stalled {
		time.Sleep(min(timeout, time.Millisecond))
		return false, nil
	}
	return true, nil
}

func (d *device) uptime() time.Duration { return d.now }

func (d *device) close(int) error { d.closed++; return nil }

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		format  string
		padding int
		off     int
	}{{"GREY", 0, 0}, {"GREY", 32, 0}, {"YUYV", 0, 0}, {"YUYV", 64, 0}, {"UYVY", 6, 0}, {"NV12", 0, 0}, {"YU12", 16, 0}, {"MJPG", 0, 4}} {
		t.Run(c.format, func(t *testing.T) {
			var d *device
			cameratest.Run(t, cameratest.Camera{
				Open: func(t *testing.T) camera.Source {
					d = newDevice(c.format)
					d.padding, d.stamps = c.padding, true
					s, err := open(Options{Rate: 30}, d)
					if err != nil {
						t.Fatal(err)
					}
					return s
				},
				Size: image.Pt(96, 64), Want: want, Off: c.off,
				Stall: func(camera.Source) { d.stalled = true },
			})
			if d.opened != d.closed || d.mapped != 0 {
				t.Errorf("opened %d times, closed %d times, %d buffers still mapped", d.opened, d.closed, d.mapped)
			}
		})
	}
}

// Rows longer than the picture are so in every width and format, whether the
// driver says so or not.
func TestPaddedRows(t *testing.T) {
	for _, format := range []string{"GREY", "YUYV", "UYVY", "NV12", "YU12", "422P"} {
		for _, w := range []int{320, 448, 576, 704, 960} {
			for _, mute := range []bool{false, true} {
				d := newDevice(format)
				d.size, d.mute = image.Pt(w, 48), mute
				d.padding = (w+127)/128*128 - w
				if d.padding == 0 {
					d.padding = 64
				}
				s, err := open(Options{Width: w, Height: 48}, d)
				if err != nil {
					t.Fatal(err)
				}
				var f camera.Frame
				if err := s.Next(t.Context(), &f); err != nil {
					t.Fatal(err)
				}
				want := cameratest.Pattern(w, 48, 0)
				for i, v := range want.Pix {
					if f.Pix[i] != v {
						t.Errorf("%s, %d pixels in a row and %d bytes of padding, said %v: pixel %d is %d, want %d", format, w, d.padding, !mute, i, f.Pix[i], v)
						break
					}
				}
				s.Close()
			}
		}
	}
}

// A camera that sends nothing but damaged frames is lost, and says why; what it
// calls itself is not printed as it is.
func TestNothingButDamage(t *testing.T) {
	d := newDevice("MJPG")
	for i := range d.jpegs {
		d.jpegs[i] = bytes.Replace(d.jpegs[i], []byte{0xff, 0xc0}, []byte{0xff, 0xc9}, 1)
	}
	s, err := open(Options{Timeout: 50 * time.Millisecond}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Next(t.Context(), &camera.Frame{})
	if err == nil || !strings.Contains(err.Error(), "no good frame") || !strings.Contains(err.Error(), "arithmetic-coded") {
		t.Errorf("%v", err)
	}
	if got := text([]byte("Cam\x1b[2J\x00rest")); got != "Cam\ufffd[2J" {
		t.Errorf("%q", got)
	}
}

func TestFormatChoice(t *testing.T) {
	all := []FourCC{fourcc("MJPG"), fourcc("YUYV"), fourcc("GREY")}
	for _, c := range []struct {
		wish string
		want string
	}{{"", "YUYV"}, {"GREY", "GREY"}, {"MJPG", "MJPG"}} {
		d := newDevice("GREY")
		d.offer = all
		s, err := open(Options{Format: c.wish}, d)
		if err != nil {
			t.Fatal(err)
		}
		if s.pix.fourcc != fourcc(c.want) || !strings.Contains(s.String(), "Test Camera, 96x64 "+c.want) {
			t.Errorf("wished for %q: %v", c.wish, s)
		}
		s.Close()
	}
}

func TestDamagedFramesAreSkipped(t *testing.T) {
	d := newDevice("YUYV")
	d.bad, d.short = map[int]bool{1: true}, map[int]bool{2: true, 4: true}
	s, err := open(Options{}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var f camera.Frame
	for _, seq := range []uint64{1, 4, 6, 7} {
		if err := s.Next(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		if f.Seq != seq {
			t.Errorf("frame %d, want %d", f.Seq, seq)
		}
	}
	if d := s.Dropped(); d.Counts[camera.Damaged] != 1 || d.Counts[camera.Cut] != 2 || d.Total() != 3 {
		t.Errorf("dropped %v, want 1 damaged and 2 cut", d)
	}
}

func TestTimeAndCount(t *testing.T) {
	d := newDevice("GREY")
	d.stamps, d.noCount = true, true
	s, err := open(Options{}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var f camera.Frame
	for n := range uint64(3) {
		before := time.Now()
		if err := s.Next(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		// The driver stamped it 15 ms before it was taken.
		if age := before.Sub(f.Time); age > 15*time.Millisecond || f.Time.After(time.Now().Add(-15*time.Millisecond)) {
			t.Errorf("frame %d was taken %v before it was asked for", n, age)
		}
		if f.Seq != n+1 {
			t.Errorf("frame %d has number %d", n+1, f.Seq)
		}
	}
}

// A camera that is pulled out gives an error, and works when it is back.
func TestUnplug(t *testing.T) {
	d := newDevice("YUYV")
	for range 3 {
		s, err := open(Options{}, d)
		if err != nil {
			t.Fatal(err)
		}
		var f camera.Frame
		if err := s.Next(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		d.gone = true
		if err := s.Next(t.Context(), &f); err == nil || !strings.Contains(err.Error(), "unplugged") || !strings.Contains(err.Error(), "/dev/video0") {
			t.Errorf("unplugged: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing an unplugged camera: %v", err)
		}
	}
	if d.opened != 3 || d.closed != 3 || d.mapped != 0 {
		t.Errorf("opened %d, closed %d, %d buffers mapped", d.opened, d.closed, d.mapped)
	}
}

func TestSilentCamera(t *testing.T) {
	d := newDevice("GREY")
	s, err := open(Options{Timeout: time.Second}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d.stalled = true
	var f camera.Frame
	if err := s.Next(context.Background(), &f); err == nil || !strings.Contains(err.Error(), "no frame for 1s") {
		t.Errorf("%v", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		set  func(*device)
		o    Options
		want string
	}{
		{func(d *device) { d.openErr = unix.EACCES }, Options{Device: "/dev/video7"}, `/dev/video7: permission denied (add the user to group "video")`},
		{func(d *device) { d.openErr = unix.ENOENT }, Options{}, "ls /dev/video*"},
		{func(d *device) { d.openErr = unix.EBUSY }, Options{}, "another program"},
		{func(d *device) { d.caps = capStreaming }, Options{}, "gives no pictures"},
		{func(d *device) { d.caps = capCaptureMplane | capStreaming }, Options{}, "several planes"},
		{func(d *device) { d.caps = capCapture }, Options{}, "cannot stream"},
		{func(d *device) { d.offer = d.offer[:1] }, Options{}, "offers [H264]"},
		{func(d *device) {}, Options{Format: "NV12"}, "want NV12"},
		{func(d *device) {}, Options{Format: "raw"}, "four letters"},
		{func(d *device) {}, Options{Width: -5}, "cannot take"},
		{func(d *device) { d.size.X = 0 }, Options{}, "0x64"},
		{func(d *device) { d.padding = -4 }, Options{}, "bytes in a row"},
	} {
		d := newDevice("GREY")
		c.set(d)
		_, err := open(c.o, d)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
		if d.opened != d.closed || d.mapped != 0 {
			t.Errorf("%v: the device was left open", err)
		}
	}
}

// What is no camera at all, through the real kernel.
func TestRealKernel(t *testing.T) {
	if _, err := Open(Options{Device: "/dev/null"}); err == nil || !strings.Contains(err.Error(), "no camera") {
		t.Errorf("/dev/null: %v", err)
	}
	if _, err := Open(Options{Device: "/dev/nonexistent"}); err == nil || !strings.Contains(err.Error(), "plugged in") {
		t.Errorf("a device that is not there: %v", err)
	}
}
