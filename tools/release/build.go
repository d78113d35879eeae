package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// builder makes what takes a compiler; tests have something smaller.
type builder interface {
	// program builds a program of device/cmd, once, and says where it is.
	program(s system, name string) (path string, err error)
	deb(s system, at string) error
	image(board, at string) error
}

// commands are the builder of real releases. It runs at the top of the repository.
type commands struct {
	ctx            context.Context
	work           string // folder for what is on the way
	version, stamp string
	epoch          int64
	public         string // file with the key whose updates the images take
	built          map[string]bool
}

// command runs a program, and hands on what it says.
func (c commands) command(env []string, name string, args ...string) error {
	cmd := exec.CommandContext(c.ctx, name, args...)
	cmd.Env = append(os.Environ(), append([]string{"CGO_ENABLED=0", "GOFLAGS=-buildvcs=false"}, env...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return nil
}

func (c commands) program(s system, name string) (string, error) {
	at := filepath.Join(c.work, s.debian, name)
	if c.built[at] {
		return at, nil
	}
	// The tag brings time zones and authorities where there are none.
	err := c.command([]string{"GOOS=linux", "GOARCH=" + s.goarch, "GOARM=" + s.goarm}, "go", "build", "-trimpath", "-tags", "appliance",
		"-ldflags", "-s -w -buildid= -X main.stamped="+c.stamp, "-o", at, "./device/cmd/"+name)
	c.built[at] = err == nil
	return at, err
}

func (c commands) deb(s system, at string) error {
	program, err := c.program(s, "miend")
	if err != nil {
		return err
	}
	epoch := strconv.FormatInt(c.epoch, 10)
	made := filepath.Join(c.work, s.debian, "mien.deb")
	if err := c.command(nil, "go", "run", "-modfile=boards/deb/nfpm.mod", "boards/deb/mkdeb.go", filepath.Dir(program), s.nfpm, s.title, c.version, epoch, made); err != nil {
		return err
	}
	return os.Rename(made, at) // its bill stays behind: one is written for every artefact
}

func (c commands) image(board, at string) error {
	miend, err := c.program(card, "miend")
	if err != nil {
		return err
	}
	first, err := c.program(card, "appliance")
	if err != nil {
		return err
	}
	programs := filepath.Join(c.work, "image")
	if err := errors.Join(os.RemoveAll(programs), os.MkdirAll(programs, 0o755), os.Link(miend, filepath.Join(programs, "miend")), os.Link(first, filepath.Join(programs, "init"))); err != nil {
		return err
	}
	return c.command(nil, "bin/mien", "image", board, "--programs", programs, "--stamp", c.stamp, "--epoch", strconv.FormatInt(c.epoch, 10), "--key", c.public, "--out", at)
}
