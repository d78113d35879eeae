//go:build e2e

package e2e

import (
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mien/runtime/graph"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
)

const firmware = "../../build/rpi3/"

// installed returns the files of the package as dpkg unpacks them, and the
// libraries of an arm64 system that the program wants.
func installed(t *testing.T) map[string]File {
	t.Helper()
	debs, err := filepath.Glob(firmware + "mien_*_arm64.deb")
	if err != nil || len(debs) != 1 {
		t.Fatalf("packages in %s: %v, %v; want one (make deb BOARD=rpi3)", firmware, debs, err)
	}
	dir := t.TempDir()
	if _, err := output("dpkg-deb", "-x", debs[0], dir); err != nil {
		t.Fatal(err)
	}
	files := map[string]File{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		files[strings.TrimPrefix(path, dir)] = File{data, info.Mode().Perm()}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range []string{"ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1",
		"libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2"} {
		data, err := os.ReadFile("/usr/aarch64-linux-gnu/lib/" + lib)
		if err != nil {
			t.Fatalf("%v (apt-get install libc6-arm64-cross libstdc++6-arm64-cross)", err)
		}
		files["/lib/"+lib] = File{data, 0o755}
	}
	return files
}

// alwaysHappy is a small model that says happy of every face, so that the
// lines have one right answer.
func alwaysHappy(t *testing.T) []byte {
	t.Helper()
	return says(t, "happy")
}

func says(t *testing.T, label string) []byte {
	t.Helper()
	g := infertest.Network(7, model.Emotion)
	for _, op := range g.Ops {
		if op.Kind == graph.FullyConnected && g.Tensors[op.Outputs[0]].Name == "emotion/logits" {
			bias := g.Tensors[op.Inputs[2]]
			for i := range model.Emotion.Labels {
				v := float32(-20)
				if i == model.Emotion.Label(label) {
					v = 20
				}
				binary.LittleEndian.PutUint32(bias.Data[4*i:], math.Float32bits(v))
			}
		}
	}
	return infertest.Marshal(t, g)
}

// The pins that config wires.
const (
	ready, heartbeat, face, code0, code1, code2, strobe, happy = 17, 27, 22, 5, 6, 13, 19, 26
)

// config wires every kind of line; face is active low. The times suit an
// emulated processor, on which one look at a picture takes seconds.
const config = `
camera: {source: /dev/video0}
model: {file: /models/happy.tflite, engine: tflite}
heads: [emotion]
answers: {confirm: 1, window: 1, fresh: 60s, linger: 20s, dwell: 10ms, smoothing: 0s,
  quality: {min_size: 0, min_sharpness: 0, min_brightness: 0, max_brightness: 0, min_contrast: 0, max_tilt: 0, max_turn: 0}}
signals:
  pins: gpio
  hang: 60s
  lines:
    ready:     {pin: GPIO17}
    heartbeat: {pin: GPIO27}
    face:      {pin: GPIO22, active: low}
    code0:     {pin: GPIO5}
    code1:     {pin: GPIO6}
    code2:     {pin: GPIO13}
    strobe:    {pin: GPIO19}
    is_happy:  {pin: GPIO26}
status: {listen: none}
`

// Lines before a face, and with one that is happy (code 4: the label's place,
// counted from 1). Strobe and heartbeat come and go.
var (
	idle   = Lines{ready: 1, face: 1, code0: 0, code1: 0, code2: 0, happy: 0}
	smiles = Lines{ready: 1, face: 0, code0: 0, code1: 0, code2: 1, happy: 1}
	safe   = Lines{ready: 0, face: 1, code0: 0, code1: 0, code2: 0, happy: 0, strobe: 0, heartbeat: 0}
)

// until waits for the lines to be as wanted, or for the program to end.
func until(t *testing.T, m *Machine, want Lines) {
	t.Helper()
	if err := waitFor(m, want, 5*time.Minute); err != nil {
		log, _ := m.Do("log", "miend")
		t.Fatalf("%v; miend says:\n%s", err, log)
	}
}

func waitFor(m *Machine, want Lines, limit time.Duration) error {
	var last error
	for end := time.Now().Add(limit); time.Now().Before(end); {
		l, err := m.Levels()
		if err != nil {
			return err
		}
		if last = want.Check(l); last == nil {
			return nil
		}
		if state, err := m.Do("wait", "miend", "50"); err != nil || state != "running" {
			return fmt.Errorf("miend: %s (%v); and %w", state, err, last)
		}
	}
	return fmt.Errorf("after %v: %w", limit, last)
}

// The package's own program on the board, from power-on to power-off.
func TestFirmware(t *testing.T) {
	t.Parallel()
	files := installed(t)
	files["/frames/face"] = File{Data: frame(true)}
	files["/frames/empty"] = File{Data: frame(false)}
	files["/models/happy.tflite"] = File{Data: alwaysHappy(t)}
	files["/etc/mien/mien.yaml"] = File{Data: []byte(config)}
	m := boot(t, files, "")
	do(t, m, "feed", "empty")
	do(t, m, "trace", "start")
	do(t, m, "start", "miend", "/usr/lib/mien/miend", "run", "--config", "/etc/mien/mien.yaml")

	until(t, m, idle)
	if err := smiles.Check(levels(t, m)); err == nil {
		t.Error("an empty room passes for a happy face") // negative control: wrong frame
	}
	do(t, m, "feed", "face")
	until(t, m, smiles)
	if err := idle.Check(levels(t, m)); err == nil {
		t.Error("a happy face passes for an empty room") // negative control
	}
	if err := (Lines{16: 1}).Check(levels(t, m)); err == nil {
		t.Error("a line that is not wired is high") // negative control: wrong pin
	}
	contract(t, m)

	// A lost camera drops ready at once, and everything else with it; when it
	// comes back the pipeline goes on by itself.
	do(t, m, "unplug")
	until(t, m, safe)
	// miend opens the camera the moment it is there, and what it shows can be set
	// up only while nobody has it open.
	do(t, m, "signal", "miend", "19") // SIGSTOP
	do(t, m, "plug")
	do(t, m, "feed", "face")
	do(t, m, "signal", "miend", "18") // SIGCONT
	until(t, m, smiles)

	flat(t, m)

	do(t, m, "signal", "miend", "15")
	if s := do(t, m, "wait", "miend", "60000"); s != "exit status 0" {
		t.Errorf("miend ends with %s: %s", s, do(t, m, "log", "miend"))
	}
	// Once the program has gone the lines are nobody's; none is left active.
	if err := (Lines{ready: 0, happy: 0, strobe: 0, heartbeat: 0, code2: 0}).Check(levels(t, m)); err != nil {
		t.Errorf("after the end: %v", err)
	}

	// Negative control: a firmware that crashes does not look ready.
	do(t, m, "start", "miend", "/usr/lib/mien/miend", "run", "--config", "/etc/mien/mien.yaml")
	until(t, m, Lines{ready: 1})
	do(t, m, "signal", "miend", "9")
	do(t, m, "wait", "miend", "60000")
	if err := (Lines{ready: 1}).Check(levels(t, m)); err == nil {
		if out, err := m.Output(ready); err != nil || out {
			t.Errorf("after kill -9 ready is still driven high: %v", err)
		}
	}
	if err := m.PowerOff(); err != nil {
		t.Errorf("power-off: %v", err)
	}
}

// The consent line is a wire to the header: while it is low the firmware is
// blind and not ready, whatever the camera sees.
func TestConsentLine(t *testing.T) {
	t.Parallel()
	const consent = 21
	files := installed(t)
	files["/frames/face"] = File{Data: frame(true)}
	files["/models/happy.tflite"] = File{Data: alwaysHappy(t)}
	files["/etc/mien/mien.yaml"] = File{Data: []byte(config + "consent: gpio header 40\n")}
	m := boot(t, files, "")
	do(t, m, "feed", "face")
	do(t, m, "start", "miend", "/usr/lib/mien/miend", "run", "--config", "/etc/mien/mien.yaml")
	until(t, m, safe)
	do(t, m, "wait", "miend", "15000") // several looks at a face would be made here
	if err := safe.Check(levels(t, m)); err != nil {
		t.Errorf("without consent: %v", err)
	}
	drive := func(level int) {
		t.Helper()
		if err := m.Drive(consent, level); err != nil {
			t.Fatal(err)
		}
	}
	drive(1)
	until(t, m, smiles)
	if err := m.Drive(ready, 1); err == nil {
		t.Error("a line that the firmware drives can be driven from outside") // negative control
	}
	drive(0)
	until(t, m, safe)
	drive(1)
	until(t, m, smiles)
	do(t, m, "signal", "miend", "15")
	if s := do(t, m, "wait", "miend", "60000"); s != "exit status 0" {
		t.Errorf("miend ends with %s: %s", s, do(t, m, "log", "miend"))
	}
	if log := do(t, m, "log", "miend"); strings.Count(log, "given=true by=gpio") != 2 || !strings.Contains(log, "consent gpio GPIO21") {
		t.Errorf("the log does not tell of consent:\n%s", log)
	}
	if err := m.PowerOff(); err != nil {
		t.Errorf("power-off: %v", err)
	}
}

// contract reads what the kernel saw and holds it against the contract.
func contract(t *testing.T, m *Machine) {
	t.Helper()
	events, err := Trace(do(t, m, "trace", "read"))
	if err != nil {
		t.Fatal(err)
	}
	if len(events) < 10 {
		t.Fatalf("%d events only in the trace", len(events))
	}
	// No line ever carries a level on its first use that is not its safe one:
	// a relay would click.
	seen := map[int]bool{}
	for _, e := range events {
		if want, wired := safe[e.Line]; wired && !seen[e.Line] && e.Set {
			seen[e.Line] = true
			if e.Level != want {
				t.Errorf("GPIO%d is first set to %d, its safe level is %d", e.Line, e.Level, want)
			}
		}
	}
	if len(seen) != len(safe) {
		t.Errorf("%d of %d lines are in the trace", len(seen), len(safe))
	}
	now := map[int]int{}
	codes := []int{code0, code1, code2}
	var changed float64 // when a code line last changed
	beats, strobes := 0, 0
	for _, e := range events {
		if !e.Set || now[e.Line] == e.Level {
			continue
		}
		now[e.Line] = e.Level
		switch {
		case slices.Contains(codes, e.Line):
			changed = e.Seconds
			if now[strobe] == 1 {
				t.Errorf("at %f GPIO%d changes while strobe is active", e.Seconds, e.Line)
			}
		case e.Line == strobe && e.Level == 1:
			strobes++
			// The trace counts in microseconds: half of one is rounding, not haste.
			if changed > 0 && e.Seconds-changed < 0.020-0.5e-6 {
				t.Errorf("at %f strobe comes %f s after the codes changed, want 0.020 at least", e.Seconds, e.Seconds-changed)
			}
		case e.Line == heartbeat:
			beats++
		}
	}
	if strobes == 0 || beats == 0 {
		t.Errorf("%d strobes and %d heartbeats in the trace", strobes, beats)
	}
}

// flat makes sure that memory does not grow with the frames.
func flat(t *testing.T, m *Machine) {
	t.Helper()
	memory := func() int {
		kib, err := strconv.Atoi(do(t, m, "memory", "miend"))
		if err != nil {
			t.Fatal(err)
		}
		return kib
	}
	do(t, m, "wait", "miend", "15000") // let it settle
	before := memory()
	do(t, m, "wait", "miend", "45000") // over hundreds of frames
	after := memory()
	t.Logf("resident memory: %d KiB, then %d KiB", before, after)
	if after > before+4096 {
		t.Errorf("resident memory grows from %d to %d KiB", before, after)
	}
	if after > 64<<10 {
		t.Errorf("resident memory is %d KiB, more than 64 MiB", after)
	}
}

// glibcFloor is the oldest C library that the boards have (Coral's Mendel).
const glibcFloor = "2.28"

func TestGlibcFloor(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"miend", "libtensorflowlite_c.so"} {
		f, err := elf.Open(firmware + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		symbols, err := f.ImportedSymbols()
		if err != nil {
			t.Fatal(err)
		}
		highest := ""
		for _, s := range symbols {
			if v, ok := strings.CutPrefix(s.Version, "GLIBC_"); ok && newer(v, highest) {
				highest = v
			}
		}
		t.Logf("%s wants glibc %s", name, highest)
		if highest == "" || newer(highest, glibcFloor) {
			t.Errorf("%s wants glibc %q, the boards have %s", name, highest, glibcFloor)
		}
		if path, err := f.DynString(elf.DT_RUNPATH); name == "miend" && (err != nil || !slices.Equal(path, []string{"$ORIGIN"})) {
			t.Errorf("miend looks for libraries in %v (%v), want $ORIGIN alone", path, err)
		}
	}
	if !newer("2.34", glibcFloor) || newer("2.17", glibcFloor) || newer("2.4", "2.17") {
		t.Error("versions are compared as text")
	}
}

// newer compares versions such as 2.17.
func newer(a, b string) bool {
	number := func(s string) (n int) {
		for part := range strings.SplitSeq(s, ".") {
			v, _ := strconv.Atoi(part)
			n = n*1000 + v
		}
		if strings.Count(s, ".") == 1 {
			n *= 1000
		}
		return n
	}
	return number(a) > number(b)
}

// The firmware on arm64 reads a picture as the same program here does.
func TestProbeSaysTheSameAsTheHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	picture, net := filepath.Join(dir, "face.pgm.png"), filepath.Join(dir, "model.tflite")
	if err := writePicture(picture, frame(true)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(net, infertest.Marshal(t, infertest.Network(11, model.Emotion, model.Gender, model.Age)), 0o644); err != nil {
		t.Fatal(err)
	}
	probe := func(argv ...string) any {
		cmd := exec.Command(argv[0], append(argv[1:], "probe", picture, "--model", net)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", cmd.Args, err)
		}
		var r map[string]any
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatalf("%v: %v: %s", cmd.Args, err, out)
		}
		return labels(t, r)
	}
	here := probe("../../bin/miend")
	there := probe("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", firmware+"miend")
	if fmt.Sprint(here) != fmt.Sprint(there) {
		t.Errorf("arm64 says %v, this machine %v", there, here)
	}
	t.Logf("both say %v", here)
}

// writePicture writes a frame as PNG.
func writePicture(path string, grey []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return png.Encode(f, &image.Gray{Pix: grey, Stride: 640, Rect: image.Rect(0, 0, 640, 480)})
}

// labels returns where the faces are and the likeliest label of each head.
func labels(t *testing.T, reading map[string]any) []string {
	t.Helper()
	faces, _ := reading["faces"].([]any)
	if len(faces) == 0 {
		t.Fatalf("no face in %v", reading)
	}
	var all []string
	for _, f := range faces {
		face := f.(map[string]any)
		all = append(all, fmt.Sprint(face["box"]))
		for _, h := range face["heads"].([]any) {
			head := h.(map[string]any)
			best, label := -1.0, ""
			for l, p := range head["probs"].(map[string]any) {
				if v := p.(float64); v > best {
					best, label = v, l
				}
			}
			all = append(all, fmt.Sprint(head["head"], "=", label))
		}
	}
	return all
}
