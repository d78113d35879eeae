package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mien/camera/replay/portrait"
)

var (
	tenth = regexp.MustCompile(`"eyes":\[\[\d+(\.\d)?,\d+(\.\d)?\],\[\d+(\.\d)?,\d+(\.\d)?\]\]`)
	eyes  = regexp.MustCompile(`"eyes":\[\[[^]]*\],\[[^]]*\]\]`)
	sure  = regexp.MustCompile(`"confidence":([0-9.]+)`)
	four  = regexp.MustCompile(`^[01]\.\d{4}$`)
)

// A recording's readings are lines of JSON, each with its kind, with times,
// pixels and probabilities as they are said to be.
func TestRunPrintsLines(t *testing.T) {
	dir := t.TempDir()
	for i := range 30 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.jpg", i)), portrait.JPEG(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := write(t, "mien.yaml", []byte("status: {listen: none}\nmodel: {file: "+modelFile(t)+"}\n"))
	out, err := miend("run", "--config", conf, "--replay", dir, "--json")
	if err != nil {
		t.Fatal(err, out)
	}
	kinds := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if strings.HasPrefix(line, "level=") || strings.HasPrefix(line, "time=") { // the log
			continue
		}
		var e struct {
			Event string
			Time  time.Time
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.Year() < 2000 {
			t.Fatalf("%v: %s", err, line)
		}
		kinds[e.Event]++
		if got := eyes.FindString(line); got != "" && !tenth.MatchString(got) {
			t.Errorf("eyes %s", got)
		}
		for _, m := range sure.FindAllStringSubmatch(line, -1) {
			if !four.MatchString(m[1]) {
				t.Errorf("confidence %s", m[1])
			}
		}
	}
	if kinds["reading"] < 5 || kinds["track"] == 0 || kinds["state"] == 0 {
		t.Errorf("lines %v", kinds)
	}
}

// Many pictures give a line each; one that is none costs itself.
func TestProbeOfMany(t *testing.T) {
	good, bad := write(t, "a.jpg", portrait.JPEG()), write(t, "b.jpg", []byte("no picture"))
	out, err := miend("probe", "--model", modelFile(t), good, bad, good)
	if err == nil || !strings.Contains(err.Error(), "1 of 3 pictures") {
		t.Errorf("error %v", err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines: %s", len(lines), out)
	}
	for i, line := range lines {
		var r struct {
			File, Error string
			Subject     uint64
			Faces       []struct{ ID uint64 }
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if want := []string{good, bad, good}[i]; r.File != want || (r.Error != "") != (i == 1) || i != 1 && (len(r.Faces) != 1 || r.Subject != r.Faces[0].ID) {
			t.Errorf("line %d: %s", i, line)
		}
	}
	if _, err := miend("probe", "--annotated", "x.png", good, good); err == nil {
		t.Error("--annotated with two pictures is accepted")
	}
}
