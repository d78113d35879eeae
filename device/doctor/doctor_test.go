package doctor

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mien/boards"
	"mien/device/config"
	"mien/device/vitals"
	"mien/runtime/model"
	"mien/runtime/secret"
)

// root is the file system of a healthy board.
func root(b boards.Board) fstest.MapFS {
	m := fstest.MapFS{}
	file := func(name, text string) { m[name] = &fstest.MapFile{Data: []byte(text)} }
	if !b.Match.NoDeviceTree {
		file("proc/device-tree/compatible", b.Match.Compatible+"\x00")
		file("proc/device-tree/model", or(b.Match.Model, b.Title)+"\x00")
	}
	for i, id := range b.Match.USB[:min(1, len(b.Match.USB))] {
		vendor, product, _ := strings.Cut(id, ":")
		dir := "sys/bus/usb/devices/1-" + string(rune('1'+i))
		file(dir+"/idVendor", vendor+"\n")
		file(dir+"/idProduct", product+"\n")
	}
	file("proc/sys/kernel/osrelease", "6.1.0-rpi7\n")
	zone := "cpu-thermal"
	if len(b.Thermal) > 0 {
		zone = b.Thermal[0]
	}
	file("sys/class/thermal/thermal_zone0/type", zone+"\n")
	file("sys/class/thermal/thermal_zone0/temp", "48000\n")
	file("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")
	for _, d := range []string{"dev/video0", "dev/gpiochip0", "dev/i2c-1", "dev/spidev0.0", "dev/watchdog", "run/systemd/timesync/synchronized"} {
		file(d, "")
	}
	file("sys/class/video4linux/video0/name", "HD Webcam\n")
	return m
}

// patient is that board with something on every bus.
func patient(t *testing.T, b boards.Board) Patient {
	t.Helper()
	r := root(b)
	found, known, err := boards.Detect(r)
	if err != nil || !known || found.Name != b.Name {
		t.Fatalf("the fixture of %s is taken for %q (%v)", b.Name, found.Name, err)
	}
	c := config.Default()
	var names []string
	for _, p := range b.Header {
		names = append(names, p.Name())
	}
	if len(names) == 0 {
		names = []string{"LINE"} // a machine without a header of its own
	} else {
		c.Signals.Lines["face"] = config.Line{Pin: b.Header[1].Place(), Active: "high"}
	}
	c.Signals.Lines["ready"] = config.Line{Pin: names[0], Active: "high"}
	c.OLED.Bus, c.LEDs.Kind, c.Health.Watchdog = "/dev/i2c-1", "apa102", "/dev/watchdog"
	return Patient{Root: r, Config: c, Board: found, Known: known, User: "mien", Groups: []string{"video", "gpio", "i2c", "spi"},
		Now:    time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
		Lines:  func() ([]string, error) { return names, nil },
		Frame:  func(d string) (string, error) { return d + " YUYV 640x480", nil },
		Model:  trial("tflite", 12*time.Millisecond),
		Free:   func(string) (uint64, error) { return 1 << 30, nil },
		InPath: func(p string) bool { return p == "rpicam-vid" }}
}

// trial is a run of a model with a card.
func trial(engine string, took time.Duration) func() (Trial, error) {
	c := model.Card{Training: []model.DataSet{{Name: "UTKFace", Images: 3, Terms: "research only"}},
		Accuracy: []model.Accuracy{{Head: "age", File: 0.8}, {Head: "race", File: 0.926}}}
	return func() (Trial, error) { return Trial{"paper", engine, took, c}, nil }
}

// What the model is worth and came from is said where it runs.
func TestModelCard(t *testing.T) {
	p := Patient{Root: fstest.MapFS{}, Model: trial("tflite", 0)}
	for _, f := range Examine(p) {
		if f.Part == "model card" {
			for _, want := range []string{"age 80.0%", "race 92.6%", "UTKFace, research only"} {
				if !strings.Contains(f.What, want) {
					t.Errorf("%q does not say %q", f.What, want)
				}
			}
			return
		}
	}
	t.Error("no word of the card")
}

