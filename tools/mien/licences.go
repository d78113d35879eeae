package main

import "mien/device/cmdline"

type licencesCmd struct {
	cmdline.Licences `embed:""`
}

// Run says whose work is inside mien.
func (c licencesCmd) Run(e env) error { return c.Print(e.stdout, "mien", cmdline.Version(stamped)) }
