package doctor

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// watchdog opens the hardware watchdog as miend does. Opening arms it, so it
// is left alone where it could not be disarmed again, or is somebody else's
// (Documentation/ABI/testing/sysfs-class-watchdog of the kernel).
func (e *exam) watchdog() {
	w := e.Config.Health.Watchdog
	if w == "none" {
		return
	}
	if !e.exists(w) {
		e.bad(Fail, "watchdog", w+" does not exist", "a hung board would not be restarted", "sudo modprobe bcm2835_wdt, or set health.watchdog: none")
		return
	}
	sys := "sys/class/watchdog/" + path.Base(w)
	if path.Base(w) == "watchdog" { // the first of them
		sys += "0"
	}
	name := strings.TrimSpace(w + " " + e.text(sys+"/identity"))
	switch active := e.text(sys+"/state") == "active"; {
	case active && e.Runs:
		e.ok("watchdog", "%s, fed by miend, which is running", name)
		return
	case active:
		e.bad(Fail, "watchdog", name+" is in use by another program", "a watchdog has one owner",
			"sudo fuser -v "+w+" says who; where that is systemd, take RuntimeWatchdogSec out of /etc/systemd/system.conf")
		return
	case e.text(sys+"/nowayout") == "1":
		e.ok("watchdog", "%s, not tried: once open it cannot be stopped", name)
		return
	case e.Dog == nil:
		e.ok("watchdog", "%s", name)
		return
	}
	switch err := e.Dog(); {
	case err == nil:
		e.ok("watchdog", "%s opens", name)
	case errors.Is(err, fs.ErrPermission):
		e.bad(Fail, "watchdog", err.Error(), "a hung board would not be restarted",
			"install the udev rule of the package (60-mien.rules), then sudo udevadm trigger --subsystem-match=watchdog --subsystem-match=misc; miend's user is in the group mien")
	default:
		e.bad(Fail, "watchdog", err.Error(), "a hung board would not be restarted", "sudo fuser -v "+w+" says who holds it; or set health.watchdog: none")
	}
}
