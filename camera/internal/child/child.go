// Package child runs a program that writes pictures to its standard output,
// for the cameras that only such a program can read.
package child

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"mien/camera"
)

// Child is a running program. One goroutine may read from it at a time.
type Child struct {
	Name    string              // of what it reads, in errors
	Timeout time.Duration       // without a byte, after which it is given up
	Grace   time.Duration       // that it has to end by itself when it is closed
	Tidy    func(string) string // what it said, as it may be shown; nil means as it is

	cmd    *exec.Cmd
	out    *os.File
	said   tail
	exited chan struct{}
	exit   error
	close  sync.Once
}

// Start starts cmd, whose outputs it takes.
func (c *Child) Start(cmd *exec.Cmd) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	c.cmd, c.exited = cmd, make(chan struct{})
	cmd.Stdout, cmd.Stderr = w, &c.said
	// A signal meant for us, such as Ctrl-C, is not for the child: it is told
	// by Close.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("%s: %w", c.Name, errors.Join(err, r.Close()))
	}
	c.out = r
	go func() {
		c.exit = cmd.Wait()
		close(c.exited)
	}()
	return nil
}

// Read fills b, and says how much of it where it cannot.
func (c *Child) Read(ctx context.Context, b []byte) (n int, err error) {
	var waited time.Duration
	for n < len(b) {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		// Short waits, so that cancelling is noticed.
		const nap = 100 * time.Millisecond
		k, err := c.ReadWithin(nap, b[n:])
		n += k
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if waited += nap; waited >= c.Timeout {
				return n, c.lost(fmt.Errorf("no frame for %v", c.Timeout))
			}
		case err != nil:
			return n, err
		default:
			waited = 0
		}
	}
	return n, nil
}

// ReadWithin reads what is there, or comes within d; otherwise it returns
// os.ErrDeadlineExceeded.
func (c *Child) ReadWithin(d time.Duration, b []byte) (int, error) {
	if err := c.out.SetReadDeadline(time.Now().Add(d)); err != nil {
		return 0, c.lost(err)
	}
	n, err := c.out.Read(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.lost(err)
	}
	return n, err
}

// lost explains an error with what the child said last.
func (c *Child) lost(err error) error {
	select {
	case <-c.exited:
		err = cmp.Or(c.exit, errors.New("it ended"))
	case <-time.After(200 * time.Millisecond): // between closing its output and ending
	}
	said := c.said.last()
	if c.Tidy != nil {
		said = c.Tidy(said)
	}
	if said != "" {
		return fmt.Errorf("%s: %w: %s", c.Name, err, said)
	}
	return fmt.Errorf("%s: %w", c.Name, err)
}

// Close ends the child and waits until it is gone.
func (c *Child) Close() error {
	var err error
	c.close.Do(func() { err = c.end() })
	return err
}

func (c *Child) end() error {
	// Its whole group: it may have children of its own.
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGTERM)
	err := c.out.Close()
	select {
	case <-c.exited:
		return err
	case <-time.After(c.Grace):
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.exited
	return err
}

// Pid is the child's process.
func (c *Child) Pid() int { return c.cmd.Process.Pid }

// tail keeps the last of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const keep = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - keep; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

// last returns the last line that says something.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return camera.Printable(strings.TrimSpace(lines[len(lines)-1]))
}
