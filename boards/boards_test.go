package boards

import (
	"encoding/json"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func all(t *testing.T) []Board {
	t.Helper()
	bs, err := All()
	if err != nil {
		t.Fatal(err)
	}
	if len(bs) < 9 {
		t.Fatalf("%d boards only", len(bs))
	}
	return bs
}

func TestInvariants(t *testing.T) {
	version := regexp.MustCompile(`^\d+\.\d+$`)
	for _, b := range all(t) {
		t.Run(b.Name, func(t *testing.T) {
			if _, err := files.ReadFile(b.Name + ".json"); err != nil {
				t.Errorf("board %q is not in the file of its name", b.Name)
			}
			if b.Title == "" {
				t.Error("no title")
			}
			if b.Arch != "arm64" && b.Arch != "amd64" {
				t.Errorf("arch %q has no TensorFlow Lite library", b.Arch)
			}
			if b.Engine != "tflite" && b.Engine != "portable" {
				t.Errorf("engine %q", b.Engine)
			}
			if b.Delegate != "" && b.Delegate != "edgetpu" {
				t.Errorf("delegate %q", b.Delegate)
			}
			if b.Camera != "rpicam" && !strings.HasPrefix(b.Camera, "/dev/video") {
				t.Errorf("camera %q", b.Camera)
			}
			if b.Threads < 1 || b.Cores > 0 && b.Threads >= b.Cores {
				t.Errorf("%d threads on %d cores: one core has to stay free", b.Threads, b.Cores)
			}
			if !version.MatchString(b.System.Glibc) || !version.MatchString(b.System.Kernel) {
				t.Errorf("system %+v: versions are two numbers", b.System)
			}
			header(t, b)
		})
	}
}

// taken are the pins with power or ground on a header of the Raspberry Pi's
// layout, which the Coral boards have too.
var taken = []int{1, 2, 4, 6, 9, 14, 17, 20, 25, 30, 34, 39}

func header(t *testing.T, b Board) {
	type place struct {
		chip   string
		offset int
	}
	names, places := map[string]int{}, map[place]int{}
	last := 0
	if b.Layout != "" && b.Layout != RaspberryPi && b.Layout != Coral {
		t.Errorf("layout %q", b.Layout)
	}
	for _, p := range b.Header {
		if p.Number <= last || p.Number > 40 {
			t.Errorf("pin %d follows pin %d", p.Number, last)
		}
		last = p.Number
		if p.Chip == "" || p.Offset < 0 {
			t.Errorf("pin %d: chip %q, offset %d", p.Number, p.Chip, p.Offset)
		}
		at := place{p.Chip, p.Offset}
		if other, taken := places[at]; taken {
			t.Errorf("pins %d and %d are both %v", other, p.Number, at)
		}
		places[at] = p.Number
		if other, taken := names[p.Line]; taken && p.Line != "" {
			t.Errorf("pins %d and %d are both called %s", other, p.Number, p.Line)
		}
		names[p.Line] = p.Number
		if got := b.PinName(p.Place()); got != p.Name() || got == "" || b.PinName(got) != got {
			t.Errorf("pin %d is called %q and %q", p.Number, p.Place(), got)
		}
		if slices.Contains(taken, p.Number) && b.Name != "virtual" {
			t.Errorf("pin %d, which is power or ground on every 40-pin header, is offered as a signal", p.Number)
		}
	}
}

// Every key of a board's file, but for its names, has a source.
func TestEveryFactHasASource(t *testing.T) {
	for _, b := range all(t) {
		data, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]any
		if err := json.Unmarshal(data, &keys); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"name", "title", "sources"} {
			delete(keys, k)
		}
		for k := range keys {
			if len(b.Sources[k]) < 10 {
				t.Errorf("%s: %q has no source", b.Name, k)
			}
		}
		for k := range b.Sources {
			if _, ok := keys[k]; !ok {
				t.Errorf("%s: a source for %q, which the board does not say", b.Name, k)
			}
		}
	}
}

