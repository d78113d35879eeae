package system

import (
	"bytes"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// owners are the groups that miend needs for its devices.
var owners = []struct {
	pattern string // of the name under /dev
	group   int
}{
	{"video*", videoID}, {"media*", videoID}, {"gpiochip*", gpioID}, {"i2c-*", i2cID}, {"spidev*", spiID},
}

// own gives a device to its group.
func own(name string) error {
	for _, o := range owners {
		if ok, _ := path.Match(o.pattern, name); ok {
			at := "/dev/" + name
			return errors.Join(os.Chown(at, 0, o.group), os.Chmod(at, 0o660))
		}
	}
	return nil
}

// ownLEDs lets miend blink the board's LEDs, by which it shows which it is.
func ownLEDs(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	errs := []error{err}
	for _, f := range files {
		if name := filepath.Base(f); name == "brightness" || name == "trigger" {
			errs = append(errs, os.Chown(f, 0, mienID), os.Chmod(f, 0o660))
		}
	}
	return errors.Join(errs...)
}

// watchDevices gives the devices that there are to their groups, and returns
// what does so with those that are plugged in later, as the kernel tells of
// them (Documentation/admin-guide/sysfs-rules.rst, uevents).
func watchDevices(l *log) (follow func()) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})
	}
	l.try("devices that are plugged in", err)
	for _, o := range owners {
		names, _ := filepath.Glob("/dev/" + o.pattern) // the patterns are right
		for _, n := range names {
			l.try("devices", own(filepath.Base(n)))
		}
	}
	l.try("LEDs", ownLEDs("/sys/class/leds"))
	return func() {
		if err != nil {
			return
		}
		b := make([]byte, 64<<10)
		for {
			n, _, err := unix.Recvfrom(fd, b, 0)
			if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOBUFS) {
				continue
			}
			if err != nil {
				l.say("devices that are plugged in: %v", err)
				return
			}
			if name, ok := added(b[:n]); ok {
				l.try("devices", own(name))
			}
		}
	}
}

// added is the device that an event tells of, if one has come.
func added(event []byte) (name string, ok bool) {
	for field := range bytes.SplitSeq(event, []byte{0}) {
		switch key, value, _ := strings.Cut(string(field), "="); key {
		case "ACTION":
			ok = value == "add"
		case "DEVNAME":
			name = value
		}
	}
	return name, ok && name != ""
}
