//go:build !unix

package hook

import "os/exec"

// together ends a program alone: without process groups nobody knows what it has
// started. No device has such a system; mien on workstations only checks configurations.
func together(cmd *exec.Cmd) (end func() error) {
	return func() error { return cmd.Process.Kill() }
}
