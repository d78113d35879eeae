//go:build linux

package v4l2

import (
	"errors"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is what the driver asks of the system; tests have one of their own.
type kernel interface {
	open(path string) (fd int, err error)
	ioctl(fd int, req uintptr, arg unsafe.Pointer) error
	mmap(fd int, offset int64, length int) ([]byte, error)
	munmap(b []byte) error
	// wait waits until a frame can be taken, or something has happened to the
	// device, at most so long.
	wait(fd int, timeout time.Duration) (ready bool, err error)
	// uptime is the time on the clock that drivers stamp frames with.
	uptime() time.Duration
	close(fd int) error
}

// linux is the real kernel.
type linux struct {
	poll [1]unix.PollFd
	ts   unix.Timespec
}

func (*linux) open(path string) (int, error) {
	return unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}

func (*linux) ioctl(fd int, req uintptr, arg unsafe.Pointer) error {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(arg))
		switch e {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return e
		}
	}
}

func (*linux) mmap(fd int, offset int64, length int) ([]byte, error) {
	return unix.Mmap(fd, offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func (*linux) munmap(b []byte) error { return unix.Munmap(b) }

func (l *linux) wait(fd int, timeout time.Duration) (bool, error) {
	l.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	n, err := unix.Poll(l.poll[:], int(timeout.Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	// With POLLERR or POLLHUP taking the frame says what is wrong.
	return n > 0, err
}

func (l *linux) uptime() time.Duration {
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &l.ts) != nil {
		return 0
	}
	return time.Duration(l.ts.Nano())
}

func (*linux) close(fd int) error { return unix.Close(fd) }