// tree is a file system with a device tree and USB devices.
func tree(compatible, model string, usb ...string) fstest.MapFS {
	root := fstest.MapFS{}
	if compatible != "" {
		root["proc/device-tree/compatible"] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(compatible, " ", "\x00") + "\x00")}
		root["proc/device-tree/model"] = &fstest.MapFile{Data: []byte(model + "\x00")}
	}
	for i, id := range usb {
		vendor, product, _ := strings.Cut(id, ":")
		dir := "sys/bus/usb/devices/1-" + string(rune('1'+i)) + "/"
		root[dir+"idVendor"] = &fstest.MapFile{Data: []byte(vendor + "\n")}
		root[dir+"idProduct"] = &fstest.MapFile{Data: []byte(product + "\n")}
	}
	return root
}

func TestDetect(t *testing.T) {
	const pi4, pi4Model = "raspberrypi,4-model-b brcm,bcm2711", "Raspberry Pi 4 Model B Rev 1.4"
	roots := map[string]fs.FS{
		"rpi-zero-2w":    tree("raspberrypi,model-zero-2-w brcm,bcm2837", "Raspberry Pi Zero 2 W Rev 1.0"),
		"rpi3":           tree("raspberrypi,3-model-b brcm,bcm2837", "Raspberry Pi 3 Model B"),
		"rpi3-plus":      tree("raspberrypi,3-model-b-plus brcm,bcm2837", "Raspberry Pi 3 Model B Plus Rev 1.3"),
		"rpi4":           tree(pi4, pi4Model, "1d6b:0002", "046d:0825"),
		"rpi4+coral-usb": tree(pi4, pi4Model, "1d6b:0002", "1a6e:089a"),
		"rpi5":           tree("raspberrypi,5-model-b brcm,bcm2712", "Raspberry Pi 5 Model B Rev 1.0"),
		"coral-devboard": tree("google,imx8mq-phanbell fsl,imx8mq", "Google i.MX8MQ Phanbell"),
		"coral-mini":     tree("mediatek,mt8167-coral mediatek,mt8167", "Google Coral MT8167"),
		"virtual":        tree("linux,dummy-virt", "linux,dummy-virt"),
		"workstation":    tree("", ""),
	}
	for want, root := range roots {
		got, ok, err := Detect(root)
		if err != nil || !ok || got.Name != want {
			t.Errorf("Detect = %q, %v, %v; want %q", got.Name, ok, err, want)
		}
	}
	for _, b := range all(t) {
		if _, ok := roots[b.Name]; !ok {
			t.Errorf("no fixture for %s; there are %v", b.Name, slices.Sorted(maps.Keys(roots)))
		}
	}
	// The stick after its firmware was loaded, and Mendel's name for its board.
	for want, root := range map[string]fs.FS{
		"rpi4+coral-usb": tree(pi4, pi4Model, "18d1:9302"),
		"coral-devboard": tree("fsl,imx8mq-evk fsl,imx8mq", "Freescale i.MX8MQ Phanbell"),
	} {
		if got, ok, err := Detect(root); err != nil || !ok || got.Name != want {
			t.Errorf("Detect = %q, %v, %v; want %q", got.Name, ok, err, want)
		}
	}
}

func TestUnknownBoardIsAnAnswer(t *testing.T) {
	for _, root := range []fs.FS{
		tree("acme,board acme,soc", "Acme Board"),
		tree("fsl,imx8mq-evk fsl,imx8mq", "NXP i.MX8MQ EVK"),
		tree("mediatek,mt8167-pumpkin mediatek,mt8167", "Pumpkin MT8167"),
	} {
		if b, ok, err := Detect(root); ok || err != nil {
			t.Errorf("Detect = %q, %v, %v; want no board and no error", b.Name, ok, err)
		}
	}
}

func TestPinName(t *testing.T) {
	for _, c := range []struct{ board, name, want string }{
		{"rpi4", "header 11", "GPIO17"},
		{"rpi5", "GPIO17", "GPIO17"},
		{"rpi4", "header 6", "header 6"}, // ground: nobody's name, and an error later
		{"coral-devboard", "header 16", "header 16"},
	} {
		b, err := ByName(c.board)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.PinName(c.name); got != c.want {
			t.Errorf("%s: %q is %q, want %q", c.board, c.name, got, c.want)
		}
	}
}

func TestByName(t *testing.T) {
	if b, err := ByName("rpi5"); err != nil || b.Title != "Raspberry Pi 5" {
		t.Errorf("ByName(rpi5) = %+v, %v", b, err)
	}
	if _, err := ByName("rpi6"); err == nil || !strings.Contains(err.Error(), "rpi5") {
		t.Errorf("ByName(rpi6): %v, want an error that lists the boards", err)
	}
}
