//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Debian's own checker finds nothing to say about the package.
func TestLintian(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("lintian"); err != nil {
		t.Fatal("lintian is missing: apt-get install lintian")
	}
	debs, err := filepath.Glob(firmware + "mien_*_arm64.deb")
	if err != nil || len(debs) != 1 {
		t.Fatalf("packages in %s: %v, %v; want one (make deb BOARD=rpi3)", firmware, debs, err)
	}
	out, err := exec.Command("lintian", "--profile", "debian", "--allow-root", "--display-info", "--fail-on", "error,warning", debs[0]).CombinedOutput()
	// There is systemd on every board. Debian 12 wants a script for older systems
	// too; Debian 13 does not, and takes an override of that for a mistake.
	said := slices.DeleteFunc(slices.Collect(strings.Lines(string(out))), func(line string) bool {
		return strings.Contains(line, "package-supports-alternative-init-but-no-init.d-script")
	})
	if err != nil || len(said) > 0 {
		t.Errorf("lintian: %v:\n%s", err, out)
	}
}

// All that a board needs is in the package.
func TestPackage(t *testing.T) {
	t.Parallel()
	debs, err := filepath.Glob(firmware + "mien_*_arm64.deb")
	if err != nil || len(debs) != 1 {
		t.Fatalf("packages in %s: %v, %v; want one (make deb BOARD=rpi3)", firmware, debs, err)
	}
	list, err := output("dpkg-deb", "-c", debs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"-rwxr-xr-x root/root ./usr/lib/mien/miend", "./usr/bin/miend -> ../lib/mien/miend",
		"-rw-r--r-- root/root ./usr/lib/mien/libtensorflowlite_c.so", "-rwxr-xr-x root/root ./usr/lib/mien/deploy", "./usr/share/mien/mien.yaml", "./usr/lib/systemd/system/mien-recover.service",
		"./usr/share/mien/models/edge-int8.tflite",
		"./usr/lib/systemd/system/miend.service", "./usr/lib/udev/rules.d/60-mien.rules", "./usr/lib/sysusers.d/mien.conf",
		"./usr/share/man/man8/miend.8.gz", "./usr/share/man/man5/mien.yaml.5.gz", "./usr/share/bash-completion/completions/miend"} {
		mode, path, _ := strings.Cut(want, " root/root ")
		if path == "" {
			mode, path = "", want
		}
		found := false
		for line := range strings.Lines(list) {
			found = found || strings.HasPrefix(line, mode) && strings.HasSuffix(strings.TrimSpace(line), " "+path)
		}
		if !found {
			t.Errorf("%s is not in the package:\n%s", want, list)
		}
	}
	for field, want := range map[string]string{"Architecture": "arm64", "Depends": "libc6 (>= " + glibcFloor + ")"} {
		got, err := output("dpkg-deb", "-f", debs[0], field)
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%s is %q, %v; want %q in it", field, got, err, want)
		}
	}
	unit, err := os.ReadFile("../deb/miend.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Type=notify", "WatchdogSec=", "Restart=always", "User=mien", "SupplementaryGroups=video gpio i2c spi"} {
		if !strings.Contains(string(unit), "\n"+want) {
			t.Errorf("the service lacks %s", want)
		}
	}
}

// The service is exposed to less than 3.0 of systemd's scale of 10.
func TestServiceIsHardened(t *testing.T) {
	t.Parallel()
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
