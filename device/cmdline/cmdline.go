// Package cmdline is what the command lines of both programs have in common:
// how arguments are read, what is refused before anything runs, how a program
// says its version, and the status that it ends with.
package cmdline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"
)

// Statuses that a program ends with.
const (
	Failed      = 1
	WrongUsage  = 2
	Interrupted = 128 + int(syscall.SIGINT) // as shells say of a program that a signal ended
	Terminated  = 128 + int(syscall.SIGTERM)
)

// UsageError is an error in the arguments: nothing has run.
type UsageError struct{ error }

// Unwrap returns what is wrong.
func (u *UsageError) Unwrap() error { return u.error }

// Exit is an error with a status of its own.
type Exit struct {
	Status int
	Err    error
}

func (e *Exit) Error() string { return e.Err.Error() }
func (e *Exit) Unwrap() error { return e.Err }

// Wrong returns an error in the arguments.
func Wrong(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// Main runs a program and ends the process. The context of run ends at
// Ctrl-C, at SIGTERM and at also; a second signal ends the process at once.
func Main(name string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) error, also ...os.Signal) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, append(also, os.Interrupt, syscall.SIGTERM)...)
	go func() {
		s := <-signals
		signal.Reset()
		cancel(interrupted{s})
	}()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	status := Status(ctx, err)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(status)
}

// interrupted is why a context ended.
type interrupted struct{ os.Signal }

func (i interrupted) Error() string { return i.String() }

// Status is what a program ends with whose run returned err. Work that is
// stopped and leaves nothing undone, as a service's, is no failure.
func Status(ctx context.Context, err error) int {
	var usage *UsageError
	var by interrupted
	var own *Exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return WrongUsage
	case errors.As(err, &own):
		return own.Status
	case errors.As(context.Cause(ctx), &by):
		if n, ok := by.Signal.(syscall.Signal); ok {
			return 128 + int(n)
		}
	}
	return Failed
}

// Program is a command line.
type Program struct {
	Name        string
	Description string
	Version     string // "" for what Go knows of the build
	Commands    any    // a pointer to kong's grammar
	Vars        kong.Vars
	// Checks say what is wrong with a text, by the name in a field's tag check.
	Checks map[string]func(string) error
}

// Model is the command line as kong sees it, for pages and scripts made of it.
func (p Program) Model() (*kong.Application, error) {
	k, err := p.parser(io.Discard, io.Discard, func() {})
	if err != nil {
		return nil, err
	}
	return k.Model, nil
}

// grammar adds what every program has.
type grammar struct {
	kong.Plugins
	Version kong.VersionFlag `help:"Print the version."`
}

func (p Program) parser(stdout, stderr io.Writer, exit func()) (*kong.Kong, error) {
	vars := kong.Vars{"version": p.Name + " " + Version(p.Version)}
	for k, v := range p.Vars {
		vars[k] = v
	}
	return kong.New(&grammar{Plugins: kong.Plugins{p.Commands}},
		kong.Name(p.Name),
		kong.Description(p.Description),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { exit() }),
		vars,
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
}

// Run reads args and runs the command that they name, with env as the argument
// of its Run method. Wrong arguments are a UsageError, told after a short help.
func (p Program) Run(args []string, stdout, stderr io.Writer, env any) error {
	done := false
	k, err := p.parser(stdout, stderr, func() { done = true })
	if err != nil {
		return err
	}
	c, err := k.Parse(args)
	if done { // the help or the version was asked for, and given
		return nil
	}
	if err == nil {
		err = p.checkFlags(c)
	}
	if err != nil {
		p.shortHelp(k, c, err, stderr)
		return &UsageError{err}
	}
	return c.Run(env)
}

// shortHelp prints the commands where none was named, else how the command is
// used.
func (p Program) shortHelp(k *kong.Kong, c *kong.Context, err error, w io.Writer) {
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		c = parse.Context
	}
	if c == nil {
		return
	}
	named := c.Selected() != nil && slices.Contains(c.Args, c.Selected().Name) // rather than a default
	if !named {
		c.Path = c.Path[:1] // the program itself
	}
	k.Stdout = w
	if c.PrintUsage(named) == nil { // the error itself is told in any case
		fmt.Fprintln(w)
	}
}
