//go:build e2e

package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
)

// dataCard makes an SD card with an empty file system.
func dataCard(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "card.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(64 << 20); err != nil { // the emulated card wants a power of two
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := output("mke2fs", "-q", "-t", "ext4", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// mountCard waits for the card, which the kernel finds a moment after boot.
func mountCard(t *testing.T, m *Machine) {
	t.Helper()
	var err error
	for range 240 {
		if _, err = m.Do("mount", "/dev/mmcblk0", "/var/lib/mien", "ext4"); err == nil {
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
	t.Fatalf("the SD card: %v", err)
}

// cuts is how many times the power is cut, at moments spread over an update;
// the last time right after it said that it was done.
const cuts = 4

// Cutting the power during an update of the model leaves a card from which the
// board starts a model that works, the old one or the new.
func TestPowerCutDuringUpdate(t *testing.T) {
	t.Parallel()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	files := installed(t)
	files["/etc/mien/keys/us.pub"] = File{Data: key}
	for i, label := range []string{"sad", "happy"} {
		data := says(t, label)
		files["/models/"+label+".tflite"] = File{Data: data}
		files["/models/"+label+".tflite.minisig"] = File{Data: minisign.SignWithComments(private, data, fmt.Sprintf("version:%d", i+1), "a test")}
	}
	files["/frames/face"] = File{Data: frame(true)}
	// The model comes from the card.
	files["/etc/mien/mien.yaml"] = File{Data: []byte(strings.Replace(config, "file: /models/happy.tflite, ", "", 1))}

	update := func(m *Machine, label string) string {
		t.Helper()
		do(t, m, "start", "update", "/usr/lib/mien/miend", "update", "/models/"+label+".tflite")
		return do(t, m, "wait", "update", "120000")
	}
	disk := dataCard(t)
	m := boot(t, files, disk)
	mountCard(t, m)
	begin := time.Now()
	if s := update(m, "sad"); s != "exit status 0" {
		t.Fatalf("the first update: %s: %s", s, do(t, m, "log", "update"))
	}
	took := time.Since(begin)
	do(t, m, "feed", "face")
	do(t, m, "start", "miend", "/usr/lib/mien/miend", "run", "--config", "/etc/mien/mien.yaml")
	sad := Lines{ready: 1, code0: 1, code1: 0, code2: 1, happy: 0} // code 5
	until(t, m, sad)
	proven(t, m)
	if err := m.PowerOff(); err != nil {
		t.Fatal(err)
	}

	seen := map[string]int{}
	for i := range cuts {
		// Each cut starts from the card as it was proven.
		copied := filepath.Join(t.TempDir(), "copy.img")
		data, err := os.ReadFile(disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, data, 0o644); err != nil {
			t.Fatal(err)
		}
		m := boot(t, files, copied)
		mountCard(t, m)
		last := i == cuts-1
		if last {
			if s := update(m, "happy"); s != "exit status 0" {
				t.Fatalf("the update: %s: %s", s, do(t, m, "log", "update"))
			}
		} else {
			do(t, m, "start", "update", "/usr/lib/mien/miend", "update", "/models/happy.tflite")
			time.Sleep(took * time.Duration(i+1) / (cuts - 1))
		}
		m.Kill()

		m = boot(t, files, copied)
		mountCard(t, m)
		do(t, m, "feed", "face")
		do(t, m, "start", "miend", "/usr/lib/mien/miend", "run", "--config", "/etc/mien/mien.yaml")
		until(t, m, Lines{ready: 1, code2: 1}) // both labels have that bit
		model := "happy"
		if err := smiles.Check(levels(t, m)); err != nil {
			model = "sad"
			until(t, m, sad)
		}
		seen[model]++
		if last && model != "happy" {
			t.Error("an update that was done is lost when the power is cut right after it")
		}
		m.Kill()
	}
	t.Logf("after %d cuts: %v", cuts, seen)
}

// proven waits until the model's trial is over.
func proven(t *testing.T, m *Machine) {
	t.Helper()
	var state string
	for range 240 {
		if state = do(t, m, "read", "/var/lib/mien/models/state.json"); !strings.Contains(state, `"trial":true`) {
			return
		}
		do(t, m, "wait", "miend", "500")
	}
	t.Fatalf("the model is still on trial: %s; miend says:\n%s", state, do(t, m, "log", "miend"))
}
