package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mien/boards"
	"mien/device/config"
	"mien/device/publish"
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
		Frame:  func(src config.Source) (string, error) { return src.Path.String() + " YUYV 640x480", nil },
		Holder: func(string) (string, error) { return "", nil },
		OLED:   func(address int) error { return only(address, 0x3c) },
		LEDs:   func() error { return nil },
		Page:   func() error { return nil },
		Broker: func() (publish.Trial, error) { return publish.Trial{Broker: "mqtt://h"}, nil },
		File:   "/etc/mien/mien.yaml",
		Model:  trial("tflite", 12*time.Millisecond),
		Free:   func(string) (uint64, error) { return 1 << 30, nil },
		InPath: func(p string) bool { return slices.Contains([]string{"rpicam-vid", "apt-get", "raspi-config"}, p) }}
}

// only is an I2C bus on which one address answers.
func only(address, there int) error {
	if address != there {
		return errors.New("remote I/O error")
	}
	return nil
}

func fails(text string) func(config.Source) (string, error) {
	return func(config.Source) (string, error) { return "", errors.New(text) }
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
	file := func(name string, mode fs.FileMode) func(*Patient) {
		return func(p *Patient) {
			r := maps.Clone(p.Root.(fstest.MapFS))
			r[name] = &fstest.MapFile{Mode: mode}
			p.Root = r
		}
	}
	having := func(name, text string) func(*Patient) {
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
	with := func(programs ...string) func(string) bool {
		return func(p string) bool { return slices.Contains(programs, p) }
	}
	held := func(who string) func(string) (string, error) {
		first := ""
		return func(pin string) (string, error) {
			if first == "" || first == pin {
				first = pin
				return who, nil
			}
			return "", nil
		}
	}
	heldOr := func(err error) func(string) (string, error) {
		first := ""
		return func(pin string) (string, error) {
			if first == "" || first == pin {
				first = pin
				return "", err
			}
			return "", nil
		}
	}
	broker := func(t publish.Trial, err error) func(*Patient) {
		return func(p *Patient) {
			p.Config.MQTT.Broker, p.Broker = secret.NewURL("mqtt://h"), func() (publish.Trial, error) { return t, err }
		}
	}
	hub := func(err error) func(*Patient) {
		return func(p *Patient) { p.Config.Fleet.Servers, p.Fleet = []string{"tls://h"}, func() error { return err } }
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
			p.Frame = fails("busy")
		}, "camera", Fail, "fuser -v /dev/video0"},
		"no rpicam": {func(p *Patient) {
			p.Config.Camera.Source, p.InPath = secret.NewURL("rpicam"), with("apt-get", "raspi-config")
		}, "camera", Fail, "apt-get install rpicam"},
		"no rpicam, no apt": {func(p *Patient) {
			p.Config.Camera.Source, p.InPath = secret.NewURL("rpicam"), with("pacman", "raspi-config")
		}, "camera", Fail, "install rpicam-vid with this system's package manager"},
		"no CSI camera": {func(p *Patient) {
			p.Config.Camera.Source, p.InPath = secret.NewURL("rpicam"), with("libcamera-vid", "raspi-config")
			p.Frame = fails("rpicam: /usr/bin/libcamera-vid: exit status 255: ERROR: *** no cameras available ***")
		}, "camera", Fail, "ribbon cable"},
		"password": {func(p *Patient) {
			p.Config.Camera.Source = secret.NewURL("http://cam/")
			p.Frame = fails(`httpmjpeg: http://cam/: the camera refuses this name and password ("401 Unauthorized")`)
		}, "camera", Fail, "http://NAME:PASSWORD@HOST"},
		"no HTTP camera": {func(p *Patient) {
			p.Config.Camera.Source = secret.NewURL("http://cam/")
			p.Frame = fails("httpmjpeg: http://cam/: no such host")
		}, "camera", Fail, "curl -v"},
		"held line":     {func(p *Patient) { p.Holder = held("spi0 CS1") }, "gpio", Fail, "overlay"},
		"other miend":   {func(p *Patient) { p.Holder = held("miend") }, "gpio", Fail, "systemctl stop miend"},
		"line unknown":  {func(p *Patient) { p.Holder = heldOr(errors.New("EIO")) }, "gpio", Fail, "gpioinfo"},
		"other address": {func(p *Patient) { p.OLED = func(a int) error { return only(a, 0x3d) } }, "i2c", Fail, "oled.address: 0x3d"},
		"no OLED":       {func(p *Patient) { p.OLED = func(a int) error { return only(a, 0) } }, "i2c", Fail, "i2cdetect -y 1"},
		"SPI mode":      {func(p *Patient) { p.LEDs = func() error { return errors.New("set mode: invalid argument") } }, "spi", Fail, "mode 3"},
		"port taken":    {func(p *Patient) { p.Page = func() error { return errors.New("bind: address already in use") } }, "page", Fail, "ss -ltnp"},
		"no broker":     {broker(publish.Trial{}, errors.New("connection refused")), "mqtt", Fail, "mqtt.broker"},
		"no login":      {broker(publish.Trial{}, fmt.Errorf("x: %w", &publish.LoginError{Err: errors.New("bad user name or password")})), "mqtt", Fail, "mqtt.password"},
		"no hub":        {hub(errors.New("fleet: tls://h: connection refused")), "fleet", Fail, "mien fleet enrol"},
		"not allowed":   {broker(publish.Trial{Broker: "mqtt://h", Denied: []string{"publish to mien/a", "subscribe to b"}}, nil), "mqtt", Fail, "access list"},
		"no retaining":  {broker(publish.Trial{Broker: "mqtt://h", Lacks: []string{"keeps no retained messages"}}, nil), "mqtt", Warn, "retain_available"},
		"open file": {func(p *Patient) {
			p.Config.Status.Token = secret.New("0123456789abcdef")
			file("etc/mien/mien.yaml", 0o644)(p)
		}, "config", Warn, "sudo chgrp mien /etc/mien/mien.yaml && sudo chmod 0640 /etc/mien/mien.yaml"},
		"locked file":    {func(p *Patient) { p.Locked = true; file("etc/mien/mien.yaml", 0o600)(p) }, "config", Fail, "chgrp mien"},
		"installed open": {file("etc/mien/mien.yaml", 0o644), "config", Warn, "chmod 0640"},
		"writable file":  {file("etc/mien/mien.yaml", 0o666), "config", Warn, "chmod 0640"},
		"wrong file":     {func(p *Patient) { p.Wrong = errors.New("mien.yaml:3:4: mqtt.ca: no such file") }, "config", Fail, "miend check"},
		"no recording":   {func(p *Patient) { p.Config.Camera.Source = secret.NewURL("replay:/a/b.y4m") }, "camera", Fail, "ls -l /a"},
		"no chip":        {without("dev/gpiochip0"), "gpio", Fail, "signals.pins: simulated"},
		"no gpio":        {noGroup("gpio"), "gpio", Fail, "usermod -aG gpio mien"},
		"wrong name":     {func(p *Patient) { p.Config.Buzzer.Pin = "GPIO99" }, "gpio", Fail, "gpioinfo"},
		"no pin":         {func(p *Patient) { p.Config.Buzzer.Pin = "header 39" }, "gpio", Fail, "of this board's header"},
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
		"race":    {func(p *Patient) { p.Config.Heads = append(p.Config.Heads, "gender", "race") }, "heads", Warn, "heads: [gender]"},
		"preview": {func(p *Patient) { p.Config.Status.Preview = true }, "preview", Warn, "preview: false"},
		"1970":    {func(p *Patient) { p.Now = time.Unix(0, 0) }, "clock", Fail, "timedatectl"},
		"not synced": {func(p *Patient) {
			without("run/systemd/timesync/synchronized")(p)
			having("run/systemd/timesync/x", "")(p)
		}, "clock", Warn, "timedatectl"},
		"full disk":       {func(p *Patient) { p.Free = func(string) (uint64, error) { return 1 << 20, nil } }, "disk", Fail, "apt-get clean"},
		"low power":       {having("sys/devices/platform/soc/soc:firmware/get_throttled", "1\n"), "power", Fail, "power supply"},
		"capped":          {having("sys/devices/platform/soc/soc:firmware/get_throttled", "4\n"), "power", Warn, "fan"},
		"low before":      {having("sys/devices/platform/soc/soc:firmware/get_throttled", "10000\n"), "power", Warn, "power supply"},
		"hot":             {having("sys/class/thermal/thermal_zone0/temp", "91000\n"), "heat", Warn, "fan"},
		"no watchdog":     {without("dev/watchdog"), "watchdog", Fail, "modprobe"},
		"held watchdog":   {having("sys/class/watchdog/watchdog0/state", "active\n"), "watchdog", Fail, "RuntimeWatchdogSec"},
		"closed watchdog": {func(p *Patient) { p.Dog = func() error { return fs.ErrPermission } }, "watchdog", Fail, "60-mien.rules"},
		"busy watchdog":   {func(p *Patient) { p.Dog = func() error { return errors.New("busy") } }, "watchdog", Fail, "fuser"},
		"old kernel":      {having("proc/sys/kernel/osrelease", "4.14.98-imx"), "kernel", Warn, "pull-down"},
		"older kernel":    {having("proc/sys/kernel/osrelease", "4.4.0"), "kernel", Fail, "newer system"},
		"odd kernel":      {without("proc/sys/kernel/osrelease"), "kernel", Warn, "uname"},
		"unknown":         {func(p *Patient) { p.Known = false }, "board", Warn, "camera.source"},
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

// What is in use by miend that runs is no trouble, and the old name of the
// program is one as well.
func TestWellWhileMiendRuns(t *testing.T) {
	b, err := boards.ByName("rpi4")
	if err != nil {
		t.Fatal(err)
	}
	p := patient(t, b)
	p.Runs, p.Config.MQTT.Broker, p.Config.Status.Token = true, secret.NewURL("mqtt://u:S3cret@h"), secret.New("S3cret0123456789")
	r := maps.Clone(p.Root.(fstest.MapFS))
	r["etc/mien/mien.yaml"] = &fstest.MapFile{Mode: 0o640}
	p.Root = r
	p.InPath = func(p string) bool { return p == "libcamera-vid" }
	p.Frame = fails("rpicam: failed to acquire camera")
	p.Holder = func(string) (string, error) { return "miend", nil }
	p.Page = func() error { return errors.New("listen tcp 127.0.0.1:8080: bind: address already in use") }
	parts := map[string]bool{}
	for _, f := range examine(p) {
		parts[f.Part] = true
		if f.State != OK {
			t.Errorf("%+v", f)
		}
		if strings.Contains(f.What+f.Why+f.Mend, "S3cret") {
			t.Errorf("a password: %+v", f)
		}
	}
	for _, part := range []string{"config", "camera", "gpio", "i2c", "spi", "page", "mqtt"} {
		if !parts[part] {
			t.Errorf("no word of %s", part)
		}
	}
}

// A Raspberry Pi with another system has no raspi-config.
func TestOtherSystems(t *testing.T) {
	b, err := boards.ByName("rpi4")
	if err != nil {
		t.Fatal(err)
	}
	p := patient(t, b)
	p.InPath = func(p string) bool { return p == "rpicam-vid" }
	r := maps.Clone(p.Root.(fstest.MapFS))
	delete(r, "dev/i2c-1")
	delete(r, "sys/devices/platform/soc/soc:firmware/get_throttled")
	p.Root, p.Free = r, func(string) (uint64, error) { return 0, nil }
	want := map[string]string{"i2c": "dtparam=i2c_arm=on", "disk": "package manager", "power": "install vcgencmd with this system's package manager"}
	for _, f := range examine(p) {
		if strings.Contains(f.Mend, "apt") || strings.Contains(f.Mend, "raspi-config") {
			t.Errorf("%+v", f)
		}
		if w, ok := want[f.Part]; ok && !strings.Contains(f.Mend, w) {
			t.Errorf("%+v, want %q", f, w)
		}
	}
}

// A watchdog that cannot be stopped is never opened to look, nor one that
// miend feeds.
func TestWatchdogIsNotArmed(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"for good": {"sys/class/watchdog/watchdog0/nowayout": "1\n"},
		"fed":      {"sys/class/watchdog/watchdog0/state": "active\n"},
	} {
		p := patient(t, all(t)[0])
		root := maps.Clone(p.Root.(fstest.MapFS))
		for file, is := range files {
			root[file] = &fstest.MapFile{Data: []byte(is)}
		}
		p.Root = root
		p.Runs, p.Dog = name == "fed", func() error { t.Errorf("%s: it was opened", name); return nil }
		for _, f := range examine(p) {
			if f.Part == "watchdog" && f.State != OK {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}
