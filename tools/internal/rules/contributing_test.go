package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	quoted   = regexp.MustCompile("`([^`\n]+)`")
	testName = regexp.MustCompile("(?s)`(Test\\w+)`(?:,? (?:and )?`Test\\w+`)*\\s+in\\s+`([a-z0-9/]+)`")
	anyTest  = regexp.MustCompile("`Test\\w+`")
)

// The lists of CONTRIBUTING.md name files that there are, and tests that there
// are in the package that they name.
func TestListsForContributors(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, section := range strings.Split(string(b), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		what, ok := strings.CutPrefix(title, "How to add ")
		if !ok {
			continue
		}
		have = append(have, what)
		var steps []string // with what continues them, and not what follows the list
		for _, line := range strings.Split(text, "\n") {
			switch {
			case len(line) > 1 && line[0] >= '1' && line[0] <= '9' && line[1] == '.':
				steps = append(steps, line)
			case strings.HasPrefix(line, "   ") && len(steps) > 0:
				steps[len(steps)-1] += "\n" + line
			}
		}
		if len(steps) < 2 {
			t.Errorf("%s: %d steps", title, len(steps))
		}
		checkSteps(t, title, strings.Join(steps, "\n"))
	}
	if want := []string{"an operator", "a board", "a camera driver", "a data set", "a calibrator", "an output device", "a subject of the fleet"}; !slices.Equal(have, want) {
		t.Errorf("lists for %q, want %q", have, want)
	}
}

func checkSteps(t *testing.T, title, text string) {
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		if strings.Contains(m[1], "/") {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s: %v", title, err)
			}
		}
	}
	said, found := len(anyTest.FindAllString(text, -1)), 0
	for _, m := range testName.FindAllStringSubmatch(text, -1) {
		for _, name := range anyTest.FindAllString(m[0], -1) {
			found++
			if !definesTest(t, m[2], strings.Trim(name, "`")) {
				t.Errorf("%s: %s has no %s", title, m[2], name)
			}
		}
	}
	if said == 0 || said != found {
		t.Errorf("%s: %d tests are named, %d with the package that they are in", title, said, found)
	}
}

func definesTest(t *testing.T, pkg, name string) bool {
	for _, f := range testFiles(t, pkg) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}

func testFiles(t *testing.T, pkg string) []string {
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// holds reports whether one of the files holds text.
func holds(t *testing.T, text string, files ...string) bool {
	return slices.ContainsFunc(files, func(f string) bool {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(b), text)
	})
}

// sources are the files of a package without its tests.
func sources(t *testing.T, pkg string) []string {
	files, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}

// A package with Open below camera is a driver: the suite of all drivers tests
// it, and the firmware opens it.
func TestCameraDriversAreWhole(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(root, "camera", "*"))
	if err != nil {
		t.Fatal(err)
	}
	drivers := 0
	for _, dir := range dirs {
		pkg := "camera/" + filepath.Base(dir)
		if !holds(t, "\nfunc Open(", sources(t, pkg)...) {
			continue
		}
		drivers++
		if !holds(t, `"mien/camera/cameratest"`, testFiles(t, pkg)...) {
			t.Errorf("no test of %s runs camera/cameratest's suite", pkg)
		}
		if !holds(t, `"mien/`+pkg+`"`, filepath.Join(root, "device/cmd/miend/cameras.go")) {
			t.Errorf("device/cmd/miend/cameras.go does not open %s", pkg)
		}
	}
	if drivers < 4 {
		t.Errorf("only %d drivers found", drivers)
	}
}

var showing = regexp.MustCompile(`\nfunc \(\w+ \*?(\w+)\) Show\(`)

// A type of device/display that shows readings is one that the firmware opens,
// and that a test closes.
func TestOutputDevicesAreWhole(t *testing.T) {
	devices := 0
	for _, f := range sources(t, "device/display") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range showing.FindAllStringSubmatch(string(b), -1) {
			devices++
			if !holds(t, "display."+m[1]+"{", filepath.Join(root, "device/cmd/miend/parts.go")) {
				t.Errorf("device/cmd/miend/parts.go does not open display.%s", m[1])
			}
			if !holds(t, m[1], testFiles(t, "device/display")...) {
				t.Errorf("no test of device/display tries %s", m[1])
			}
		}
	}
	if devices < 2 {
		t.Errorf("only %d output devices found", devices)
	}
}

// Packages that others would import show how, in a test.
func TestExamples(t *testing.T) {
	for _, pkg := range []string{"runtime/graph", "runtime/graph/flatfile", "runtime/portable", "runtime/face", "runtime/track", "device/signal"} {
		if files := testFiles(t, pkg); !holds(t, "\nfunc Example()", files...) || !holds(t, "// Output:", files...) {
			t.Errorf("%s has no executed example", pkg)
		}
	}
}

// The README says the Go that go.mod asks for.
func TestReadmeSaysWhichGo(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(b)
	if m == nil {
		t.Fatal("go.mod names no Go")
	}
	if want := "Go " + string(m[1]) + " or later"; !holds(t, want, filepath.Join(root, "README.md")) {
		t.Errorf("README.md does not say %q", want)
	}
}

// A Go that is missing or too old is told in a sentence that says how to get one.
func TestOldGoIsToldInASentence(t *testing.T) {
	for version, want := range map[string]string{
		"go1.19.8": "Go 1.19.8 is too old", "go1.26.7": "Go 1.26.7 is too old", "go1.27rc1": "", "go1.26.8": "", "go1.30.1": "", "go2.0": "",
	} {
		dir := t.TempDir()
		// As Go 1.19 does, it cannot read go.mod.
		fake := "#!/bin/sh\n[ \"$1\" = env ] && { echo 'go: errors parsing go.mod' >&2; exit 1; }\necho go version " + version + " linux/amd64\n"
		if err := os.WriteFile(filepath.Join(dir, "go"), []byte(fake), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(filepath.Join(root, "tools/setup/go.sh"))
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if (err == nil) != (want == "") || want != "" && (!strings.Contains(string(out), want) || !strings.Contains(string(out), "go.dev/dl")) {
			t.Errorf("%s: %v: %s", version, err, out)
		}
	}
}
