package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"mien/camera"
)

// CommandTime is how long a program may run for one event. What it has started and left
// behind ends with it, but for what has made a group or session of its own (setsid(1)).
const CommandTime = 10 * time.Second

// Command runs a program for each event: without a shell, with the event's JSON
// on its standard input and in MIEN_JSON, and what is most asked for in MIEN_EVENT,
// MIEN_KIND, MIEN_FACE, MIEN_LINE, MIEN_PIN, MIEN_ACTIVE, MIEN_REASON, MIEN_TIME and MIEN_DEVICE. Of
// the device's own environment it gets PATH alone, for that may hold secrets.
type Command struct {
	argv  []string
	limit time.Duration
}

// NewCommand returns what runs the program argv[0], a path from the root, with the
// arguments that follow it.
func NewCommand(argv []string) (*Command, error) {
	if len(argv) == 0 || !filepath.IsAbs(argv[0]) {
		return nil, errors.New("hook: a program is named by its whole path, such as /usr/local/bin/greet")
	}
	return &Command{argv, CommandTime}, nil
}

// Check says whether the program is there to be run.
func (c *Command) Check() error {
	if _, err := exec.LookPath(c.argv[0]); err != nil {
		return fmt.Errorf("hook: %w", err)
	}
	return nil
}

// Tell implements Teller. A program that fails is not run again.
func (c *Command) Tell(ctx context.Context, m *Message) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "MIEN_JSON=" + string(m.JSON)}
	for name, value := range m.Vars {
		cmd.Env = append(cmd.Env, "MIEN_"+name+"="+value)
	}
	cmd.Stdin = bytes.NewReader(m.JSON)
	end := together(cmd)
	cmd.Cancel, cmd.WaitDelay = end, last
	said := &start{}
	err := listen(cmd, said, end)
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		return fmt.Errorf("hook: %s did not end within %v and was ended", c.argv[0], c.limit)
	case err != nil:
		return fmt.Errorf("hook: %s: %w%s", c.argv[0], err, said)
	}
	return nil
}

// last is how long is waited for what a program has said when it has ended.
const last = time.Second

// listen runs a program until it ends, then calls end, and has what it says meanwhile
// on its standard error. With a pipe of exec's own, what the program leaves behind
// and that holds it open would be waited for.
func listen(cmd *exec.Cmd, said io.Writer, end func() error) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.Stderr = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	heard := make(chan struct{})
	go func() {
		_, _ = io.Copy(said, r) // it is for an error's text alone
		close(heard)
	}()
	err = cmd.Wait()
	_ = end() // nobody may be left
	_ = r.SetReadDeadline(time.Now().Add(last))
	<-heard
	return err
}

// start keeps how what a program says begins.
type start struct{ b []byte }

func (s *start) Write(p []byte) (int, error) {
	s.b = append(s.b, p[:min(len(p), 200-len(s.b))]...)
	return len(p), nil
}

func (s *start) String() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(s.b)), "\n")
	if line == "" {
		return ""
	}
	return ": " + camera.Printable(line)
}
