package hours

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mien/device/cmdline/prose"
)

const root = "../../.."

// block is a fenced block of a page: sh is typed on the workstation, "sh board"
// on the board, and text is what the block before it prints.
type block struct {
	kind, text string
	line       int
}

func blocks(t *testing.T, page string) []block {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	var open *block
	for i, line := range strings.Split(string(b), "\n") {
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{kind: kind, line: i + 1}
		case fence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: a block without an end", page, open.line)
	}
	return all
}

// house is a workstation with a clone of this repository, and a pretended board
// at the other end of ssh.
type house struct {
	clone, board string
	moved        *strings.Replacer // what may be in use here already
}

// onTheBoard are programs of the pretended board. What they change is $BOARD;
// the real ones are tried on an emulated board, by make e2e.
var onTheBoard = map[string]string{
	"sudo":       `[ "$1" = -n ] && shift; exec "$@"`,
	"apt-get":    `[ "$1 $2" = "install -y" ] && [ -s "$3" ] && mkdir -p "$BOARD/etc/mien"`,
	"dpkg":       `case $* in --print-architecture) echo arm64 ;; "--force-confold --force-downgrade -i "*) echo "Setting up mien" ;; *) exit 1 ;; esac`,
	"dpkg-deb":   `echo 0.1`,
	"dpkg-query": `case $2 in *Status-Status*) echo installed ;; *) printf 'ii 0.1' ;; esac`,
	"systemctl":  `case "$1 $3" in "show StatusText") echo "frames flow" ;; show*) echo 0 ;; is-active*) echo active ;; restart*) ;; *) exit 1 ;; esac`,
	"sleep":      ``,
	// doctor's business is this machine's camera, which there need not be.
	"miend": `"$BIN/miend" "$@"; s=$?; [ $s = 0 ] || [ "$1 $s" = "doctor 1" ]`,
}

// onTheWorkstation stand before the real ones: make says whether there is
// such a target, and ssh and scp go to the pretended board. What make demo and
// make deb do is tried by make test-lean and make e2e.
var onTheWorkstation = map[string]string{
	"make": `env -u MAKEFLAGS -u MAKELEVEL /usr/bin/env PATH="$REAL" make -n -C "$ROOT" "$@" >/dev/null || exit
case $* in "deb BOARD=rpi4") mkdir -p build/rpi4; echo package >build/rpi4/mien_0.1_arm64.deb ;; deb*) exit 1 ;; esac`,
	"scp": `[ "$2" = pi@raspberrypi.local: ] && cp "$1" "$BOARD/home/"`,
	"ssh": `for command; do :; done
case $* in *pi@raspberrypi.local*) cd "$BOARD/home" && PATH="$BOARD/bin:$REAL" exec sh -c "$(echo "$command" | sed "s#/var/cache/mien#$BOARD/cache#g")" ;; esac; exit 255`,
}

// furnish builds both programs into the clone.
func furnish(t *testing.T) *house {
	t.Helper()
	for _, c := range []string{"go", "make", "bash", "curl", "mosquitto", "mosquitto_sub"} {
		if _, err := exec.LookPath(c); err != nil {
			t.Fatalf("%v (make setup-test installs it)", err)
		}
	}
	h := &house{clone: t.TempDir(), board: t.TempDir()}
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"camera", "runtime", "train", "boards"} {
		if err := os.Symlink(filepath.Join(here, dir), filepath.Join(h.clone, dir)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"build/hour", "home", "bin"} {
		makeDir(t, filepath.Join(h.clone, dir))
	}
	makeDir(t, filepath.Join(h.board, "home"))
	build := exec.Command("go", "build", "-o", filepath.Join(h.clone, "bin")+"/", "./tools/mien", "./device/cmd/miend")
	build.Dir = here
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	programs(t, filepath.Join(h.board, "bin"), onTheBoard)
	programs(t, filepath.Join(h.clone, "path"), onTheWorkstation)
	for k, v := range map[string]string{"CLONE": h.clone, "BOARD": h.board, "BIN": filepath.Join(h.clone, "bin"), "ROOT": here,
		"REAL": os.Getenv("PATH"), "HOME": filepath.Join(h.clone, "home"), "NO_COLOR": "1", "XDG_CACHE_HOME": ""} {
		t.Setenv(k, v)
	}
	t.Setenv("PATH", filepath.Join(h.clone, "path")+":"+os.Getenv("PATH"))
	broker := freePort(t)
	h.moved = strings.NewReplacer("127.0.0.1:8080", "127.0.0.1:"+freePort(t), "127.0.0.1:1883", "127.0.0.1:"+broker, "-p 1883", "-p "+broker,
		"/etc/mien/", h.board+"/etc/mien/", "$HOME", filepath.Join(h.clone, "home"))
	return h
}

