package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mien/camera/replay/portrait"
)

// Readings carry the local time of the configured zone, whatever the process was
// started with; without one, that of its environment.
func TestTimeZone(t *testing.T) {
	pictures := filepath.Join(t.TempDir(), "pictures")
	if err := os.Mkdir(pictures, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pictures, "1.jpg"), portrait.JPEG(), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for zone, offset := range map[string]int{"Asia/Kathmandu": 5*3600 + 45*60, "": 4*3600 + 30*60} {
		file := write(t, "mien.yaml", []byte("time_zone: \""+zone+"\"\n"))
		cmd := exec.Command(exe, "run", "-c", file, "--model", modelFile(t), "--replay", pictures, "--json")
		cmd.Env, cmd.Stderr = append(os.Environ(), "MIEND_ITSELF=1", "TZ=Asia/Kabul"), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for in := bufio.NewScanner(strings.NewReader(string(out))); in.Scan(); {
			_, after, ok := strings.Cut(in.Text(), `"time":"`)
			if !ok {
				continue
			}
			text, _, _ := strings.Cut(after, `"`)
			at, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				t.Fatal(err)
			}
			if _, is := at.Zone(); is != offset {
				t.Fatalf("time_zone %q: %s is %d s from UTC, want %d", zone, text, is, offset)
			}
			seen++
		}
		if seen == 0 {
			t.Errorf("time_zone %q: no times in %s", zone, out)
		}
	}
}
