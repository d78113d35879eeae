// Package lockfile gives a folder of state one owner at a time, by an advisory
// lock of the operating system on a file in it. The lock ends with its owner,
// however that ends; the file stays and names who had it last.
package lockfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Name is the file's usual name in the folder that it guards.
const Name = "lock"

// HeldError says that another process has the lock.
type HeldError struct {
	Path string
	PID  int // of the holder; 0 when it does not say
}

func (e *HeldError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
		if e.PID == os.Getpid() {
			who = fmt.Sprintf("this process (%d) already", e.PID)
		} else if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", e.PID)); err == nil {
			who += fmt.Sprintf(" (%s)", strings.TrimSpace(string(name)))
		}
	}
	return fmt.Sprintf("%s is in use by %s; end it first, or take another folder", filepath.Dir(e.Path), who)
}

// Lock is a lock that is held.
type Lock struct{ f *os.File }

// Take takes the lock on the file at path, which it makes if needed; the
// folder has to be there. While another process has the lock Take tries again
// for as long as patience says, and then returns a *HeldError. A file made by
// root belongs to whom its folder belongs to, who has to lock it too.
func Take(path string, patience time.Duration) (*Lock, error) {
	f, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(min(20*time.Millisecond, max(patience, time.Millisecond))) {
		err := lock(f)
		if err == nil {
			break
		}
		if !errors.Is(err, errHeld) {
			return nil, errors.Join(fmt.Errorf("lock: %s: %w", path, err), f.Close())
		}
		if !time.Now().Before(end) {
			return nil, errors.Join(&HeldError{path, holder(f)}, f.Close())
		}
	}
	// Who has only the right to read the file may lock it all the same, and is
	// not named then.
	if f.Truncate(0) == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
	}
	return &Lock{f}, nil
}

// open opens the file, for reading alone where it belongs to somebody else.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		if err := own(f, filepath.Dir(path)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	if f, err = os.OpenFile(path, os.O_RDWR, 0); errors.Is(err, fs.ErrPermission) {
		return os.Open(path)
	}
	return f, err
}

// holder reads who has the lock.
func holder(f *os.File) int {
	b := make([]byte, 20)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// Release gives the lock back. Releasing a nil Lock does nothing.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	return l.f.Close() // which is the end of the lock
}
