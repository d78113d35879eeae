package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mien/device/config"
	"mien/device/fleet"
	"mien/device/pins"
)

// What may be asked from afar is what the configuration enables, and set changes no
// key but those that it names: in its file, as the page does, for the next start too.
func TestFromAfar(t *testing.T) {
	const sample = `# the hall's
name: door
model: {file: MODEL}
status: {listen: none}
answers:
  min_confidence: 0.5  # the hall is dark
fleet:
  commands: [set, restart]
  settable: [answers.min_confidence, faces.min_size, heads]
history: {file: HISTORY}
`
	file := write(t, "mien.yaml", []byte(strings.NewReplacer("MODEL", modelFile(t), "HISTORY", filepath.Join(t.TempDir(), "history.json")).Replace(sample)))
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	before := text(t, file)
	a, err := newApp(cfg, newLog(io.Discard), appOptions{path: file, open: scene, sim: &pins.Sim{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	}()
	if o := a.fleetOptions(a.now.Load()); len(o.Commands) != 2 || o.Commands[fleet.Set] == nil || o.Commands[fleet.Restart] == nil {
		t.Errorf("enabled are %v", o.Commands)
	}
	if out, err := a.set(t.Context(), map[string]string{"answers.min_confidence": "0.7", "faces.min_size": "100", "heads": "emotion, age"}); err != nil || out != "set answers.min_confidence, faces.min_size, heads in "+file {
		t.Errorf("%q, %v", out, err)
	}
	set := text(t, file)
	for _, c := range []struct {
		values map[string]string
		want   string // in the error
	}{
		{map[string]string{"answers.min_confidence": "7"}, "not between"},
		{map[string]string{"answers.min_confidence": "much"}, "answers.min_confidence: want a number"},
		{map[string]string{"answers.min_confidence": "0.6\nconsent: none"}, "line break"},
		{map[string]string{"heads": "nose"}, "nose"},
		{map[string]string{"heads": "${FILE:/etc/shadow}"}, "a reference to a secret"},
		{map[string]string{"answers.min_confidence": "${env:HOME}"}, "a reference to a secret"},
		{map[string]string{"consent": "none"}, "may not be set"},
		{map[string]string{"answers.min_confidence": "0.6", "consent": "none"}, "may not be set"},
		{nil, "KEY=VALUE"},
	} {
		if _, err := a.set(t.Context(), c.values); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.values, err, c.want)
		}
	}
	if now := text(t, file); now != set {
		t.Errorf("what is refused changes the file:\n%s", now)
	}
	if want := strings.Replace(before, "0.5  # the hall", "0.7  # the hall", 1); !strings.HasPrefix(set, want) {
		t.Errorf("the file is\n%s", set)
	}
	again, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]*config.Config{"now": a.now.Load(), "after a start": &again} {
		if c.Answers.MinConfidence != 0.7 || c.Faces.MinSize != 100 || !slices.Equal(c.Heads, []string{"emotion", "age"}) || c.Consent != cfg.Consent {
			t.Errorf("%s: %+v", what, c)
		}
	}
	if v, err := a.settings.Undo(); err != nil || !v.Taken || text(t, file) != before || a.now.Load().Answers.MinConfidence != 0.5 {
		t.Errorf("taken back: %+v, %v, %+v", v, err, a.now.Load().Answers)
	}
	if out, err := a.restart(t.Context(), nil); err != nil || out == "" {
		t.Errorf("restart: %q, %v", out, err)
	}
	if _, err := a.identify(t.Context(), nil); err != nil && !strings.Contains(err.Error(), "nothing here can show it") {
		t.Errorf("identify: %v", err)
	}
}

func text(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
