//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// system is this machine's own Debian with a layer over it that takes what is
// written, so that dpkg and the scripts of the package work as on a board.
type system struct {
	t    *testing.T
	dirs string // the layer
}

func newSystem(t *testing.T) *system {
	s := &system{t, t.TempDir()}
	if _, err := s.asRoot("true").CombinedOutput(); err != nil {
		t.Fatalf("dpkg and mount want root: run this as root, or where sudo asks nothing (%v)", err)
	}
	s.reset()
	t.Cleanup(s.clear) // of what root wrote
	return s
}

// asRoot is a command of root's.
func (s *system) asRoot(argv ...string) *exec.Cmd {
	if os.Getuid() != 0 {
		argv = append([]string{"sudo", "-n"}, argv...)
	}
	return exec.Command(argv[0], argv[1:]...)
}

func (s *system) clear() {
	s.t.Helper()
	for _, dir := range []string{"upper", "work", "root"} {
		if out, err := s.asRoot("rm", "-rf", filepath.Join(s.dirs, dir)).CombinedOutput(); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
	}
}

// reset takes away all that was written, but for the packages.
func (s *system) reset() {
	s.t.Helper()
	s.clear()
	for _, dir := range []string{"upper", "work", "root", "packages"} {
		if err := os.MkdirAll(filepath.Join(s.dirs, dir), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
}

// enter mounts the layer, in a name space that ends with the shell, and runs
// the script there. No service manager runs in it.
const enter = `set -e
cd "$1"
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount --rbind /dev root/dev
mount -t proc proc root/proc
mount -t tmpfs tmpfs root/run
mkdir root/run/lock
mount --bind packages root/mnt
exec chroot root sh -c "$2"`

func (s *system) command(script string) *exec.Cmd {
	cmd := s.asRoot("unshare", "--mount", "--propagation", "private", "sh", "-c", enter, "sh", s.dirs, script)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	cmd.Env = append(cmd.Env, "DEBIAN_FRONTEND=") // a person's, not an installer's
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// run returns what a script says, which has to go well.
func (s *system) run(script string) string {
	s.t.Helper()
	out, err := s.command(script).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v:\n%s", script, err, out)
	}
	return string(out)
}

// read returns a file of the system; none is "".
func (s *system) read(path string) string {
	return s.run("cat " + path + " 2>/dev/null || true")
}

// pack makes a package of one version from the real one: its scripts, units and
// rules, but nothing that depends on the processor, and with a line of its own
// in the sample. The file /usr/share/mien/version says which it is.
func (s *system) pack(version string) {
	s.t.Helper()
	debs, err := filepath.Glob(firmware + "mien_*_arm64.deb")
	if err != nil || len(debs) != 1 {
		s.t.Fatalf("packages in %s: %v, %v; want one (make deb BOARD=rpi3)", firmware, debs, err)
	}
	dir := filepath.Join(s.dirs, "deb"+version)
	if _, err := output("dpkg-deb", "-R", debs[0], dir); err != nil {
		s.t.Fatal(err)
	}
	edit := func(path string, change func(string) string) {
		b, err := os.ReadFile(filepath.Join(dir, path))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, path), []byte(change(string(b))), 0o644)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	edit("DEBIAN/control", func(text string) string {
		var control strings.Builder
		for line := range strings.Lines(text) {
			switch field, _, _ := strings.Cut(line, ":"); field {
			case "Version":
				line = "Version: " + version + "\n"
			case "Architecture":
				line = "Architecture: all\n"
			case "Depends": // of the libraries of another processor
				continue
			}
			control.WriteString(line)
		}
		return control.String()
	})
	edit("usr/share/mien/mien.yaml", func(text string) string { return text + "# line of version " + version + "\n" })
	edit("usr/lib/mien/miend", func(string) string { return "miend " + version + "\n" })
	if err := os.WriteFile(filepath.Join(dir, "usr/share/mien/version"), []byte(version), 0o644); err != nil {
		s.t.Fatal(err)
	}
	for _, path := range []string{"DEBIAN/md5sums", "usr/share/mien/models", "usr/share/man"} { // pages wake man-db, which takes its time
		if err := os.RemoveAll(filepath.Join(dir, path)); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := output("dpkg-deb", "--root-owner-group", "-Znone", "-b", dir, filepath.Join(s.dirs, "packages", version+".deb")); err != nil {
		s.t.Fatal(err)
	}
}

const (
	dpkg  = "dpkg -i /mnt/%s.deb </dev/null 2>&1"
	state = "dpkg-query -W -f '${db:Status-Abbrev}${Version}' mien; cat /usr/share/mien/version /usr/lib/mien/miend"
)

func is(version string) string { return "ii " + version + version + "miend " + version + "\n" }

// Whoever installs, and with whatever configuration, nothing asks: the sample is
// the configuration until somebody changes it, and theirs from then on.
func TestUpgradesAskNothing(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	for _, v := range []string{"1", "2", "3"} {
		s.pack(v)
	}
	const conf = "/etc/mien/mien.yaml"
	s.run(fmt.Sprintf(dpkg, "1"))
	if got := s.run("stat -c %U:%G:%a " + conf); got != "mien:mien:640\n" {
		t.Errorf("%s is %s", conf, got)
	}
	// The page writes it; the keys beside it are not the service's.
	if got := s.run("stat -c %U:%G:%a /etc/mien /etc/mien/keys"); got != "root:mien:1775\nroot:root:755\n" {
		t.Errorf("its folders are %s", got)
	}
	s.run(fmt.Sprintf(dpkg, "2"))
	if !strings.Contains(s.read(conf), "\n# line of version 2\n") {
		t.Error("a configuration that nobody changed is not that of the version")
	}
	mine := "camera: {source: /dev/video7}\n"
	s.run("echo '" + strings.TrimSpace(mine) + "' >" + conf)
	said := s.run(fmt.Sprintf(dpkg, "3"))
	if got := s.run(state); got != is("3") {
		t.Errorf("after the upgrade: %s", got)
	}
	if s.read(conf) != mine {
		t.Errorf("the user's configuration became:\n%s", s.read(conf))
	}
	if !strings.Contains(said, "+# line of version 3\n") || strings.Contains(said, "+# line of version 1\n") {
		t.Errorf("what is new is not said:\n%s", said)
	}
	if again := s.run(fmt.Sprintf(dpkg, "3")); strings.Contains(again, "line of version") {
		t.Errorf("what was said is said again:\n%s", again)
	}
	s.run("rm " + conf)
	s.run(fmt.Sprintf(dpkg, "2"))
	if s.read(conf) != "" {
		t.Error("a configuration that somebody took away is back")
	}
}

// Purge leaves nothing of the package's, and the keys that somebody put there.
func TestPurge(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.pack("1")
	const ours = "find /etc /usr /var -xdev \\( -name '*mien*' -o -path '*/mien/*' \\) | grep -v -e ^/var/lib/dpkg/info -e ^/var/log | sort"
	before := s.run(ours)
	s.run(fmt.Sprintf(dpkg, "1"))
	if s.run(ours) == before {
		t.Fatal("the package is not seen") // negative control
	}
	s.run("mkdir -p /var/lib/mien/models /etc/mien/keys && touch /var/lib/mien/models/state.json /var/cache/mien/current.deb /etc/mien/keys/us.pub")
	s.run("dpkg -r mien </dev/null 2>&1")
	if s.read("/etc/mien/mien.yaml") == "" {
		t.Error("removal, without purge, took the configuration")
	}
	s.run("dpkg -P mien </dev/null 2>&1")
	left := s.run(ours)
	if want := "/etc/mien\n/etc/mien/keys\n/etc/mien/keys/us.pub\n"; strings.TrimPrefix(left, before) != want && left != want {
		t.Errorf("purge leaves:\n%s", left)
	}
}

// The power goes at each state that dpkg notes during mien deploy's upgrade, and
// during one by other hands. What the board does at its next start leaves a
// package that is whole, and the user's configuration.
func TestPowerCutDuringInstall(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.pack("1")
	s.pack("2")
	for _, staged := range []bool{true, false} {
		cuts := 0
		for moment := 1; ; moment++ {
			s.reset()
			s.run(fmt.Sprintf(dpkg, "1") + "; echo mine >/etc/mien/mien.yaml; cp /mnt/1.deb /var/cache/mien/current.deb")
			script := "dpkg --status-fd 3 -i /mnt/2.deb 3>&1 >/dev/null 2>&1 </dev/null"
			want := is("2") // finished, or the one that is kept
			if staged {
				script = "cp /mnt/2.deb /var/cache/mien/new.deb; dpkg --status-fd 3 --force-confold -i /var/cache/mien/new.deb 3>&1 >/dev/null 2>&1 </dev/null"
				want = is("1")
			}
			if !s.cut(script, moment) {
				break
			}
			cuts++
			said := s.run(state + " || true; /usr/lib/mien/deploy recover 2>&1")
			got := s.run(state)
			if got != want && (staged || got != is("1")) {
				t.Errorf("staged %v, cut %d: this became %q, want %q:\n%s", staged, moment, got, want, said)
			}
			if s.read("/etc/mien/mien.yaml") != "mine\n" {
				t.Errorf("staged %v, cut %d: the configuration is %q", staged, moment, s.read("/etc/mien/mien.yaml"))
			}
			if left := s.run("dpkg --audit; ls /var/cache/mien/new.deb 2>/dev/null || true"); left != "" {
				t.Errorf("staged %v, cut %d: this is left over:\n%s\nafter this:\n%s", staged, moment, left, said)
			}
		}
		if cuts < 4 {
			t.Errorf("staged %v: dpkg notes %d states only", staged, cuts)
		}
	}
}

// cut kills a script, and all that it started, at the nth state that dpkg tells;
// false if it tells fewer.
func (s *system) cut(script string, n int) bool {
	s.t.Helper()
	cmd := s.command(script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for ; n > 0 && lines.Scan(); n-- {
	}
	if syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) == syscall.EPERM { // it is sudo's
		_ = s.asRoot("kill", "-KILL", "--", fmt.Sprint(-cmd.Process.Pid)).Run() // it may have ended
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // killed, or done
	for s.entered() {
		time.Sleep(5 * time.Millisecond)
	}
	return n == 0
}

// entered says whether a process is in the layer still: one that is killed while
// it writes to the disk takes its time.
func (s *system) entered() bool {
	tables, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.ContainsFunc(tables, func(table string) bool {
		b, _ := os.ReadFile(table) // of one that has ended there is none
		return strings.Contains(string(b), s.dirs)
	})
}

// What systemd would say of the units, it says.
func TestUnitsAreRight(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.pack("1")
	said := s.run("dpkg -i /mnt/1.deb >/dev/null 2>&1 </dev/null; chmod +x /usr/lib/mien/miend; systemd-analyze verify --man=no miend.service mien-recover.service 2>&1")
	if strings.Contains(said, "mien") {
		t.Errorf("systemd-analyze verify:\n%s", said)
	}
	for _, unit := range []string{"miend", "mien-recover"} {
		if s.run("readlink /etc/systemd/system/multi-user.target.wants/"+unit+".service || true") == "" {
			t.Errorf("%s.service is not started with the board", unit)
		}
	}
}
