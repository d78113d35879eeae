package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"mien/train"
)

// trainer has training runs done: in this process, in one of its own, or by the
// workers of a fleet. What a run leaves in its folder is the same.
type trainer struct {
	train  func(e env, c *trainCmd) error
	atOnce int // runs
}

// here trains in this process, and shows it.
func here() trainer {
	return trainer{func(e env, c *trainCmd) error { return c.takenUp().Run(e) }, 1}
}

// inChild trains in a process of its own: it ends with its memory, and a failure
// is its own.
func inChild() trainer { return trainer{child, 1} }

// failedRun is a run whose program ended with a status.
type failedRun struct {
	status int
	said   string // its last line
}

func (f *failedRun) Error() string { return f.said }

// takenUp goes on with the run in Out, when there is one.
func (c *trainCmd) takenUp() *trainCmd {
	t := *c
	if _, err := os.Stat(filepath.Join(c.Out, train.LastFile)); err == nil {
		t.Resume, t.Recipe = true, ""
	}
	return &t
}

// args are the arguments that make this call.
func (c *trainCmd) args() []string {
	args := []string{"train", "--out", c.Out, "--threads", strconv.Itoa(c.Threads)}
	flag := func(name string, values ...string) {
		for _, v := range values {
			if v != "" {
				args = append(args, "--"+name, v)
			}
		}
	}
	number := func(name string, n int) {
		if n > 0 {
			flag(name, strconv.Itoa(n))
		}
	}
	flag("recipe", c.Recipe)
	flag("chain", c.Chain)
	flag("data", c.Data...)
	flag("from", c.From)
	flag("teacher", c.Teacher...)
	flag("answers", c.Answers)
	flag("head", c.Head...)
	flag("set", c.Set...)
	number("epochs", c.Epochs)
	number("limit", c.Limit)
	number("stop-after", c.StopAfter)
	if c.SaveEvery > 0 {
		flag("save-every", c.SaveEvery.String())
	}
	if c.Resume {
		args = append(args, "--resume")
	}
	if c.Strict {
		args = append(args, "--strict")
	}
	return args
}

func child(e env, c *trainCmd) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(e.ctx, self, c.takenUp().args()...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it saves
	endWithUs(cmd)
	var said bytes.Buffer
	cmd.Stderr = &said
	err = cmd.Run()
	if e.ctx.Err() != nil {
		return e.ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return &failedRun{exit.ExitCode(), lines[len(lines)-1]}
	}
	if err != nil {
		return fmt.Errorf("start a run: %w", err)
	}
	return nil
}
