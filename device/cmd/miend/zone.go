package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// zoned says in the environment that miend has set TZ, and to what.
const zoned = "MIEND_TIME_ZONE"

// inZone has local time be zone's, or the system's where it is empty. It belongs to
// the process, and whatever still runs may be reading it: so the process is replaced
// by one that has it from its beginning, and this returns if that is not needed.
func (e env) inZone(zone string) error {
	if e.replace == nil || os.Getenv(zoned) == zone {
		return nil
	}
	environ := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "TZ=") || strings.HasPrefix(kv, zoned+"=")
	})
	if zone != "" {
		environ = append(environ, "TZ="+zone, zoned+"="+zone)
	}
	return e.replace(environ)
}

// replace has the process run its program from the beginning, with the same
// arguments and another environment.
func replace(environ []string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return fmt.Errorf("run %s anew: %w", exe, syscall.Exec(exe, os.Args, environ))
}
