package cmdline

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
)

type commands struct {
	Walk walkCmd `cmd:"" help:"Go for a walk."`
	Stay stayCmd `cmd:"" help:"Stay here."`
	Look lookCmd `cmd:"" help:"Look around." default:"withargs"`
}

type walkCmd struct {
	Far   float64  `help:"How far." default:"3" most:"40"`
	Turns int      `help:"How often to turn." least:"-2"`
	Past  []string `help:"Places."`
	With  []string `help:"Whom." check:"friend"`
	Note  string   `help:"A note." empty:""`
	To    string   `arg:"" help:"Where."`
}

func (c *walkCmd) Run(e env) error {
	_, err := fmt.Fprintf(e.w, "%v %v %v %v", c.To, c.Far, c.Turns, c.Past)
	return err
}

type lookCmd struct {
	Up bool
}

func (lookCmd) Run(env) error { return nil }

type stayCmd struct{}

func (stayCmd) Run(env) error { return errors.New("no") }

type env struct{ w io.Writer }

func call(args ...string) (stdout, stderr string, err error) {
	var out, said bytes.Buffer
	p := Program{Name: "dog", Description: "A dog.", Version: "1.2", Commands: &commands{},
		Checks: map[string]func(string) error{"friend": func(s string) error {
			if s != "cat" {
				return errors.New("no friend of mine")
			}
			return nil
		}}}
	err = p.Run(args, &out, &said, env{&out})
	return out.String(), said.String(), err
}

func TestRun(t *testing.T) {
	for args, want := range map[string]string{
		"walk home":                     "home 3 0 []",
		"walk --far 40 --turns=-2 home": "home 40 -2 []",
		"walk --with cat --past a,b --past c --note= x": "x 3 0 [a b c]",
		"--version": "dog 1.2\n",
	} {
		if out, _, err := call(strings.Fields(args)...); err != nil || out != want {
			t.Errorf("%s: %q, %v", args, out, err)
		}
	}
	if out, said, err := call("--help"); err != nil || !strings.Contains(out, "Go for a walk") || said != "" {
		t.Errorf("--help: %q, %q, %v", out, said, err)
	}
	if _, _, err := call("stay"); err == nil || Status(t.Context(), err) != Failed {
		t.Errorf("stay: %v", err)
	}
}

// Wrong arguments are told, with what is right, before anything runs.
func TestWrongUsage(t *testing.T) {
	for _, c := range []struct{ args, err, help string }{
		{"sit", "sit", "Go for a walk"},
		{"look down", "down", "Usage: dog look"},
		{"--loud", "--loud", "Go for a walk"},
		{"walk", "<to>", "Usage: dog walk"},
		{"walk --fast home", "--fast", "Usage: dog walk"},
		{"walk --far 0 home", "--far: 0 is too small: want more than 0", "Usage: dog walk"},
		{"walk --far=-1 home", "--far", ""},
		{"walk --far 41 home", "--far: 41 is too large: want 40 or less", ""},
		{"walk --far NaN home", "--far: NaN is no number", ""},
		{"walk --far +Inf home", "--far: +Inf is no number", ""},
		{"walk --turns=-3 home", "--turns: -3 is too small: want -2 or more", ""},
		{"walk --past= home", "--past: is empty", ""},
		{"walk --past=a,,b home", "--past: is empty", ""},
		{"walk --with cat,cow home", "--with: no friend of mine", ""},
		{"walk @", "<to>: is empty", "Usage: dog walk"},
	} {
		args := strings.Fields(c.args)
		for i := range args {
			if args[i] == "@" {
				args[i] = ""
			}
		}
		out, said, err := call(args...)
		var usage *UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.err) || Status(t.Context(), err) != WrongUsage {
			t.Errorf("%q: %v", c.args, err)
		}
		if out != "" || !strings.Contains(said, c.help) {
			t.Errorf("%q: printed %q, and on the standard error %q", c.args, out, said)
		}
	}
}

func TestStatus(t *testing.T) {
	by := func(s os.Signal) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(interrupted{s})
		return ctx
	}
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want int
	}{
		{t.Context(), nil, 0},
		{t.Context(), io.EOF, Failed},
		{t.Context(), &UsageError{io.EOF}, WrongUsage},
		{t.Context(), fmt.Errorf("in: %w", &Exit{7, io.EOF}), 7},
		{by(os.Interrupt), nil, 0},
		{by(syscall.SIGHUP), io.EOF, 129},
		{by(os.Interrupt), io.EOF, Interrupted},
		{by(syscall.SIGTERM), io.EOF, Terminated},
	} {
		if got := Status(c.ctx, c.err); got != c.want {
			t.Errorf("%v, %v: %d, want %d", context.Cause(c.ctx), c.err, got, c.want)
		}
	}
}

func TestVersion(t *testing.T) {
	if got := Version("v1"); got != "v1" {
		t.Error(got)
	}
	for want, info := range map[string]debug.BuildInfo{
		"0123456789"[:9] + " of 2026-03-04": {Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-03-04T05:06:07Z"}, {Key: "vcs.modified", Value: "false"}}},
		"abc, changed since":                  {Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}},
		"v1.2.3":                              {Main: debug.Module{Version: "v1.2.3"}},
		"unknown (built without its history)": {Main: debug.Module{Version: "(devel)"}},
	} {
		if got := versionOf(&info); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Neither a file nor a buffer is a terminal; /dev/null is a character device
// and none either.
func TestTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, w := range []io.Writer{&bytes.Buffer{}, null} {
		if Terminal(w) || Colour(w) {
			t.Errorf("%T is a terminal", w)
		}
	}
}

// A pseudo-terminal is one, and NO_COLOR is heeded on it.
func TestColour(t *testing.T) {
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("a pseudo-terminal: %v", err)
	}
	defer tty.Close()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if !Terminal(tty) || !Colour(tty) {
		t.Error("a terminal without colour")
	}
	t.Setenv("NO_COLOR", "1")
	if !Terminal(tty) || Colour(tty) {
		t.Error("NO_COLOR is not heeded")
	}
	t.Setenv("TERM", "dumb")
	if Terminal(tty) {
		t.Error("a dumb terminal moves its cursor")
	}
}

func TestCount(t *testing.T) {
	if got := Count(1, "line") + Count(0, "line") + Count(2, "line"); got != "1 line0 lines2 lines" {
		t.Error(got)
	}
}

// TestMain lets the test binary be a program that works until it is stopped.
func TestMain(m *testing.M) {
	if os.Getenv("MIEN_TEST_MAIN") != "" {
		Main("dog", func(ctx context.Context, _ []string, stdout, _ io.Writer) error {
			fmt.Fprintln(stdout, "working")
			<-ctx.Done()
			return errors.New("not done")
		})
	}
	os.Exit(m.Run())
}

// Ctrl-C ends work that is not done with the status that shells know.
func TestInterrupted(t *testing.T) {
	for sig, want := range map[os.Signal]int{os.Interrupt: Interrupted, syscall.SIGTERM: Terminated} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MIEN_TEST_MAIN=1")
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "working\n" {
			t.Fatalf("%q, %v", line, err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != want || said.String() != "dog: not done\n" {
			t.Errorf("%v: %v, said %q; want status %d", sig, err, said.String(), want)
		}
	}
}
