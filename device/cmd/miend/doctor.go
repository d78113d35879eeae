package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mien/boards"
	"mien/camera"
	"mien/device/config"
	"mien/device/doctor"
	"mien/device/pins"
	"mien/device/vitals"
	"mien/runtime/model"
	"mien/runtime/secret"
)

type doctorCmd struct {
	configFlag
	JSON bool `help:"Print JSON: a list of {part, state, what, why, mend}."`
}

// Run examines this board. It fails when something has to be mended.
func (c doctorCmd) Run(e env) error {
	var found []doctor.Finding
	cfg, err := c.load()
	if err != nil {
		found = append(found, doctor.Finding{Part: "config", State: doctor.Fail, What: err.Error(),
			Why: "miend does not start with it", Mend: "miend check --sample shows every key"})
		cfg = config.Default()
	}
	p, err := examinee(e.ctx, cfg)
	if err != nil {
		return err
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

// examinee is this machine.
func examinee(ctx context.Context, cfg config.Config) (doctor.Patient, error) {
	root := os.DirFS("/")
	b, known, err := boards.Detect(root)
	if err != nil {
		return doctor.Patient{}, err
	}
	name, groups := whoAmI()
	return doctor.Patient{Root: root, Config: cfg, Board: b, Known: known, User: name, Groups: groups, Now: time.Now(),
		Lines: pins.Chips{Chip: cfg.Signals.Chip, Board: b.Header}.Names,
		Frame: func(device string) (string, error) { return tryCamera(ctx, &cfg, device) },
		Model: func() (doctor.Trial, error) { return tryModel(cfg.Model, b.Threads) },
		Free:  free, InPath: inPath, Vitals: func() vitals.Vitals { return vitalsOf(ctx, root, b) }}, nil
}

func whoAmI() (name string, groups []string) {
	u, err := user.Current()
	if err != nil {
		return "unknown", nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return u.Username, nil
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
func tryCamera(ctx context.Context, cfg *config.Config, device string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	open, err := openers(cfg, config.Source{Kind: "v4l2", Path: secret.NewURL(device)})
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
		return "", err
	}
	if s, ok := src.(fmt.Stringer); ok {
		return s.String(), nil
	}
	return fmt.Sprintf("%s %dx%d", device, f.Rect.Dx(), f.Rect.Dy()), nil
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
	t := ticker{colour: isTerminal(w)}
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
