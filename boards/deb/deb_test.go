package deb

import (
	"os/exec"
	"testing"
)

// The scripts that dpkg runs on a board are what its shell takes for some.
func TestScriptsAreShell(t *testing.T) {
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if out, err := exec.Command("sh", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", script, err, out)
		}
	}
}
