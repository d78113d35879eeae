package main

import "mien/device/cmdline"

type licencesCmd struct {
	cmdline.Licences `embed:""`
}

// Run says whose work is inside miend.
func (c licencesCmd) Run(e env) error { return c.Print(e.stdout, "miend", version) }
