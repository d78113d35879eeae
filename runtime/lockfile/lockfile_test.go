package lockfile_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mien/runtime/lockfile"
)

// TestMain lets the test's own program be another process that has a lock.
func TestMain(m *testing.M) {
	if path := os.Getenv("LOCKFILE_HOLD"); path != "" {
		l, err := lockfile.Take(path, 0)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		bufio.NewReader(os.Stdin).ReadString('\n')
		l.Release()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hold starts a process that takes the lock and returns it.
func hold(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "LOCKFILE_HOLD="+path)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if s, err := bufio.NewReader(out).ReadString('\n'); err != nil || s != "held\n" {
		t.Fatalf("the other process says %q, %v", s, err)
	}
	return cmd
}

func TestOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockfile.Name)
	other := hold(t, path)
	_, err := lockfile.Take(path, 0)
	var held *lockfile.HeldError
	if !errors.As(err, &held) || held.PID != other.Process.Pid {
		t.Fatalf("%v, want that process %d holds it", err, other.Process.Pid)
	}
	if s := err.Error(); !strings.Contains(s, fmt.Sprint("process ", other.Process.Pid)) || !strings.Contains(s, filepath.Dir(path)) {
		t.Errorf("%q names neither holder nor folder", s)
	}
	// Killed, it leaves nothing that has to be cleared away by hand.
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	l, err := lockfile.Take(path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockfile.Take(path, 0); !errors.As(err, &held) || held.PID != os.Getpid() || !strings.Contains(err.Error(), "this process") {
		t.Errorf("a second time in one process: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if l, err = lockfile.Take(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Release(), (*lockfile.Lock)(nil).Release()); err != nil {
		t.Error(err)
	}
}

func TestPatience(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockfile.Name)
	l, err := lockfile.Take(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		again, err := lockfile.Take(path, time.Minute)
		got <- errors.Join(err, again.Release())
	}()
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// What is in the file says who holds the lock and decides nothing.
func TestContentDoesNotCount(t *testing.T) {
	for _, s := range []string{"", "1\n", "nonsense", strings.Repeat("9", 100)} {
		path := filepath.Join(t.TempDir(), lockfile.Name)
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := lockfile.Take(path, 0)
		if err != nil {
			t.Errorf("%q: %v", s, err)
		}
		l.Release()
	}
	if _, err := lockfile.Take(filepath.Join(t.TempDir(), "none", lockfile.Name), 0); err == nil {
		t.Error("a folder that is not there can be locked")
	}
}
