package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"periph.io/x/host/v3/sysfs"

	"mien/boards"
	"mien/camera"
	"mien/device/cmdline"
	"mien/device/config"
	"mien/device/display"
	"mien/device/doctor"
	"mien/device/fleet"
	"mien/device/pins"
	"mien/device/publish"
	"mien/device/status"
	"mien/device/vitals"
	"mien/runtime/model"
)

type doctorCmd struct {
	configFlag
	JSON bool `help:"Print JSON: a list of {part, state, what, why, mend}."`
}

// Run examines this board. It fails when something has to be mended.
func (c doctorCmd) Run(e env) error {
	var found []doctor.Finding
	f, err := loadFile(c.Config)
	if err != nil {
		found = append(found, doctor.Finding{Part: "config", State: doctor.Fail, What: err.Error(),
			Why: "miend does not start with it", Mend: "miend check --sample shows every key"})
		if f, err = config.ParseFile(c.Config, nil); err != nil {
			return err
		}
	}
	p, err := examinee(e.ctx, &f, c.Config)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		p.File = ""
	}
	found = append(found, doctor.Examine(p)...)
	if err := report(e.stdout, found, c.JSON); err != nil {
		return err
	}
	n := 0
	for _, f := range found {
		if f.State == doctor.Fail {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d things have to be mended", n, len(found))
	}
	return nil
}

// examinee is this machine. What run opens is opened as run opens it.
func examinee(ctx context.Context, f *config.File, path string) (doctor.Patient, error) {
	root := os.DirFS("/")
	b, known, err := boards.Detect(root)
	if err != nil {
		return doctor.Patient{}, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return doctor.Patient{}, err
	}
	name, groups := whoAmI()
	cfg := f.Config
	named(&cfg, b, root)
	chips := pins.Chips{Chip: cfg.Signals.Chip, Board: b.Header}
	return doctor.Patient{Root: root, Config: cfg, Board: b, Known: known, User: name, Groups: groups, Now: time.Now(),
		Runs: runs(root), File: path, Locked: path == configPath && locked(path), Wrong: errors.Join(notOfParts(verify(f, b, root))...),
		Lines: chips.Names, Holder: chips.Holder,
		Source: func() (config.Source, error) { return sourceOf(&cfg, b) },
		Frame:  func(src config.Source) (string, error) { return tryCamera(ctx, &cfg, src) },
		OLED:   func(address int) error { return tryI2C(cfg.OLED.Bus, address) },
		LEDs:   func() error { return trySPI(&cfg) },
		Page:   func() error { return tryPage(&cfg) },
		Dog:    func() error { return tryWatchdog(cfg.Health.Watchdog) },
		Broker: func() (publish.Trial, error) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			heads, _, _ := canRead(&cfg, b) // none of a model that cannot be opened, which is told elsewhere
			return publish.Try(ctx, introduced(&cfg, heads, b))
		},
		Fleet: func() error {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			return fleet.Try(ctx, cfg.FleetOptions(), len(cfg.Fleet.Updates) > 0)
		},
		Model: func() (doctor.Trial, error) { return tryModel(cfg.Model, b.Threads) },
		Free:  free, InPath: inPath, Vitals: func() vitals.Vitals { return vitalsOf(ctx, root, b) }}, nil
}

