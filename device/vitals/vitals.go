// Package vitals reads how hot a board is and whether its power holds, from
// what the kernel shows below /sys.
package vitals

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Vitals is one look at the board. Zero values mean that the board does not
// say.
type Vitals struct {
	Celsius      float64 // of the hottest zone watched
	Told         bool    // the firmware told what follows; else only an alarm of the kernel's can set UnderVoltage
	UnderVoltage bool    // the supply is below its limit now
	Throttled    bool    // the firmware holds the processor down now
	WasLow       bool    // the supply has been too low since the board was started
}

// Bits of the Raspberry Pi firmware's answer
// (https://www.raspberrypi.com/documentation/computers/os.html#get_throttled).
const (
	lowNow, cappedNow, throttledNow, softNow = 1 << 0, 1 << 1, 1 << 2, 1 << 3
	lowSince                                 = 1 << 16
)

// Read looks at root, which is the machine's file system. zones are the types
// of the thermal zones to watch; none means all.
func Read(root fs.FS, zones []string) Vitals {
	var v Vitals
	for _, dir := range glob(root, "sys/class/thermal/thermal_zone*") {
		if kind := word(root, dir, "type"); len(zones) > 0 && !slices.Contains(zones, kind) {
			continue
		}
		if milli, err := strconv.Atoi(word(root, dir, "temp")); err == nil {
			v.Celsius = max(v.Celsius, float64(milli)/1000)
		}
	}
	// Raspberry Pi's kernels show it here; the Pi 5 has soc@107c000000 for soc
	// (raspberrypi/linux drivers/firmware/raspberrypi.c).
	for _, file := range glob(root, "sys/devices/platform/soc*/*firmware/get_throttled") {
		v.Hear(word(root, path.Dir(file), "get_throttled"))
	}
	// Kernels without that file have the alarm of raspberrypi-hwmon
	// (linux drivers/hwmon/raspberrypi-hwmon.c).
	for _, dir := range glob(root, "sys/class/hwmon/hwmon*") {
		if word(root, dir, "name") == "rpi_volt" && word(root, dir, "in0_lcrit_alarm") == "1" {
			v.UnderVoltage = true
		}
	}
	return v
}

// Hear takes over what the firmware answers when it is asked, as the kernel
// shows it ("50005") or as vcgencmd get_throttled prints it
// ("throttled=0x50005"). What makes no sense is not heard.
func (v *Vitals) Hear(answer string) {
	answer = strings.TrimPrefix(strings.TrimSpace(answer), "throttled=")
	bits, err := strconv.ParseUint(strings.TrimPrefix(answer, "0x"), 16, 32)
	if err != nil {
		return
	}
	v.Told = true
	v.UnderVoltage = v.UnderVoltage || bits&lowNow != 0
	v.Throttled = bits&(cappedNow|throttledNow|softNow) != 0
	v.WasLow = bits&lowSince != 0
}

// Reasons are all that Slow may answer, the gravest first.
var Reasons = []string{"under-voltage", "throttled by the firmware", "hot"}

// Slow says why a board in this state should do less: one of Reasons, or
// nothing.
func (v Vitals) Slow(tooHot float64) string {
	for i, holds := range []bool{v.UnderVoltage, v.Throttled, v.Celsius >= tooHot} {
		if holds {
			return Reasons[i]
		}
	}
	return ""
}

func glob(root fs.FS, pattern string) []string {
	names, err := fs.Glob(root, pattern)
	if err != nil {
		return nil
	}
	return names
}

// word returns what a file of the kernel's says, or nothing.
func word(root fs.FS, dir, name string) string {
	b, err := fs.ReadFile(root, path.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
