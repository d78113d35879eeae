package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"mien/device/cmdline"
)

// needed is what each command has to be given, as arguments that are right.
var needed = map[string][]string{
	"sweep":          {"--data=utkface:d", "--out=d", "--try=lr=1,2"},
	"worker":         {"--fleet=u"},
	"train":          {"--data=utkface:d", "--out=d"},
	"recipe":         {},
	"experiment":     {"experiment_test.go", "--data=utkface:d", "--out=d"},
	"data check":     {"utkface:d"},
	"data filters":   {},
	"label":          {"--model=m", "--data=utkface:d", "--out=o"},
	"eval":           {"--model=m", "--data=utkface:d"},
	"camera-test":    {"--data=utkface:d"},
	"quantize":       {"--checkpoint=c", "--out=o"},
	"compare":        {"--checkpoint=c"},
	"temperature":    {"m", "--data=utkface:d"},
	"card":           {"m", "--data=utkface:d"},
	"import":         {"c", "--arch=paper", "--out=o"},
	"export":         {"c", "--out=o"},
	"inspect":        {"m"},
	"diff":           {"a", "b"},
	"deploy":         {"h"},
	"image":          {"rpi3"},
	"licences":       {"Go"},
	"fleet serve":    {},
	"fleet enrol":    {"hall/door"},
	"fleet ls":       {},
	"fleet watch":    {},
	"fleet hire":     {"trainers"},
	"fleet forget":   {"hall/door"},
	"fleet command":  {"hall/door", "doctor"},
	"fleet rollout":  {"face.tflite"},
	"fleet rollback": {"model-7"},
}

// No flag takes what means nothing: an empty text, a number below its range or
// none at all, a name that there is not. All of it is said before anything runs.
func TestNoFlagTakesNonsense(t *testing.T) {
	m, err := program().Model()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, n := range m.Leaves(true) {
		name := strings.TrimSpace(strings.TrimPrefix(n.Path(), "mien"))
		right, ok := needed[name]
		if !ok {
			t.Errorf("mien %s: say in needed what it has to be given", name)
			continue
		}
		for _, f := range n.Flags {
			for _, bad := range nonsense(f.Value) {
				tried++
				args := append(strings.Fields(name), slices.DeleteFunc(slices.Clone(right), func(a string) bool { return strings.HasPrefix(a, "--"+f.Name+"=") })...)
				refusedUsage(t, append(args, "--"+f.Name+"="+bad), "--"+f.Name)
			}
		}
		for i, a := range right {
			if !strings.HasPrefix(a, "--") {
				args := append(strings.Fields(name), right...)
				args[len(args)-len(right)+i] = ""
				refusedUsage(t, args, "<")
			}
		}
	}
	if tried < 150 {
		t.Errorf("only %d values tried", tried)
	}
}

// nonsense are values that a flag must not take.
func nonsense(v *kong.Value) []string {
	kind := v.Target.Kind()
	if kind == reflect.Pointer || kind == reflect.Slice {
		kind = v.Target.Type().Elem().Kind()
	}
	switch kind {
	case reflect.Bool:
		return []string{"perhaps"}
	case reflect.String:
		if v.Enum != "" || v.Tag.Get("check") != "" {
			return []string{"", "cake"}
		}
		return []string{""}
	case reflect.Float64:
		return []string{"", "-1e9", "1e999", "NaN", "cake"}
	}
	if v.Tag.Has("least") {
		return []string{"", "-1000000h", "-1000000", "cake"}
	}
	return []string{"", "-1", "0s", "0", "cake"}
}

func refusedUsage(t *testing.T, args []string, says string) {
	t.Helper()
	if slices.ContainsFunc(args, func(a string) bool { return a == "--seed=0" }) {
		return // a seed is any number
	}
	var out, said bytes.Buffer
	err := run(context.Background(), args, &out, &said)
	proofread(t, args, out.String(), said.String(), err)
	var usage *cmdline.UsageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), says) {
		t.Errorf("mien %q: %v; want a complaint about %s before anything runs", args, err, says)
	}
	if !strings.Contains(said.String(), "Usage: mien") {
		t.Errorf("mien %q: no short help: %s", args, said.String())
	}
}

// The manual's examples are lines that mien takes, and there is one of each
// command.
func TestExamples(t *testing.T) {
	m, err := program().Model()
	if err != nil {
		t.Fatal(err)
	}
	shown := ""
	for _, x := range examples {
		for line := range strings.Lines(x[1]) {
			shown += line
			// With a flag that there is not it is wrong for that alone.
			// What comes after > is the shell's.
			line, _, _ := strings.Cut(line, ">")
			var out bytes.Buffer
			err := run(context.Background(), append(strings.Fields(line)[1:], "--no-such-flag"), &out, &out)
			if err == nil || !strings.Contains(err.Error(), "no-such-flag") {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	for _, n := range m.Leaves(true) {
		if !strings.Contains(shown, n.Path()+" ") {
			t.Errorf("mien(1) has no example of %s", n.Path())
		}
	}
}

// Both programs say their version, and nothing more.
func TestVersion(t *testing.T) {
	if out := mustMien(t, "--version"); !strings.HasPrefix(out, "mien ") || strings.Count(out, "\n") != 1 {
		t.Errorf("%q", out)
	}
}

// The README names every command.
func TestReadmeNamesEveryCommand(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m, err := program().Model()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range m.Leaves(true) {
		if name := strings.TrimSpace(strings.TrimPrefix(n.Path(), "mien")); !strings.Contains(string(b), "`"+name+"`") {
			t.Errorf("README.md does not name mien %s", name)
		}
	}
}
