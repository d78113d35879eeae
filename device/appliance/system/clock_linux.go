package system

import (
	"errors"
	"os"
	"time"

	"github.com/beevik/ntp"
	"golang.org/x/sys/unix"
)

// clockFloor sets the clock forward to when a file was written: a Raspberry Pi
// has none that runs without power, and certificates of 1970 are not valid yet.
func clockFloor(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || !time.Now().Before(info.ModTime()) {
		return err
	}
	return setClock(info.ModTime())
}

func setClock(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return unix.Settimeofday(&tv)
}

// The servers that are asked when the network names none, how far off the clock
// may be before it is set, and how often that is looked at.
var pool = []string{"0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org", "3.pool.ntp.org"}

const (
	tolerance = 100 * time.Millisecond
	askAgain  = time.Hour
	askSoon   = 5 * time.Second
	askAtMost = 5 * time.Minute
)

// keepTime asks the network for the time, and notes it so that the next start
// is not far off.
func keepTime(n *network, l *log) {
	wait := askSoon
	for ; ; time.Sleep(wait) {
		if !n.wait(time.Minute) {
			continue
		}
		off, err := offset(n.timeServers())
		if err != nil {
			l.say("time: %v", err)
			wait = min(2*wait, askAtMost)
			continue
		}
		if off.Abs() > tolerance {
			if err := setClock(time.Now().Add(off)); err != nil {
				l.say("time: %v", err)
			}
			l.say("the clock is set: it was off by %v", off.Round(time.Millisecond))
		}
		synchronised.Store(true)
		l.try("time", os.WriteFile(lastTime, nil, 0o644))
		wait = askAgain
	}
}

// offset asks the servers in turn until one answers.
func offset(servers []string) (off time.Duration, err error) {
	var errs []error
	for _, s := range servers {
		r, err := ntp.QueryWithOptions(s, ntp.QueryOptions{Timeout: 3 * time.Second})
		if err == nil {
			err = r.Validate()
		}
		if err == nil {
			return r.ClockOffset, nil
		}
		errs = append(errs, err)
	}
	return 0, errors.Join(errs...)
}
