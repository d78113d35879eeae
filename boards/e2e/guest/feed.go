//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The virtual camera is the kernel's vivid driver: what is fed into its output
// comes out of its capture device, bit for bit.
const (
	capture = "/dev/video0"
	output  = "/dev/video10"
	width   = 640
	height  = 480
	buffers = 4
)

// ioctl numbers and offsets are those of linux/videodev2.h on a 64-bit system.
const (
	sFmt       = 0xc0d05605 // VIDIOC_S_FMT, 208 bytes
	reqBufs    = 0xc0145608 // VIDIOC_REQBUFS, 20 bytes
	queryBuf   = 0xc0585609 // VIDIOC_QUERYBUF, 88 bytes
	qBuf       = 0xc058560f
	dqBuf      = 0xc0585611
	streamOn   = 0x40045612
	sCtrl      = 0xc008561c
	sDVTimings = 0xc0845657 // 132 bytes

	typeCapture = 1
	typeOutput  = 2
	memoryMmap  = 1
	fieldNone   = 1
	yuyv        = 0x56595559
)

func ioctl(f *os.File, number uintptr, arg []byte) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), number, uintptr(unsafe.Pointer(&arg[0])))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return fmt.Errorf("%s: ioctl %#x: %w", f.Name(), number, errno)
	}
}

func words(n int, values map[int]uint32) []byte {
	b := make([]byte, n)
	for at, v := range values {
		binary.LittleEndian.PutUint32(b[at:], v)
	}
	return b
}

// feeder streams one picture over and over into the virtual camera.
type feeder struct {
	out    *os.File
	planes [][]byte
	mu     sync.Mutex
	frame  []byte // YUYV
	stop   chan struct{}
	ended  chan struct{}
}

// show feeds the picture /frames/NAME, width*height bytes of grey, from now on.
func (g *guest) show(name string) error {
	grey, err := os.ReadFile("/frames/" + name)
	if err != nil {
		return err
	}
	if len(grey) != width*height {
		return fmt.Errorf("/frames/%s has %d bytes, want %d", name, len(grey), width*height)
	}
	frame := make([]byte, 2*len(grey))
	for i, y := range grey {
		frame[2*i], frame[2*i+1] = y, 128
	}
	if g.feed == nil {
		f, err := newFeeder(frame)
		if err != nil {
			return err
		}
		g.feed = f
		go f.run()
		return nil
	}
	g.feed.mu.Lock()
	g.feed.frame = frame
	g.feed.mu.Unlock()
	return nil
}

func (g *guest) stopFeed() {
	if g.feed != nil {
		close(g.feed.stop)
		<-g.feed.ended
		g.feed = nil
	}
}

// unplug takes the virtual camera away and waits until nobody holds it: as long
// as one program does, its number is taken and the next camera has another name.
func unplug() error {
	if err := os.WriteFile("/sys/bus/platform/drivers/vivid/unbind", []byte("vivid.0"), 0); err != nil {
		return err
	}
	return within(30*time.Second, func() error {
		if who := holder(capture); who != "" {
			return fmt.Errorf("%s still has %s open", who, capture)
		}
		return nil
	})
}

// holder is an open file of a process, /proc/PID/fd/N, whose device node path is
// gone, or "".
func holder(path string) string {
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && to == path+" (deleted)" {
			return f
		}
	}
	return ""
}

// timings is 640x480 at 60 Hz, VESA DMT: struct v4l2_dv_timings, packed.
func timings() []byte {
	b := words(132, map[int]uint32{4: width, 8: height, 28: 16, 32: 96, 36: 48, 40: 10, 44: 2, 48: 33, 64: 3})
	binary.LittleEndian.PutUint64(b[20:], 25175000)
	return b
}

// setUp makes the loop from output to capture.
func setUp() error {
	cam, err := open(capture)
	if err != nil {
		return err
	}
	defer cam.Close()
	out, err := open(output)
	if err != nil {
		return err
	}
	defer out.Close()
	// Loop video: on Linux 6.1 a switch, on 6.12 a menu whose
	// item 2 is this instance's output.
	if old := ioctl(cam, sCtrl, words(8, map[int]uint32{0: 0x00f0f025, 4: 1})); old != nil {
		if err := ioctl(cam, sCtrl, words(8, map[int]uint32{0: 0x00f0f071, 4: 2})); err != nil {
			return fmt.Errorf("%w; and before: %w", err, old)
		}
	}
	if err := ioctl(cam, sCtrl, words(8, map[int]uint32{0: 0x00f0f001, 4: 2})); err != nil { // no text over the picture
		return err
	}
	if err := ioctl(cam, sDVTimings, timings()); err != nil {
		return err
	}
	return ioctl(out, sDVTimings, timings())
}

