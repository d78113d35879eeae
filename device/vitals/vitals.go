// Package vitals reads how hot a board is and whether its power holds, from
// what the kernel shows below /sys.
package vitals

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Vitals is one look at the board. Zero values mean that the board does not
// say.
type Vitals struct {
	Celsius      float64 // of the hottest zone watched
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
		if kind := word(root, dir, "type"); len(zones) > 0 && !contains(zones, kind) {
			continue
		}
		if milli, err := strconv.Atoi(word(root, dir, "temp")); err == nil {
			v.Celsius = max(v.Celsius, float64(milli)/1000)
		}
	}
	for _, file := range glob(root, "sys/devices/platform/soc/*firmware/get_throttled") {
		bits, err := strconv.ParseUint(strings.TrimPrefix(word(root, path.Dir(file), "get_throttled"), "0x"), 16, 32)
		if err != nil {
			continue
		}
		v.UnderVoltage = bits&lowNow != 0
		v.Throttled = bits&(cappedNow|throttledNow|softNow) != 0
		v.WasLow = bits&lowSince != 0
	}
	// Kernels without that file have the alarm of raspberrypi-hwmon.
	for _, dir := range glob(root, "sys/class/hwmon/hwmon*") {
		if word(root, dir, "name") == "rpi_volt" && word(root, dir, "in0_lcrit_alarm") == "1" {
			v.UnderVoltage = true
		}
	}
	return v
}

// Slow says why a board in this state should do less, or is empty.
func (v Vitals) Slow(tooHot float64) string {
	switch {
	case v.UnderVoltage:
		return "under-voltage"
	case v.Throttled:
		return "throttled by the firmware"
	case v.Celsius >= tooHot:
		return "hot"
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

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
