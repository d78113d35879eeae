//go:build e2e

package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mien/camera/replay/portrait"
	"mien/device/pins"
)

const build = "../../build/e2e/"

// program builds a program of this tree for the board.
func program(t *testing.T, pkg string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v: %s", pkg, err, b)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// boot starts a board with files; it is killed when the test ends.
func boot(t *testing.T, files map[string]File, disk string) *Machine {
	t.Helper()
	m, err := Boot(Options{Parts: build + "parts", Guest: program(t, "./guest"), Files: files, Disk: disk, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Kill()
		if t.Failed() {
			t.Logf("console:\n%s", m.Console())
		}
	})
	return m
}

func do(t *testing.T, m *Machine, what string, args ...string) string {
	t.Helper()
	out, err := m.Do(what, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func levels(t *testing.T, m *Machine) uint32 {
	t.Helper()
	l, err := m.Levels()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The board itself: pins set inside are seen outside, and what should not pass
// does not.
func TestBoard(t *testing.T) {
	t.Parallel()
	m := boot(t, map[string]File{"/bin/standin": {program(t, "./standin"), 0o755}}, "")
	do(t, m, "trace", "start")
	do(t, m, "start", "pins", "/bin/standin", "GPIO17=1", "GPIO27=0", "GPIO22=1")
	for !strings.Contains(do(t, m, "log", "pins"), "held") {
		if s := do(t, m, "wait", "pins", "100"); s != "running" {
			t.Fatalf("standin: %s: %s", s, do(t, m, "log", "pins"))
		}
	}
	now := levels(t, m)
	want := Lines{17: 1, 27: 0, 22: 1}
	if err := want.Check(now); err != nil {
		t.Error(err)
	}
	for n := range want {
		if out, err := m.Output(n); err != nil || !out {
			t.Errorf("GPIO%d is no output: %v", n, err)
		}
	}
	if out, err := m.Output(23); err != nil || out {
		t.Errorf("GPIO23, which nobody asked for, is an output: %v", err)
	}

	events, err := Trace(do(t, m, "trace", "read"))
	if err != nil {
		t.Fatal(err)
	}
	if got := firstLevels(events); got[17] != 1 || got[27] != 0 || got[22] != 1 {
		t.Errorf("first levels in the trace: %v of %d events", got, len(events))
	}

	// Negative controls: each of these has to fail.
	if err := (Lines{17: 0}).Check(now); err == nil {
		t.Error("a wrong level passes")
	}
	if err := (Lines{27: 1, 17: 1}).Check(now); err == nil {
		t.Error("a wrong pin passes")
	}
	if _, err := m.Do("start", "none", "/bin/nothing"); err == nil {
		t.Error("a program that is not there starts")
	}
	do(t, m, "start", "wrong", "/bin/standin", "NOLINE=1")
	if s := do(t, m, "wait", "wrong", "60000"); s != "exit status 1" {
		t.Errorf("a line that is not there: %s", s)
	}

	blinks(t, m, 0)
	do(t, m, "start", "held", "/bin/standin", "GPIO17=blink")
	if s := do(t, m, "wait", "held", "60000"); s != "exit status 1" || !strings.Contains(do(t, m, "log", "held"), "in use by miend") {
		t.Errorf("a line that is held blinks: %s: %s", s, do(t, m, "log", "held"))
	}
	if err := want.Check(levels(t, m)); err != nil {
		t.Errorf("lines that were held have changed: %v", err)
	}
	do(t, m, "signal", "pins", "15")
	do(t, m, "wait", "pins", "60000")

	oldInterface(t, m)
	if err := m.PowerOff(); err != nil {
		t.Errorf("power-off: QEMU ends with %v", err)
	}
}

// oldInterface does with version 1 of the kernel's GPIO interface, the only one
// that Coral's kernels have, and with lines that are found by their place on
// the header, what TestBoard does with the newest and by name.
func oldInterface(t *testing.T, m *Machine) {
	t.Helper()
	do(t, m, "trace", "start")
	do(t, m, "start", "old", "/bin/standin", "-abi", "1", "GPIO25=1", "header 16=1", "header 18=0")
	for !strings.Contains(do(t, m, "log", "old"), "held") {
		if s := do(t, m, "wait", "old", "100"); s != "running" {
			t.Fatalf("standin: %s: %s", s, do(t, m, "log", "old"))
		}
	}
	if err := (Lines{25: 1, 23: 1, 24: 0}).Check(levels(t, m)); err != nil {
		t.Error(err)
	}
	events, err := Trace(do(t, m, "trace", "read"))
	if err != nil {
		t.Fatal(err)
	}
	got := firstLevels(events)
	for line, want := range map[int]int{25: 1, 23: 1, 24: 0} {
		if level, seen := got[line]; !seen || level != want {
			t.Errorf("interface 1 first sets GPIO%d to %d (%v), want %d", line, level, seen, want)
		}
	}
	// Pin 6 is ground, and pins with a bus are not for signals either.
	do(t, m, "start", "ground", "/bin/standin", "-abi", "1", "header 6=1")
	if s := do(t, m, "wait", "ground", "60000"); s != "exit status 1" || !strings.Contains(do(t, m, "log", "ground"), "header 6") {
		t.Errorf("a pin with ground: %s: %s", s, do(t, m, "log", "ground"))
	}
	do(t, m, "signal", "old", "15")
	do(t, m, "wait", "old", "60000")
	blinks(t, m, 1, "-abi", "1")
}

// blinks has GPIO12, an input that nobody holds and that has a level, identified: it
// goes to the other level and back, and is an input with its level again.
func blinks(t *testing.T, m *Machine, level int, flags ...string) {
	t.Helper()
	const line = 12
	if err := m.Drive(line, level); err != nil {
		t.Fatal(err)
	}
	do(t, m, "trace", "start")
	name := fmt.Sprintf("blinks-from-%d", level)
	args := append([]string{name, "/bin/standin"}, flags...)
	do(t, m, "start", append(args, fmt.Sprintf("GPIO%d=blink", line))...)
	for !strings.Contains(do(t, m, "log", name), "held") {
		if s := do(t, m, "wait", name, "100"); s != "running" {
			t.Fatalf("standin: %s: %s", s, do(t, m, "log", name))
		}
	}
	do(t, m, "signal", name, "15")
	do(t, m, "wait", name, "60000")
	events, err := Trace(do(t, m, "trace", "read"))
	if err != nil {
		t.Fatal(err)
	}
	var set []int
	for _, e := range events {
		if e.Set && e.Line == line {
			set = append(set, e.Level)
		} else if e.Set {
			t.Errorf("GPIO%d is written while GPIO%d blinks", e.Line, line)
		}
	}
	for len(set) > 0 && set[0] == level { // it becomes an output without a change
		set = set[1:]
	}
	if want := slices.Repeat([]int{1 - level, level}, pins.Blinks); !slices.Equal(set, want) {
		t.Errorf("GPIO%d is written %v, want %v", line, set, want)
	}
	if out, err := m.Output(line); err != nil || out {
		t.Errorf("GPIO%d, an input, is an output after: %v", line, err)
	}
	if err := (Lines{line: level}).Check(levels(t, m)); err != nil {
		t.Error(err)
	}
}

// firstLevels returns the first level that was written to each line.
func firstLevels(events []Event) map[int]int {
	first := map[int]int{}
	for _, e := range events {
		if _, ok := first[e.Line]; e.Set && !ok {
			first[e.Line] = e.Level
		}
	}
	return first
}

// What is fed into the camera comes out of it bit for bit, also after it was
// unplugged and plugged in again.
func TestCamera(t *testing.T) {
	t.Parallel()
	face, empty := frame(true), frame(false)
	m := boot(t, map[string]File{"/frames/face": {Data: face}, "/frames/empty": {Data: empty}}, "")
	do(t, m, "feed", "face")
	shows(t, m, face)
	do(t, m, "feed", "empty")
	shows(t, m, empty)
	if got, want := do(t, m, "grab"), sum(face); got == want {
		t.Error("a picture that is not shown is seen") // negative control
	}
	do(t, m, "unplug")
	if _, err := m.Do("feed", "face"); err == nil {
		t.Error("a camera that is unplugged can be fed")
	}
	do(t, m, "plug")
	do(t, m, "feed", "face")
	shows(t, m, face)
}

func sum(frame []byte) string { return fmt.Sprintf("%x", sha256.Sum256(frame)) }

// shows waits for a picture to come through; a few are on their way already.
func shows(t *testing.T, m *Machine, frame []byte) {
	t.Helper()
	var got string
	for range 20 {
		if got = do(t, m, "grab"); got == sum(frame) {
			return
		}
	}
	t.Fatalf("the camera shows %s, want %s", got, sum(frame))
}

// frame is a picture of 640x480 pixels: a room, with a face in it or not.
func frame(face bool) []byte {
	const w, h = 640, 480
	img := make([]byte, w*h)
	for i := range img {
		img[i] = byte(96 + i%w/16)
	}
	if face {
		src := portrait.Gray()
		for y := range h {
			copy(img[y*w+64:][:portrait.Side], src.Pix[y*src.Stride:])
		}
	}
	return img
}

// A board whose first process dies is no board that passed.
func TestCrashIsSeen(t *testing.T) {
	t.Parallel()
	m := boot(t, nil, "")
	if _, err := m.Do("panic"); !errors.Is(err, ErrEnded) {
		t.Errorf("after a crash: %v", err)
	}
	if !strings.Contains(m.Console(), "asked to") {
		t.Error("the console does not show the crash")
	}
	if err := m.PowerOff(); err == nil {
		t.Error("a board that crashed powers off")
	}
}