// examine is Examine with the vitals of the fixture as it is now.
func examine(p Patient) []Finding {
	p.Vitals = func() vitals.Vitals { return vitals.Read(p.Root, p.Board.Thermal) }
	return Examine(p)
}

func all(t *testing.T) []boards.Board {
	t.Helper()
	bs, err := boards.All()
	if err != nil || len(bs) == 0 {
		t.Fatalf("%d boards, %v", len(bs), err)
	}
	return bs
}

func TestHealthyBoards(t *testing.T) {
	for _, b := range all(t) {
		for _, f := range examine(patient(t, b)) {
			if f.State != OK || f.Why != "" || f.Mend != "" {
				t.Errorf("%s: %+v", b.Name, f)
			}
		}
	}
}

// Each illness is found on every board, and nothing else with it.
func TestIllnesses(t *testing.T) {
	without := func(names ...string) func(*Patient) {
		return func(p *Patient) {
			r := maps.Clone(p.Root.(fstest.MapFS))
			for _, n := range names {
				delete(r, n)
			}
			p.Root = r
		}
	}
	with := func(name, text string) func(*Patient) {
		return func(p *Patient) {
			r := maps.Clone(p.Root.(fstest.MapFS))
			r[name] = &fstest.MapFile{Data: []byte(text)}
			p.Root = r
		}
	}
	noGroup := func(g string) func(*Patient) {
		return func(p *Patient) {
			p.Groups = slices.DeleteFunc(slices.Clone(p.Groups), func(x string) bool { return x == g })
		}
	}
	for name, c := range map[string]struct {
		change func(*Patient)
		part   string
		state  State
		mend   string
	}{
		"unplugged": {func(p *Patient) { p.Config.Camera.Source = secret.NewURL("/dev/video7") }, "camera", Fail, "camera"},
		"no video":  {func(p *Patient) { noGroup("video")(p) }, "camera", Fail, "usermod -aG video mien"},
		"busy camera": {func(p *Patient) {
			p.Config.Camera.Source = secret.NewURL("/dev/video0")
			p.Frame = func(string) (string, error) { return "", errors.New("busy") }
		}, "camera", Fail, "fuser -v /dev/video0"},
		"no rpicam": {func(p *Patient) {
			p.Config.Camera.Source = secret.NewURL("rpicam")
			p.InPath = func(string) bool { return false }
		}, "camera", Fail, "apt-get install rpicam"},
		"no recording": {func(p *Patient) { p.Config.Camera.Source = secret.NewURL("replay:/a/b.y4m") }, "camera", Fail, "ls -l /a"},
		"no chip":      {without("dev/gpiochip0"), "gpio", Fail, "signals.pins: simulated"},
		"no gpio":      {noGroup("gpio"), "gpio", Fail, "usermod -aG gpio mien"},
		"wrong name":   {func(p *Patient) { p.Config.Buzzer.Pin = "GPIO99" }, "gpio", Fail, "gpioinfo"},
		"no pin":       {func(p *Patient) { p.Config.Buzzer.Pin = "header 39" }, "gpio", Fail, "of this board's header"},
		"no names": {func(p *Patient) {
			p.Lines = func() ([]string, error) { return nil, nil }
			delete(p.Config.Signals.Lines, "face") // one line is enough to miss
		}, "gpio", Fail, "system image"},
		"chip refuses": {func(p *Patient) { p.Lines = func() ([]string, error) { return nil, errors.New("EIO") } }, "gpio", Fail, "gpiochip"},
		"no i2c":       {without("dev/i2c-1"), "i2c", Fail, "sudo"},
		"not in i2c":   {noGroup("i2c"), "i2c", Fail, "usermod -aG i2c"},
		"no spi":       {without("dev/spidev0.0"), "spi", Fail, "sudo"},
		"broken model": {func(p *Patient) {
			p.Model = func() (Trial, error) { return Trial{}, errors.New("cut") }
		}, "model", Fail, "model.file"},
		"mute model": {func(p *Patient) {
			p.Model = func() (Trial, error) { return Trial{Name: "other", Engine: "tflite"}, nil }
		}, "model card", Warn, "mien card"},
		"race":    {func(p *Patient) { p.Config.Heads = append(p.Config.Heads, "race") }, "heads", Warn, "heads: [emotion"},
		"preview": {func(p *Patient) { p.Config.Status.Preview = true }, "preview", Warn, "preview: false"},
		"1970":    {func(p *Patient) { p.Now = time.Unix(0, 0) }, "clock", Fail, "timedatectl"},
		"not synced": {func(p *Patient) {
			without("run/systemd/timesync/synchronized")(p)
			with("run/systemd/timesync/x", "")(p)
		}, "clock", Warn, "timedatectl"},
		"full disk":    {func(p *Patient) { p.Free = func(string) (uint64, error) { return 1 << 20, nil } }, "disk", Fail, "apt-get clean"},
		"low power":    {with("sys/devices/platform/soc/soc:firmware/get_throttled", "1\n"), "power", Fail, "power supply"},
		"capped":       {with("sys/devices/platform/soc/soc:firmware/get_throttled", "4\n"), "power", Warn, "fan"},
		"low before":   {with("sys/devices/platform/soc/soc:firmware/get_throttled", "10000\n"), "power", Warn, "power supply"},
		"hot":          {with("sys/class/thermal/thermal_zone0/temp", "91000\n"), "heat", Warn, "fan"},
		"no watchdog":  {without("dev/watchdog"), "watchdog", Fail, "modprobe"},
		"old kernel":   {with("proc/sys/kernel/osrelease", "4.14.98-imx"), "kernel", Warn, "pull-down"},
		"older kernel": {with("proc/sys/kernel/osrelease", "4.4.0"), "kernel", Fail, "newer system"},
		"odd kernel":   {without("proc/sys/kernel/osrelease"), "kernel", Warn, "uname"},
		"unknown":      {func(p *Patient) { p.Known = false }, "board", Warn, "camera.source"},
	} {
		for _, b := range all(t) {
			p := patient(t, b)
			c.change(&p)
			var bad []Finding
			for _, f := range examine(p) {
				if f.State != OK {
					bad = append(bad, f)
				}
			}
			if len(bad) != 1 || bad[0].Part != c.part || bad[0].State != c.state || !strings.Contains(bad[0].Mend, c.mend) || bad[0].Why == "" {
				t.Errorf("%s on %s: %+v, want one %s of %s with %q", name, b.Name, bad, c.state, c.part, c.mend)
			}
			if Healthy(bad) != (c.state != Fail) {
				t.Errorf("%s on %s: healthy is %v", name, b.Name, Healthy(bad))
			}
		}
	}
}

// A Raspberry Pi whose firmware cannot be asked is told so; a board that has
// no such firmware is not.
func TestSilentFirmware(t *testing.T) {
	for _, b := range all(t) {
		p := patient(t, b)
		r := maps.Clone(p.Root.(fstest.MapFS))
		delete(r, "sys/devices/platform/soc/soc:firmware/get_throttled")
		p.Root = r
		for _, f := range examine(p) {
			want := OK
			if f.Part == "power" && strings.HasPrefix(b.Name, "rpi") {
				want = Warn
			}
			if f.State != want {
				t.Errorf("%s: %+v, want %s", b.Name, f, want)
			}
		}
	}
}

// A build without the library on a board that could have it is worth a word.
func TestPortableWhereTFLiteCouldBe(t *testing.T) {
	b, err := boards.ByName("rpi4")
	if err != nil {
		t.Fatal(err)
	}
	p := patient(t, b)
	p.Model = trial("portable (neon)", 90*time.Millisecond)
	for _, f := range examine(p) {
		if f.Part == "model" && (f.State != Warn || !strings.Contains(f.Mend, "make deb BOARD=rpi4")) {
			t.Errorf("%+v", f)
		}
	}
}
