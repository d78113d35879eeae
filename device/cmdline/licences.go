package cmdline

import (
	"errors"
	"io"
	"runtime/debug"
	"time"

	"mien/runtime/licences"
)

// Licences is the command that says whose work is inside a program.
type Licences struct {
	Part []string `arg:"" optional:"" placeholder:"PART" help:"Parts whose texts are printed; all is each of them."`
	SPDX bool     `name:"spdx" help:"Write a bill of materials in SPDX's format (JSON) instead."`
}

// Print writes what is asked for of the program that runs.
func (c Licences) Print(w io.Writer, program, version string) error {
	if c.SPDX && c.Part != nil {
		return Wrong("--spdx is of all parts; it takes none")
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("licences: this program was built without Go's notes of its modules")
	}
	b := licences.Build{Program: program, Version: version, Info: info}
	if c.SPDX {
		return b.SPDX(w, time.Now())
	}
	return b.Print(w, c.Part...)
}
