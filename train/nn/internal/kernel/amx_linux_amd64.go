//go:build !noasm

package kernel

import (
	x86 "golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// hasTiles asks Linux for the tiles: a process must, since they make the
// threads' saved state larger (Documentation/arch/x86/xstate.rst). Threads
// inherit the permission.
func hasTiles() bool {
	const (
		requestPermission = 0x1023 // ARCH_REQ_XCOMP_PERM
		tileData          = 18     // XFEATURE_XTILEDATA
	)
	if !x86.X86.HasAMXTile || !x86.X86.HasAMXBF16 {
		return false
	}
	_, _, err := unix.RawSyscall(unix.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return err == 0
}