// open waits for a device node, which appears a moment after its driver. It is
// not os.OpenFile, which polls the file, and a poll makes the kernel start
// reading from a capture device at once.
func open(path string) (f *os.File, err error) {
	err = within(5*time.Second, func() error {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		f = os.NewFile(uintptr(fd), path)
		return nil
	})
	return f, err
}

// within tries until it works, and returns the last error when it has not.
func within(limit time.Duration, try func() error) error {
	for end := time.Now().Add(limit); ; time.Sleep(25 * time.Millisecond) {
		if err := try(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

func newFeeder(frame []byte) (*feeder, error) {
	if err := setUp(); err != nil {
		return nil, err
	}
	out, err := open(output)
	if err != nil {
		return nil, err
	}
	f := &feeder{out: out, frame: frame, stop: make(chan struct{}), ended: make(chan struct{})}
	format := words(208, map[int]uint32{0: typeOutput, 8: width, 12: height, 16: yuyv, 20: fieldNone})
	if err := ioctl(out, sFmt, format); err != nil {
		return nil, err
	}
	if size := binary.LittleEndian.Uint32(format[28:]); size != uint32(len(frame)) {
		return nil, fmt.Errorf("%s takes frames of %d bytes, not %d", output, size, len(frame))
	}
	if err := ioctl(out, reqBufs, words(20, map[int]uint32{0: buffers, 4: typeOutput, 8: memoryMmap})); err != nil {
		return nil, err
	}
	for i := range uint32(buffers) {
		b := f.buffer(i)
		if err := ioctl(out, queryBuf, b); err != nil {
			return nil, err
		}
		length := int(binary.LittleEndian.Uint32(b[72:]))
		plane, err := unix.Mmap(int(out.Fd()), int64(binary.LittleEndian.Uint32(b[64:])), length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return nil, err
		}
		f.planes = append(f.planes, plane)
		if err := f.queue(i); err != nil {
			return nil, err
		}
	}
	return f, ioctl(out, streamOn, words(4, map[int]uint32{0: typeOutput}))
}

func (f *feeder) buffer(i uint32) []byte {
	return words(88, map[int]uint32{0: i, 4: typeOutput, 8: uint32(len(f.frame)), 16: fieldNone, 60: memoryMmap})
}

func (f *feeder) queue(i uint32) error {
	f.mu.Lock()
	copy(f.planes[i], f.frame)
	f.mu.Unlock()
	return ioctl(f.out, qBuf, f.buffer(i))
}

// run refills each buffer that was shown, until stop or an error.
func (f *feeder) run() {
	defer close(f.ended)
	defer f.out.Close()
	for {
		select {
		case <-f.stop:
			for _, p := range f.planes {
				_ = unix.Munmap(p)
			}
			return
		default:
		}
		b := f.buffer(0)
		if err := ioctl(f.out, dqBuf, b); err != nil {
			fmt.Println("guest: feeding stops:", err)
			return
		}
		if err := f.queue(binary.LittleEndian.Uint32(b)); err != nil {
			fmt.Println("guest: feeding stops:", err)
			return
		}
	}
}

// grab takes one picture from the camera, as any program would, and answers
// the SHA-256 of its grey levels.
func grab() (string, error) {
	cam, err := open(capture)
	if err != nil {
		return "", err
	}
	defer cam.Close()
	format := words(208, map[int]uint32{0: typeCapture, 8: width, 12: height, 16: yuyv, 20: fieldNone})
	if err := ioctl(cam, sFmt, format); err != nil {
		return "", err
	}
	if err := ioctl(cam, reqBufs, words(20, map[int]uint32{0: 2, 4: typeCapture, 8: memoryMmap})); err != nil {
		return "", err
	}
	b := words(88, map[int]uint32{4: typeCapture, 60: memoryMmap})
	if err := ioctl(cam, queryBuf, b); err != nil {
		return "", err
	}
	plane, err := unix.Mmap(int(cam.Fd()), int64(binary.LittleEndian.Uint32(b[64:])), int(binary.LittleEndian.Uint32(b[72:])), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return "", err
	}
	defer unix.Munmap(plane)
	if err := ioctl(cam, qBuf, b); err != nil {
		return "", err
	}
	if err := ioctl(cam, streamOn, words(4, map[int]uint32{0: typeCapture})); err != nil {
		return "", err
	}
	if err := ioctl(cam, dqBuf, b); err != nil {
		return "", err
	}
	grey := make([]byte, width*height)
	if len(plane) < 2*len(grey) {
		return "", fmt.Errorf("%s gives %d bytes, want %d", capture, len(plane), 2*len(grey))
	}
	for i := range grey {
		grey[i] = plane[2*i]
	}
	return fmt.Sprintf("%x", sha256.Sum256(grey)), nil
}
