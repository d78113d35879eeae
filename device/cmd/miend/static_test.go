//go:build linux && !race

// The static program is one of its own, of which the race detector sees nothing.

package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a board without C may be asked for, in bytes.
const (
	mostDisk   = 18 << 20 // of the program for arm64
	mostMemory = 40 << 20 // resident, while it reads faces at 640x480
)

// static builds miend without cgo for a processor.
func static(t *testing.T, arch string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "miend")
	build := exec.Command("go", "build", "-tags=", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS=linux", "GOARCH="+arch)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build.Args, err, out)
	}
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Fatalf("%s has a %v segment: it needs other files to start", program, p.Type)
		}
	}
	return program
}

func TestStaticProgramIsSmall(t *testing.T) {
	s, err := os.Stat(static(t, "arm64"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("miend for arm64 without C: %.1f MiB", float64(s.Size())/(1<<20))
	if s.Size() > mostDisk {
		t.Errorf("miend for arm64 has %d bytes, want at most %d", s.Size(), mostDisk)
	}
}

// TestStaticProgramIsAllThereIs starts the program where there is no file but it.
func TestStaticProgramIsAllThereIs(t *testing.T) {
	root := t.TempDir()
	if err := os.Rename(static(t, runtime.GOARCH), filepath.Join(root, "miend")); err != nil {
		t.Fatal(err)
	}
	alone := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/miend", args...)
		cmd.Env = []string{}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		if os.Getuid() != 0 { // who is not root is so in a name space of his own
			cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		}
		return cmd
	}
	t.Run("check", func(t *testing.T) { checkDefaults(t, alone("check")) })
	t.Run("demo", func(t *testing.T) { demoAlone(t, alone("demo", "--out", "/out", "--engine", "portable")) })
}

// checkDefaults: without a file at the usual place the defaults are checked, as run
// runs on them; a file that was named has to be there.
func checkDefaults(t *testing.T, cmd *exec.Cmd) {
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), configPath+" does not exist; the defaults are right: reads emotion, gender, age") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := miend("check", "/no/such.yaml"); err == nil {
		t.Error("a file that is not there is right")
	}
}

// demoAlone: model, cascades, fonts and frames are inside, and memory stays within
// its bound.
func demoAlone(t *testing.T, cmd *exec.Cmd) {
	root := cmd.SysProcAttr.Chroot
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- cmd.Wait() }()
	peak := 0
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%v\n%s", err, out.Bytes())
			}
			running = false
		case <-time.After(20 * time.Millisecond):
			peak = max(peak, highWater(cmd.Process.Pid))
		}
	}
	for _, want := range []string{"portable ", "happy", "annotated.png"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out.Bytes())
		}
	}
	for _, f := range []string{"readings.jsonl", "annotated.png"} {
		if s, err := os.Stat(filepath.Join(root, "out", f)); err != nil || s.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	t.Logf("resident at most %.1f MiB", float64(peak)/(1<<20))
	if peak == 0 || peak > mostMemory {
		t.Errorf("miend had up to %d bytes resident, want at most %d", peak, mostMemory)
	}
}
