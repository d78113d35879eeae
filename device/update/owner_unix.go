//go:build unix

package update

import (
	"os"
	"path/filepath"
	"syscall"
)

// belongAsAbove gives a folder that root has made to whom the one above belongs to.
func belongAsAbove(dir string) error {
	above, err := os.Stat(filepath.Dir(dir))
	if err != nil {
		return err
	}
	owner, ok := above.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(dir, int(owner.Uid), int(owner.Gid))
}
