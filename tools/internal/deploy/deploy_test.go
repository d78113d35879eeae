package deploy

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// fakes are the programs of a pretended board. They keep its state in files
// of $BOARD: installed (the version, or half of one), arch, and which versions
// are sick.
var fakes = map[string]string{
	// The last argument is the command, as the real ssh has it.
	"ssh": `for last; do :; done
[ ! -e "$BOARD/unreachable" ] || { echo "ssh: connect to host board: No route to host" >&2; exit 255; }
case $last in *mktemp*) if [ -e "$BOARD/noise" ]; then sh -c "$last" | { read f; echo x >>"$f"; echo "$f"; }; exit; fi ;; esac
exec sh -c "$(echo "$last" | sed "s#/var/cache/mien#$BOARD/cache#g")"`,
	"dpkg": `case $* in
--print-architecture) cat "$BOARD/arch" ;;
"--force-confold --force-downgrade -i "*) [ ! -e "$BOARD/slow" ] || /bin/sleep 1; for f; do :; done; echo "Setting up mien"; echo half >"$BOARD/installed"; true
	cat "$f" >"$BOARD/installed"; echo "dpkg -i $(cat "$f")" >>"$BOARD/log" ;;
"-r mien") rm "$BOARD/installed"; echo "dpkg -r" >>"$BOARD/log" ;;
*"--configure -a") ;; # of what was unpacked, which half a package is not
*) echo "dpkg: $*?"; exit 2 ;;
esac`,
	"dpkg-deb": `[ "$1 $3" = "-f Version" ] && cat "$2"`,
	"dpkg-query": `v=$(cat "$BOARD/installed") || exit 1
case "$3 $v" in *Status-Status*half) echo half-installed ;; *Status-Status*) echo installed ;; *half) echo iHR ;; *) printf 'ii %s' "$v" ;; esac`,
	"systemctl": `v=$(cat "$BOARD/installed" 2>/dev/null)
case $1 in
restart) echo "restart $v" >>"$BOARD/log"; ! grep -qx "$v" "$BOARD/dead" 2>/dev/null ;;
is-active) ! grep -qx "$v" "$BOARD/dies" 2>/dev/null ;;
show) if [ "$3" = StatusText ]; then if grep -qx "$v" "$BOARD/blind" 2>/dev/null; then echo "camera lost"; elif [ -n "$v" ]; then echo "frames flow"; fi
elif grep -qx "$v" "$BOARD/flaps" 2>/dev/null; then n=$(cat "$BOARD/n" 2>/dev/null || echo 0); echo $((n+1)) | tee "$BOARD/n"; else echo 0; fi ;;
esac`,
	"sudo":       `[ "$1" = -n ] && shift; exec "$@"`,
	"journalctl": `echo "miend: the camera is on fire"`,
	"sleep":      `exit 0`,
	"sync":       `exit 0`,
	"sha256sum":  `exec /usr/bin/sha256sum "$@"`,
	"cp":         `exec /bin/cp "$@"`,
	"mv":         `exec /bin/mv "$@"`,
	"ln":         `exec /bin/ln "$@"`,
	"rm":         `exec /bin/rm "$@"`,
}

// power stands before each fake and between the halves of dpkg. It counts, and
// at the moment that $BOARD/cut says the power goes: what runs is killed, and
// what would run after it.
const power = `power() {
	[ -e "$BOARD/cut" ] && [ "$(cat /proc/$PPID/comm)" = sh ] || return 0 # ssh's own parent is this test
	echo >>"$BOARD/moments"
	[ "$(wc -l <"$BOARD/moments")" -lt "$(cat "$BOARD/cut")" ] || { kill -9 $PPID; exit 137; }
}
power
true() { power; }
`

