package main

import (
	"errors"
	"runtime/debug"
	"time"

	"mien/device/cmdline"
	"mien/runtime/licences"
)

type licencesCmd struct {
	Part []string `arg:"" optional:"" placeholder:"PART" help:"Parts whose texts are printed; all is each of them."`
	SPDX bool     `name:"spdx" help:"Write a bill of materials in SPDX's format (JSON) instead."`
}

// Run says whose work is inside mien.
func (c licencesCmd) Run(e env) error {
	if c.SPDX && c.Part != nil {
		return cmdline.Wrong("--spdx is of all parts; it takes none")
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("licences: this program was built without Go's notes of its modules")
	}
	b := licences.Build{Program: "mien", Version: cmdline.Version(stamped), Info: info}
	if c.SPDX {
		return b.SPDX(e.stdout, time.Now())
	}
	return b.Print(e.stdout, c.Part...)
}
