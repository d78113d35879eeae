package vitals

import (
	"testing"
	"testing/fstest"
)

func TestRead(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	zone := func(kind, temp string) fstest.MapFS {
		return fstest.MapFS{"sys/class/thermal/thermal_zone0/type": file(kind), "sys/class/thermal/thermal_zone0/temp": file(temp)}
	}
	with := func(m fstest.MapFS, name, s string) fstest.MapFS { m[name] = file(s); return m }
	const throttled = "sys/devices/platform/soc/soc:firmware/get_throttled"
	for name, c := range map[string]struct {
		root  fstest.MapFS
		zones []string
		want  Vitals
		slow  string
	}{
		"nothing":      {root: fstest.MapFS{}},
		"cool":         {root: zone("cpu-thermal", "48312"), want: Vitals{Celsius: 48.312}},
		"hot":          {root: zone("cpu-thermal", "85000"), want: Vitals{Celsius: 85}, slow: "hot"},
		"other zone":   {root: zone("gpu", "85000"), zones: []string{"cpu-thermal"}},
		"broken":       {root: with(zone("cpu", "?"), throttled, "zz")},
		"low now":      {root: with(fstest.MapFS{}, throttled, "50005"), want: Vitals{Told: true, UnderVoltage: true, Throttled: true, WasLow: true}, slow: "under-voltage"},
		"low before":   {root: with(fstest.MapFS{}, throttled, "0x50000"), want: Vitals{Told: true, WasLow: true}},
		"held down":    {root: with(fstest.MapFS{}, throttled, "8"), want: Vitals{Told: true, Throttled: true}, slow: "throttled by the firmware"},
		"Pi 5":         {root: with(fstest.MapFS{}, "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled", "4"), want: Vitals{Told: true, Throttled: true}, slow: "throttled by the firmware"},
		"fine":         {root: with(fstest.MapFS{}, throttled, "0"), want: Vitals{Told: true}},
		"hwmon":        {root: with(with(fstest.MapFS{}, "sys/class/hwmon/hwmon1/name", "rpi_volt"), "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1"), want: Vitals{UnderVoltage: true}, slow: "under-voltage"},
		"hwmon, other": {root: with(with(fstest.MapFS{}, "sys/class/hwmon/hwmon1/name", "acpitz"), "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1")},
	} {
		got := Read(c.root, c.zones)
		if got != c.want || got.Slow(80) != c.slow {
			t.Errorf("%s: %+v, slow %q; want %+v, %q", name, got, got.Slow(80), c.want, c.slow)
		}
	}
}

// vcgencmd's answer counts as the kernel's does, and does not take back an
// alarm that the kernel gave.
func TestHear(t *testing.T) {
	for answer, want := range map[string]Vitals{
		"throttled=0x0\n":               {Told: true},
		"throttled=0x50005\n":           {Told: true, UnderVoltage: true, Throttled: true, WasLow: true},
		"throttled=0x80008":             {Told: true, Throttled: true},
		"VCHI initialization failed\n":  {},
		"":                              {},
		"throttled=0xffffffffffffffff1": {},
	} {
		var v Vitals
		if v.Hear(answer); v != want {
			t.Errorf("%q: %+v, want %+v", answer, v, want)
		}
	}
	v := Vitals{UnderVoltage: true}
	if v.Hear("throttled=0x0"); !v.UnderVoltage {
		t.Error("the kernel's alarm is taken back")
	}
}
