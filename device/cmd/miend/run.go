package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"mien/device/cmdline"
	"mien/device/config"
)

// stamped is set by make, version what the program says of itself.
var (
	stamped string
	version = cmdline.Version(stamped)
)

// commands is the command line of miend: one field, one file, for each
// command.
type commands struct {
	Run      runCmd      `cmd:"" default:"withargs" help:"Read faces and drive the lines, as the configuration says (the default)."`
	Demo     demoCmd     `cmd:"" help:"Show what miend does: recorded frames of a face, a simulated header."`
	Bench    benchCmd    `cmd:"" help:"Measure this machine: frame to pin, frames a second, throttling; recorded frames, a simulated header."`
	Probe    probeCmd    `cmd:"" help:"Read one picture and print the reading as JSON."`
	Check    checkCmd    `cmd:"" help:"Say whether a configuration is right."`
	Doctor   doctorCmd   `cmd:"" help:"Say what is wrong with this board and how to mend it."`
	Update   updateCmd   `cmd:"" help:"Install a signed model, or go back to the one before."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
	Licences licencesCmd `cmd:"" help:"Say whose work is inside, under which licences, with which terms."`
	Manual   manualCmd   `cmd:"" hidden:"" help:"Write the manual page."`
}

// env is what every command gets beside its flags.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
	replace        func(environ []string) error // the process by the same program; nil where that is another's
}

// run is main within a process of somebody else: it parses args and runs the command.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return program().Run(args, stdout, stderr, env{ctx: ctx, stdout: stdout, stderr: stderr})
}

func program() cmdline.Program {
	return cmdline.Program{
		Name:        "miend",
		Description: "Reads faces from a camera and drives the lines of a pin header.",
		Version:     stamped,
		Commands:    &commands{},
	}
}

// configPath is where the configuration is unless told otherwise.
const configPath = config.Installed

// configFlag is shared by the commands that read the configuration.
type configFlag struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration (${default}; the defaults where that does not exist)." default:"/etc/mien/mien.yaml"`
}

// load reads the configuration.
func (f configFlag) load() (config.Config, error) {
	file, err := loadFile(f.Config)
	return file.Config, err
}

// loadFile reads a configuration. That the usual file does not exist means
// the defaults; a file that was named has to be there.
func loadFile(path string) (config.File, error) {
	file, err := config.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && path == configPath {
		return config.ParseFile(path, nil)
	}
	return file, err
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e env) error {
	_, err := fmt.Fprintln(e.stdout, "miend", version)
	return err
}