// locked reports whether the service's user, where there is one, cannot read a
// file.
func locked(path string) bool {
	st, err := os.Stat(path)
	if err != nil {
		return false
	}
	u, err := user.Lookup(serviceUser)
	if err != nil {
		return false
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	groups, err := groupsOf(u)
	if err != nil {
		return false
	}
	switch {
	case strconv.Itoa(int(owner.Uid)) == u.Uid:
		return st.Mode()&0o400 == 0
	case slices.Contains(groups, int(owner.Gid)):
		return st.Mode()&0o040 == 0
	}
	return st.Mode()&0o004 == 0
}

// notOfParts leaves out what the examination of a part finds as well, and
// tells with its mend.
func notOfParts(errs []error) (out []error) {
	for _, err := range errs {
		var e *config.Error
		if errors.As(err, &e) {
			key, _, _ := strings.Cut(e.Message, ":")
			if key == "camera" || strings.HasPrefix(key, "model.") {
				continue
			}
		}
		out = append(out, err)
	}
	return out
}

// runs reports whether another miend is running.
func runs(root fs.FS) bool {
	names, err := fs.Glob(root, "proc/[0-9]*/comm")
	if err != nil {
		return false
	}
	for _, name := range names {
		pid := strings.Split(name, "/")[1]
		if pid != strconv.Itoa(os.Getpid()) && line(root, name) == "miend" {
			return true
		}
	}
	return false
}

// tryI2C reads a byte from an address: a device that is there acknowledges.
func tryI2C(name string, address int) error {
	n, err := config.ParseI2C(name)
	if err != nil {
		return err
	}
	bus, err := sysfs.NewI2C(n)
	if err != nil {
		return err
	}
	return errors.Join(bus.Tx(uint16(address), nil, make([]byte, 1)), bus.Close())
}

// trySPI sets the port up as the strip's driver does, and sends nothing.
func trySPI(cfg *config.Config) error {
	strip, err := openLEDs(cfg, model.Head{})
	if err != nil {
		return err
	}
	return strip.(*display.LEDs).Bus.Close()
}

func tryPage(cfg *config.Config) error {
	s, err := status.New(cfg.StatusOptions())
	if err != nil {
		return err
	}
	l, err := s.Listen()
	if err != nil {
		return err
	}
	return l.Close()
}

// whoAmI is who is to run miend: who asks, or for root the service's user,
// with the groups that the service gives it.
func whoAmI() (name string, groups []string) {
	u, err := user.Current()
	if err != nil {
		return "unknown", nil
	}
	if u.Uid == "0" {
		if service, err := user.Lookup(serviceUser); err == nil {
			u, groups = service, slices.Clone(serviceGroups)
		}
	}
	ids, err := u.GroupIds()
	if err != nil {
		return u.Username, groups
	}
	for _, id := range ids {
		if g, err := user.LookupGroupId(id); err == nil {
			groups = append(groups, g.Name)
		}
	}
	return u.Username, groups
}

// tryModel times one run of the model on a grey picture, the second: the
// first makes tables.
func tryModel(c config.Model, threads int) (doctor.Trial, error) {
	m, name, err := openModel(c, threads)
	if err != nil {
		return doctor.Trial{}, err
	}
	defer m.Close()
	face, out := image.NewGray(image.Rect(0, 0, model.Side, model.Side)), m.Spec().NewScores()
	var start time.Time
	for range 2 {
		start = time.Now()
		if err := m.Predict(face, out); err != nil {
			return doctor.Trial{}, err
		}
	}
	return doctor.Trial{Name: name, Engine: m.Engine(), Took: time.Since(start), Card: m.Spec().Card}, nil
}

// tryCamera takes one frame and says from what.
func tryCamera(ctx context.Context, cfg *config.Config, from config.Source) (string, error) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	open, err := openers(cfg, from)
	if err != nil {
		return "", err
	}
	src, err := open(ctx)
	if err != nil {
		return "", err
	}
	defer src.Close()
	var f camera.Frame
	if err := src.Next(ctx, &f); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = camera.Silent(src, patience)
		}
		return "", err
	}
	if s, ok := src.(fmt.Stringer); ok {
		return s.String(), nil
	}
	return fmt.Sprintf("%dx%d", f.Rect.Dx(), f.Rect.Dy()), nil
}

func free(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// report writes the findings, for people or for programs.
func report(w io.Writer, found []doctor.Finding, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(found)
	}
	t := ticker{colour: cmdline.Colour(w)}
	marks := map[doctor.State]string{doctor.OK: t.paint(green, "ok  "), doctor.Warn: t.paint(yellow, "warn"), doctor.Fail: t.paint("31", "FAIL")}
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%s  %-9s %s\n", marks[f.State], f.Part, f.What)
		if f.State != doctor.OK {
			fmt.Fprintf(&b, "%16s%s\n%16s%s\n", "", t.paint(grey, "why: "+f.Why), "", "do:  "+f.Mend)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tryWatchdog opens a hardware watchdog, which arms it, and disarms it at once.
func tryWatchdog(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte("V"))
	return errors.Join(err, f.Close())
}
