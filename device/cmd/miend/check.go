package main

import (
	"fmt"

	"mien/device/config"
)

type checkCmd struct {
	File   string `arg:"" optional:"" placeholder:"FILE" help:"Configuration (/etc/mien/mien.yaml)." default:"/etc/mien/mien.yaml"`
	Sample bool   `help:"Print the annotated sample, which is what an empty file means."`
}

// Run says whether a configuration is right.
func (c checkCmd) Run(e env) error {
	if c.Sample {
		_, err := e.stdout.Write(config.Sample)
		return err
	}
	cfg, err := config.Load(c.File)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s is right: %s\n", c.File, audit(&cfg))
	return err
}
