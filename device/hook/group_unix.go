//go:build unix

package hook

import (
	"os/exec"
	"syscall"
)

// together has a program, once started, end with all that it has started itself, by
// what this returns.
func together(cmd *exec.Cmd) (end func() error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
