package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mien/camera/replay/portrait"
	"mien/device/config"
	"mien/runtime/model"
)

// nonsense is, for every flag and argument that takes a value, values that
// cannot be meant, beside the empty one. The rest of the command is right.
var nonsense = map[string]struct {
	with   []string
	values []string
}{
	"run --config":      {nil, []string{"/no/such.yaml", "DIR", "PICTURE"}},
	"run --model":       {[]string{"-c", "CONFIG"}, []string{"/no/such.tflite", "CONFIG", "edge-int9", "DIR"}},
	"run --replay":      {[]string{"-c", "CONFIG"}, []string{"/no/such.y4m", "EMPTY", "CONFIG"}},
	"run --setup":       {[]string{"-c", "CONFIG"}, []string{"8080", "0", ":port", "a:b:c", ":70000"}},
	"demo --out":        {nil, []string{"CONFIG", "/proc/none"}},
	"demo --model":      {[]string{"--out", "DIR"}, []string{"/no/such.tflite", "CONFIG", "edge-int9", "DIR"}},
	"demo --engine":     {[]string{"--out", "DIR", "--model", "MODEL"}, []string{"gpu", "0", "-1", "TFLITE"}},
	"bench --config":    {nil, []string{"/no/such.yaml", "PICTURE"}},
	"bench --for":       {[]string{"-c", "CONFIG"}, []string{"0", "-1s", "10", "2h", "99ms", "soon"}},
	"bench --model":     {[]string{"-c", "CONFIG"}, []string{"/no/such.tflite", "CONFIG"}},
	"bench --engine":    {[]string{"-c", "CONFIG"}, []string{"gpu", "0", "-1"}},
	"probe --config":    {[]string{"PICTURE"}, []string{"/no/such.yaml", "PICTURE"}},
	"probe --model":     {[]string{"-c", "CONFIG", "PICTURE"}, []string{"/no/such.tflite", "CONFIG"}},
	"probe --engine":    {[]string{"-c", "CONFIG", "PICTURE"}, []string{"gpu", "0", "-1"}},
	"probe --heads":     {[]string{"-c", "CONFIG", "PICTURE"}, []string{"foo", "emotion,foo", "emotion,,gender", ",", "0", "-1", "emotion,emotion", "Emotion", "emotion gender"}},
	"probe --annotated": {[]string{"-c", "CONFIG", "PICTURE"}, []string{"/no/such/folder/a.png", "DIR"}},
	"probe <image>":     {[]string{"-c", "CONFIG"}, []string{"/no/such.jpg", "CONFIG", "DIR"}},
	"check <file>":      {nil, []string{"/no/such.yaml", "PICTURE", "DIR"}},
	"doctor --config":   {nil, []string{"/no/such.yaml", "PICTURE"}},
	"licences <part>":   {nil, []string{"emacs", "0", "Apache-2.0"}},
	"update --store":    {[]string{"--rollback"}, []string{"/no/such/store", "EMPTY", "CONFIG"}},
	"update --keys":     {[]string{"MODEL"}, []string{"/no/such/keys", "EMPTY", "CONFIG"}},
	"update <model>":    {[]string{"--keys", "EMPTY", "--store", "DIR"}, []string{"/no/such.tflite", "MODEL", "DIR"}},
}

// Nothing wrong is taken quietly: every flag and argument refuses what cannot
// be meant, and no value at all.
func TestEveryFlagRefusesNonsense(t *testing.T) {
	app, err := program().Model()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // what goes to a default place goes here
	config := write(t, "c.yaml", []byte("status: {listen: none}\nhealth: {throttle: false}\nmodel: {file: "+modelFile(t, model.Emotion, model.Gender)+"}\nheads: [emotion]\n"))
	words := map[string]string{"CONFIG": config, "PICTURE": write(t, "a.jpg", portrait.JPEG()), "MODEL": modelFile(t), "EMPTY": t.TempDir(), "DIR": t.TempDir()}
	word := func(s string) string {
		if w, ok := words[s]; ok {
			return w
		}
		return s
	}
	seen := map[string]bool{}
	try := func(what, flag string) {
		seen[what] = true
		n, ok := nonsense[what]
		if !ok {
			t.Errorf("%s: no nonsense to try it with", what)
			return
		}
		command, _, _ := strings.Cut(what, " ")
		for _, v := range append(n.values, "") {
			args := []string{command}
			for _, w := range n.with {
				args = append(args, word(w))
			}
			if flag != "" {
				args = append(args, flag+"="+word(v))
			} else {
				args = append(args, word(v))
			}
			// What is taken may run for ever.
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			var stdout, stderr bytes.Buffer
			err := run(ctx, args, &stdout, &stderr)
			cancel()
			out := stdout.String()
			proofread(args, out, stderr.String(), err)
			if err == nil {
				t.Errorf("miend %s is taken quietly: %.200s", strings.Join(args, " "), out)
			} else if v == "" && !strings.Contains(err.Error(), "empty") && !strings.Contains(err.Error(), `got ""`) {
				t.Errorf("miend %q: %v, want that it is empty", args, err)
			}
		}
	}
	for _, cmd := range app.Children {
		for _, f := range cmd.Flags {
			if !f.IsBool() {
				try(cmd.Name+" --"+f.Name, "--"+f.Name)
			} else if _, err := miend(cmd.Name, "--"+f.Name+"=perhaps"); err == nil {
				t.Errorf("miend %s --%s=perhaps is taken quietly", cmd.Name, f.Name)
			}
		}
		for _, a := range cmd.Positional {
			try(cmd.Name+" "+"<"+a.Name+">", "")
		}
	}
	for what := range nonsense {
		if !seen[what] {
			t.Errorf("%s is no flag any more", what)
		}
	}
	for _, args := range [][]string{{"update", "--rollback", words["MODEL"]}, {"check", "--sample", words["CONFIG"]}, {"probe"}, {"version", "x"},
		{"check", words["CONFIG"], "x"}, {"run", "x"}, {"run", "--nonsense"}, {"manual", "--bash", "--config"},
		{"licences", "--spdx", "Go"}} {
		if out, err := miend(args...); err == nil {
			t.Errorf("miend %s is taken quietly: %.200s", strings.Join(args, " "), out)
		}
	}
	if left, err := filepath.Glob("*"); err != nil || len(left) > 0 {
		t.Errorf("nonsense leaves %v, %v", left, err)
	}
	if _, err := os.Stat("/no"); err == nil {
		t.Error("nonsense leaves /no")
	}
}

// The manuals' examples are lines that miend takes, and configurations that are
// right; the first page has one of each command.
func TestExamples(t *testing.T) {
	app, err := program().Model()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, x := range examples {
		for line := range strings.Lines(x[1]) {
			words := strings.Fields(line)
			if words[0] == "sudo" {
				words = words[1:]
			}
			if words[0] != "miend" {
				continue
			}
			shown[words[1]] = true
			// With a flag that there is not it is wrong for that alone.
			if _, err := miend(append(words[1:], "--no-such-flag")...); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	for _, n := range app.Leaves(true) {
		if !shown[n.Name] {
			t.Errorf("miend(8) has no example of %s", n.Name)
		}
	}
	for _, x := range configExamples {
		if _, err := config.Parse(x[0], []byte(x[1])); err != nil {
			t.Error(err)
		}
	}
}

// A roll-back without an installed model is none.
func TestRollbackOfNothing(t *testing.T) {
	if _, err := miend("update", "--rollback", "--store", filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "holds no installed model") {
		t.Errorf("%v", err)
	}
}
