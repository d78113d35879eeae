//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Debian's own checker finds nothing to say about the package.
func TestLintian(t *testing.T) {
	if _, err := exec.LookPath("lintian"); err != nil {
		t.Fatal("lintian is missing: apt-get install lintian")
	}
	debs, err := filepath.Glob(firmware + "mien_*_arm64.deb")
	if err != nil || len(debs) != 1 {
		t.Fatalf("packages in %s: %v, %v; want one (make deb BOARD=rpi3)", firmware, debs, err)
	}
	out, err := exec.Command("lintian", "--profile", "debian", "--allow-root", "--display-info", "--fail-on", "error,warning,info", debs[0]).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("lintian: %v:\n%s", err, out)
	}
}

// The service is exposed to less than 3.0 of systemd's scale of 10.
func TestServiceIsHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("systemd-analyze is missing: apt-get install systemd")
	}
	exposure := func(threshold, unit string) (string, error) {
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+threshold, unit).CombinedOutput()
		text := strings.TrimSpace(string(out))
		return text[strings.LastIndex(text, "\n")+1:], err
	}
	const unit = "../deb/miend.service"
	last, err := exposure("30", unit)
	t.Log(last)
	if err != nil {
		t.Errorf("%v: %s", err, last)
	}
	if _, err := exposure("1", unit); err == nil {
		t.Error("systemd-analyze lets any service pass") // negative control
	}
}
