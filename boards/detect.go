package boards

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Detect says which board a machine is. root is its file system: os.DirFS("/")
// for this one. It reads the device tree and the list of USB devices, and
// returns false for a machine that no board matches, which is no error: mien
// runs there too, with nothing known about it.
func Detect(root fs.FS) (Board, bool, error) {
	all, err := All()
	if err != nil {
		return Board{}, false, err
	}
	m, err := look(root)
	if err != nil {
		return Board{}, false, err
	}
	var best Board
	found := 0
	for _, b := range all {
		if n := b.Match.points(m); n > found {
			best, found = b, n
		}
	}
	return best, found > 0, nil
}

// machine is what there is to be matched.
type machine struct {
	compatible []string
	model      string
	usb        []string
	tree       bool
}

// look reads root. What a machine lacks is simply not there: a PC has no
// device tree, and a kernel may have no USB.
func look(root fs.FS) (machine, error) {
	var m machine
	compatible, err := fs.ReadFile(root, "proc/device-tree/compatible")
	switch {
	case err == nil:
		m.tree = true
		m.compatible = strings.Split(strings.TrimRight(string(compatible), "\x00"), "\x00")
	case !errors.Is(err, fs.ErrNotExist):
		return m, err
	}
	if model, err := fs.ReadFile(root, "proc/device-tree/model"); err == nil {
		m.model = strings.TrimRight(string(model), "\x00\n")
	}
	// A device that is being unplugged while we look fails to read; it is gone.
	devices, _ := fs.Glob(root, "sys/bus/usb/devices/*/idVendor")
	for _, d := range devices {
		vendor, err1 := fs.ReadFile(root, d)
		product, err2 := fs.ReadFile(root, path.Join(path.Dir(d), "idProduct"))
		if err1 == nil && err2 == nil {
			m.usb = append(m.usb, strings.TrimSpace(string(vendor))+":"+strings.TrimSpace(string(product)))
		}
	}
	return m, nil
}

// points is 0 when m does not match, and else counts what was asked for, so
// that the more particular board wins: a Pi 4 with a Coral stick over a Pi 4.
func (w Match) points(m machine) int {
	n := 0
	for _, ask := range []struct{ wanted, holds bool }{
		{w.Compatible != "", slices.Contains(m.compatible, w.Compatible)},
		{w.Model != "", strings.Contains(m.model, w.Model)},
		{w.USB != nil, slices.ContainsFunc(w.USB, func(id string) bool { return slices.Contains(m.usb, id) })},
		{w.NoDeviceTree, !m.tree},
	} {
		if !ask.wanted {
			continue
		}
		if !ask.holds {
			return 0
		}
		n++
	}
	return n
}