// board makes a pretended board and returns its folder.
func board(t *testing.T, arch string, state map[string]string) string {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	for name, script := range fakes {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+power+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("BOARD", dir)
	put(t, dir, "arch", arch+"\n")
	for name, content := range state {
		put(t, dir, name, content)
	}
	return dir
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func installed(dir string) string {
	b, _ := os.ReadFile(filepath.Join(dir, "installed"))
	return string(b)
}

// deploy deploys a package that holds its version and returns what was said.
func deploy(t *testing.T, dir, version, arch string) (string, error) {
	t.Helper()
	return deployTo(t, dir, "pi@board", version, arch)
}

func deployTo(t *testing.T, dir, host, version, arch string) (string, error) {
	t.Helper()
	pkg := filepath.Join(t.TempDir(), "mien_"+version+"_"+arch+".deb")
	if err := os.WriteFile(pkg, []byte(version), 0o644); err != nil {
		t.Fatal(err)
	}
	// The script names the board's folder; here that is elsewhere.
	saved := install
	install = strings.ReplaceAll(install, "/var/cache/mien", dir+"/cache")
	defer func() { install = saved }()
	var out bytes.Buffer
	err := Run(t.Context(), Options{Host: host, Package: pkg, Watch: 3, Out: &out})
	return out.String(), err
}

func TestDeploy(t *testing.T) {
	dir := board(t, "arm64", nil)
	for _, v := range []string{"1", "2"} {
		if out, err := deploy(t, dir, v, "arm64"); err != nil || installed(dir) != v {
			t.Fatalf("version %s: %v, installed %q: %s", v, err, installed(dir), out)
		}
	}
	for name, want := range map[string]string{"cache/current.deb": "2", "cache/previous.deb": "1"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v; want %q", name, b, err, want)
		}
	}
}

// The power goes at each moment of an installation. The board then has, once it
// has started again, the package from before or the new one, whole, and is ready
// for the next; the way back is there at every moment.
func TestPowerCutDuringDeploy(t *testing.T) {
	for _, sick := range []bool{false, true} {
		seen := map[string]int{}
		for moment := 1; ; moment++ {
			dir := board(t, "arm64", map[string]string{"installed": "1", "cache/current.deb": "1", "cache/previous.deb": "0", "cut": strconv.Itoa(moment)})
			if sick {
				put(t, dir, "dies", "2\n")
			}
			out, err := deploy(t, dir, "2", "arm64")
			if count, _ := os.ReadFile(filepath.Join(dir, "moments")); len(count) < moment {
				if sick != errors.Is(err, ErrRolledBack) {
					t.Errorf("the power stayed on: %v: %s", err, out)
				}
				if moment < 20 {
					t.Errorf("an installation has %d moments only", moment)
				}
				break
			}
			if err == nil {
				t.Fatalf("moment %d: the power went and deploy says all is well", moment)
			}
			if err := os.Remove(filepath.Join(dir, "cut")); err != nil {
				t.Fatal(err)
			}
			if back, err := os.ReadFile(filepath.Join(dir, "cache/current.deb")); err != nil || string(back) != "1" && (sick || string(back) != "2") {
				t.Errorf("moment %d: the way back is to %q, %v", moment, back, err)
			}
			start(t, dir)
			if got := installed(dir); got != "1" && (sick || got != "2") {
				t.Errorf("moment %d: after the start %q is installed", moment, got)
			}
			seen[installed(dir)]++
			if _, err := os.Stat(filepath.Join(dir, "cache/new.deb")); err == nil {
				t.Errorf("moment %d: a package is being tried still", moment)
			}
			if moment%5 != 0 {
				continue
			}
			if out, err := deploy(t, dir, "3", "arm64"); err != nil || installed(dir) != "3" {
				t.Errorf("moment %d: afterwards: %v, installed %q: %s", moment, err, installed(dir), out)
			}
		}
		t.Logf("sick: %v; after the cuts there was: %v", sick, seen)
		if seen["1"] == 0 || !sick && seen["2"] == 0 {
			t.Errorf("the cuts did not fall on both sides: %v", seen)
		}
	}
}

// What a board that starts does.
func start(t *testing.T, dir string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "deploy")
	if err := os.WriteFile(script, []byte(strings.ReplaceAll(install, "/var/cache/mien", dir+"/cache")), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(script, "recover").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// An apt that was cut short is finished with the package that proved itself.
func TestOthersInstallationIsFinished(t *testing.T) {
	dir := board(t, "arm64", nil)
	if out, err := deploy(t, dir, "1", "arm64"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out := start(t, dir); out != "" {
		t.Errorf("a board on which all is well says %q", out)
	}
	put(t, dir, "installed", "half")
	if out := start(t, dir); installed(dir) != "1" || !strings.Contains(out, "cut short") {
		t.Errorf("installed %q: %s", installed(dir), out)
	}
}

// The package to go back to is that of the version that ran, or none.
func TestNoWayBackToWhatDidNotRun(t *testing.T) {
	dir := board(t, "arm64", map[string]string{"dies": "3\n"})
	if out, err := deploy(t, dir, "1", "arm64"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	put(t, dir, "installed", "2") // by apt
	out, err := deploy(t, dir, "3", "arm64")
	if err == nil || errors.Is(err, ErrRolledBack) || installed(dir) != "3" || !strings.Contains(out, "no package of the version before (2)") {
		t.Errorf("%v, installed %q: %s", err, installed(dir), out)
	}
}

// Two installations at once: the second changes nothing.
func TestOneInstallationAtATime(t *testing.T) {
	dir := board(t, "arm64", nil)
	if out, err := deploy(t, dir, "1", "arm64"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lock, err := os.Open(filepath.Join(dir, "cache/lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if out, err := deploy(t, dir, "2", "arm64"); err == nil || installed(dir) != "1" || !strings.Contains(out, "another installation is under way") {
		t.Errorf("%v, installed %q: %s", err, installed(dir), out)
	}
}

func TestSickFirmwareIsRolledBack(t *testing.T) {
	for _, sick := range []string{"dead", "dies", "flaps", "blind"} {
		t.Run(sick, func(t *testing.T) {
			dir := board(t, "arm64", map[string]string{sick: "2\n"})
			if _, err := deploy(t, dir, "1", "arm64"); err != nil {
				t.Fatal(err)
			}
			out, err := deploy(t, dir, "2", "arm64")
			if !errors.Is(err, ErrRolledBack) || installed(dir) != "1" {
				t.Fatalf("%v, installed %q: %s", err, installed(dir), out)
			}
			if !strings.Contains(out, "on fire") {
				t.Errorf("the journal is not shown: %s", out)
			}
			// The next one goes through.
			if out, err := deploy(t, dir, "3", "arm64"); err != nil || installed(dir) != "3" {
				t.Errorf("afterwards: %v, installed %q: %s", err, installed(dir), out)
			}
		})
	}
}

// A board that read nothing before need not read afterwards: its camera may be
// what is missing.
func TestBlindBoardStaysBlind(t *testing.T) {
	dir := board(t, "arm64", map[string]string{"blind": "1\n2\n"})
	for _, v := range []string{"1", "2"} {
		if out, err := deploy(t, dir, v, "arm64"); err != nil || installed(dir) != v {
			t.Fatalf("version %s: %v, installed %q: %s", v, err, installed(dir), out)
		}
	}
}

func TestFirstFirmwareThatIsSickIsRemoved(t *testing.T) {
	dir := board(t, "arm64", map[string]string{"dies": "1\n"})
	if out, err := deploy(t, dir, "1", "arm64"); !errors.Is(err, ErrRolledBack) || installed(dir) != "" {
		t.Errorf("%v, installed %q: %s", err, installed(dir), out)
	}
}

func TestNothingIsTouched(t *testing.T) {
	for name, c := range map[string]struct {
		arch  string
		state map[string]string
		says  string
	}{
		"another architecture":   {"armhf", nil, "is armhf"},
		"a board that is away":   {"arm64", map[string]string{"unreachable": ""}, "No route to host"},
		"a package cut underway": {"arm64", map[string]string{"noise": ""}, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			state := map[string]string{"installed": "0"}
			for k, v := range c.state {
				state[k] = v
			}
			dir := board(t, c.arch, state)
			_, err := deploy(t, dir, "1", "arm64")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want an error that says %q", err, c.says)
			}
			if _, err := os.Stat(filepath.Join(dir, "log")); installed(dir) != "0" || !os.IsNotExist(err) {
				t.Errorf("the board was touched: installed %q", installed(dir))
			}
		})
	}
}

func TestBadArguments(t *testing.T) {
	pkg := filepath.Join(t.TempDir(), "firmware.deb")
	if err := os.WriteFile(pkg, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{
		{Host: "", Package: pkg}, {Host: "-oProxyCommand=x", Package: pkg}, {Host: "pi", Package: pkg},
		{Host: "pi", Package: filepath.Join(t.TempDir(), "mien_1_arm64.deb")},
	} {
		o.SSH = "/bin/false"
		if err := Run(t.Context(), o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
