package system

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The hardware's watchdog restarts the board when it is not fed for so long
// (the Broadcom chips count to 15 s), and how often it is fed.
const (
	watchdogBite = 15
	watchdogBeat = 4 * time.Second
)

// watchdog starts it and returns what feeds it. The argument is for machines
// whose watchdog is none: QEMU's bites at once.
func (s *system) watchdog() (feed func()) {
	if argument("mien.watchdog=off") {
		s.log.say("the hardware watchdog is off: mien.watchdog=off")
		return func() {}
	}
	f, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if err != nil {
		s.log.say("no hardware watchdog: %v", err)
		return func() {}
	}
	s.log.try("watchdog", unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, watchdogBite))
	return func() { _, _ = f.Write([]byte{0}) } // what does not take it bites
}