func makeDir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func programs(t *testing.T, dir string, scripts map[string]string) {
	t.Helper()
	makeDir(t, dir)
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// follow types what a page says, in one shell, and holds what is printed
// against what the page shows.
func (h *house) follow(t *testing.T, page string) {
	t.Helper()
	all := blocks(t, page)
	var script strings.Builder
	typed := 0
	for _, b := range all {
		switch b.kind {
		case "sh":
			fmt.Fprintf(&script, "echo '<<<%d'\n%s", b.line, h.moved.Replace(b.text))
		case "sh board":
			fmt.Fprintf(&script, "echo '<<<%d'\n(cd \"$BOARD/home\"; PATH=$BOARD/bin:$REAL\n%s)\n", b.line, h.moved.Replace(b.text))
		case "text":
			continue
		default:
			t.Fatalf("%s:%d: a block of kind %q", page, b.line, b.kind)
		}
		typed++
	}
	if typed < 4 {
		t.Fatalf("%s: only %d blocks to type", page, typed)
	}
	cmd := exec.Command("bash", "-eu", "-c", script.String())
	cmd.Dir = h.clone
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to end what a page that fails leaves behind
	cmd.WaitDelay = time.Second                           // for what goes on in the background
	out, err := cmd.CombinedOutput()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // where nothing is left there is nothing to end
	said := map[int]string{}
	for _, part := range strings.Split(string(out), "<<<")[1:] {
		line, text, _ := strings.Cut(part, "\n")
		n, _ := strconv.Atoi(line)
		said[n] = text
	}
	if slip := prose.Slip(string(out)); slip != "" {
		t.Errorf("%s: somebody who follows it reads %q", page, slip)
	}
	if err != nil {
		t.Fatalf("%s: %v after %d of %d blocks:\n%s", page, err, len(said), typed, out)
	}
	for i, b := range all {
		if b.kind != "text" {
			continue
		}
		if i == 0 || all[i-1].kind == "text" {
			t.Errorf("%s:%d: nothing is typed before", page, b.line)
			continue
		}
		printed := said[all[i-1].line]
		for want := range strings.Lines(h.moved.Replace(b.text)) {
			at := shown(want).FindStringIndex(printed)
			if at == nil {
				t.Errorf("%s:%d: %q is not printed (any more, or in this order); what is left:\n%s", page, b.line, want, printed)
				break
			}
			printed = printed[at[1]:]
		}
	}
}

var figure = regexp.MustCompile(`[0-9.]+`)

// shown matches a printed line as a page shows it: its figures may be others,
// and ... stands for anything.
func shown(line string) *regexp.Regexp {
	parts := strings.Split(strings.TrimSpace(line), "...")
	for i := range parts {
		parts[i] = figure.ReplaceAllString(regexp.QuoteMeta(strings.ReplaceAll(parts[i], ".", "0")), `[0-9.]+`)
	}
	return regexp.MustCompile(`(?m)^` + strings.Join(parts, ".*") + `$`)
}

func TestShown(t *testing.T) {
	for _, c := range []struct {
		line, printed string
		want          bool
	}{
		{"epoch 1/3: loss ..., 60 images/s", "x\nepoch 2/3: loss 0.72, lr 1, 115.2 images/s\ny", true},
		{"epoch 1/3: loss ..., 60 images/s", "epoch 2/3: loss 0.72, 115.2 images/h", false},
		{"a (b)", "xa (b)", false},
		{"a.tflite", "a.tflite", true},
	} {
		if got := shown(c.line).MatchString(c.printed); got != c.want {
			t.Errorf("%q in %q: %v", c.line, c.printed, got)
		}
	}
}

// The hour of a maker, on a pretended board.
func TestMaker(t *testing.T) { furnish(t).follow(t, "boards/README.md") }

// The hour of an integrator, with the real firmware and a real broker.
func TestIntegrator(t *testing.T) { furnish(t).follow(t, "device/README.md") }

// The hour of an engineer, on made pictures: trained, quantised, measured.
func TestEngineer(t *testing.T) {
	h := furnish(t)
	makeDir(t, filepath.Join(h.board, "etc/mien"))
	for i := range 80 {
		label := []string{"yes", "no"}[i%2]
		picture(t, filepath.Join(h.clone, "home/smile", label, fmt.Sprintf("%02d.jpg", i)), i, label == "yes")
		picture(t, filepath.Join(h.clone, "home/faces", fmt.Sprintf("%02d.jpg", i)), 100+i, i%3 > 0)
	}
	h.follow(t, "train/README.md")
}

// picture writes a crop of noise that is bright below or above.
func picture(t *testing.T, path string, seed int, below bool) {
	t.Helper()
	makeDir(t, filepath.Dir(path))
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	img := image.NewGray(image.Rect(0, 0, 50, 50))
	for y := range 50 {
		for x := range 50 {
			v := 40 + rng.IntN(80)
			if (y > 25) == below {
				v += 100
			}
			img.SetGray(x, y, color.Gray{Y: uint8(v)})
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := jpeg.Encode(f, img, nil); err != nil {
		t.Fatal(err)
	}
}
