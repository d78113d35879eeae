package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rule says what the packages under from may reach within this module,
// directly or through others. A path ending in /... stands for a tree.
type rule struct {
	from string
	may  []string
}

// The first rule whose from matches a package holds for it. Arrows point down:
// train -> quant -> runtime -> leaves, and the firmware never sees train or quant.
var rules = []rule{
	{"camera", nil},
	{"camera/cameratest", []string{"camera"}},
	{"camera/...", []string{"camera/...", "runtime/face", "runtime/model", "runtime/plainfile", "runtime/secret", "runtime/upright"}},
	{"boards/e2e/standin", []string{"device", "device/pins", "device/signal", "camera", "runtime/...", "boards"}},
	{"boards/e2e/...", []string{"boards/card", "boards/image"}},
	{"boards/...", []string{"boards/..."}},
	{"runtime/graph", nil},
	{"runtime/graph/flatfile/...", []string{"runtime/graph/flatfile/...", "runtime/graph", "runtime/model"}},
	{"runtime/secret", nil},
	{"runtime/plainfile", nil},
	{"runtime/model/...", []string{"runtime/model/..."}},
	{"runtime/...", []string{"runtime/..."}},
	{"quant/...", []string{"quant/...", "runtime/...", "train/arch"}},
	{"train/arch", []string{"runtime/model/..."}},
	{"train/...", []string{"train/...", "runtime/...", "quant/..."}},
	{"device/internal/soak", []string{"device/...", "camera/...", "runtime/...", "boards"}}, // a tool that plays a camera
	{"device/cmd/...", []string{"device/...", "camera/...", "runtime/...", "boards/..."}},
	{"device/...", []string{"device/...", "camera", "runtime/...", "boards", "boards/card"}},
	{"tools/internal/npm", []string{"runtime/atomicfile"}},
	{"tools/internal/picture", []string{"camera", "camera/mjpeg", "camera/picture", "runtime/upright"}},
	{"tools/internal/crops", []string{"tools/internal/picture", "camera/...", "runtime/..."}},
	{"tools/internal/...", []string{"tools/..."}},
	{"tools/...", []string{"tools/...", "train/...", "quant/...", "runtime/...", "boards/...", "device/...", "camera/..."}},
}

// tests says what a package's tests may reach beside what the package may: only
// what they measure with, never what lies above.
var tests = []rule{
	{"runtime/face/...", []string{"camera/replay/portrait"}}, // a photograph of a face
	{"device/...", []string{"camera/replay/portrait"}},
	{"train/data", []string{"camera/replay/portrait"}},
	{"camera/...", []string{"runtime/peertest"}},
	{"tools/internal/hours", []string{"device/cmdline/prose"}}, // what nobody would write
}

// alone names what only one place may import directly.
var alone = []struct {
	module string // import path, or its beginning when it ends in /
	user   string // as in rule.from
}{
	{"github.com/esimov/pigo/", "runtime/face/..."},
	{"github.com/mattn/go-tflite", "runtime/tflite/..."},
	{"github.com/nats-io/nats-server/v2", "tools/fleet"},
	{"periph.io/x/host/", "device/cmd/..."},
	{"mien/camera/v4l2", "device/cmd/..."},
	{"mien/camera/rpicam", "device/cmd/..."},
}

// heavy is what the firmware must not link: modules that only its tests or the
// workstation's tool need.
var heavy = []string{
	"github.com/nats-io/nats-server/v2", "github.com/nats-io/jwt/v2", "github.com/nats-io/nats.go",
	"google.golang.org/protobuf", "github.com/prometheus", "github.com/chromedp", "gonum.org", "github.com/vbauerster", "mien/train", "mien/quant",
}

func TestFirmwareLinksNothingHeavy(t *testing.T) {
	for _, p := range list(t, "./device/cmd/miend") {
		if !slices.Contains(p.Deps, "mien/device/status") {
			t.Fatalf("go list does not say what miend links: %v", p.Deps)
		}
		for _, d := range p.Deps {
			if slices.ContainsFunc(heavy, func(h string) bool { return d == h || strings.HasPrefix(d, h+"/") }) {
				t.Errorf("miend links %s", d)
			}
		}
	}
}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath                string
	Imports, Deps             []string
	TestImports, XTestImports []string
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json", "-e"}, args...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

const root = "../../.."

// matches says whether a path within the module is under pattern.
func matches(pattern, path string) bool {
	tree, ok := strings.CutSuffix(pattern, "/...")
	return path == tree || ok && strings.HasPrefix(path, tree+"/")
}

func ruleFor(path string) *rule {
	i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.from, path) })
	if i < 0 {
		return nil
	}
	return &rules[i]
}

// wrong returns the packages of deps that path may not reach.
func wrong(path string, deps []string) ([]string, error) {
	r := ruleFor(path)
	if r == nil {
		return nil, fmt.Errorf("package %s has no import rule: it is not a room of the house (boards camera device quant runtime tools train)", path)
	}
	var bad []string
	for _, d := range deps {
		d, ok := strings.CutPrefix(d, "mien/")
		if ok && d != path && !slices.ContainsFunc(r.may, func(m string) bool { return matches(m, d) }) {
			bad = append(bad, d)
		}
	}
	return bad, nil
}

// wrongInTests is wrong for what a package's tests reach.
func wrongInTests(path string, deps []string) ([]string, error) {
	bad, err := wrong(path, deps)
	return slices.DeleteFunc(bad, func(d string) bool {
		return slices.ContainsFunc(tests, func(r rule) bool {
			return matches(r.from, path) && slices.ContainsFunc(r.may, func(m string) bool { return matches(m, d) })
		})
	}), err
}

func TestImportsPointDown(t *testing.T) {
	pkgs := list(t, "./...")
	if len(pkgs) < 10 {
		t.Fatalf("go list finds %d packages only", len(pkgs))
	}
	for _, p := range pkgs {
		path := strings.TrimPrefix(p.ImportPath, "mien/")
		bad, err := wrong(path, p.Deps)
		if err != nil {
			t.Error(err)
		}
		for _, b := range bad {
			t.Errorf("%s reaches %s, which lies above it", path, b)
		}
		bad, err = wrongInTests(path, reachOfTests(pkgs, p))
		if err != nil {
			t.Error(err)
		}
		for _, b := range bad {
			t.Errorf("the tests of %s reach %s, which lies above it", path, b)
		}
	}
}

// reachOfTests returns what the tests of p import, and what that imports.
func reachOfTests(pkgs []pkg, p pkg) []string {
	var out []string
	for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
		out = append(out, i)
		for _, q := range pkgs {
			if q.ImportPath == i {
				out = append(out, q.Deps...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestSomeModulesHaveOneUser(t *testing.T) {
	for _, p := range list(t, "./...") {
		path := strings.TrimPrefix(p.ImportPath, "mien/")
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for _, a := range alone {
				if (imp == a.module || strings.HasPrefix(imp, strings.TrimSuffix(a.module, "/")+"/")) &&
					!matches(a.user, path) && !strings.HasPrefix("mien/"+path, a.module) {
					t.Errorf("%s imports %s, which is for %s alone", path, imp, a.user)
				}
			}
		}
	}
}

// The rules themselves: each kind of wrong import is caught.
func TestRulesCatch(t *testing.T) {
	for path, dep := range map[string]string{
		"device":           "mien/train/arch",
		"device/cmd/miend": "mien/quant/report",
		"device/signal":    "mien/camera/v4l2",
		"runtime/portable": "mien/quant",
		"camera":           "mien/runtime/model",
		"runtime/graph":    "mien/runtime/model",
		"boards":           "mien/camera",
		"train/arch":       "mien/runtime/graph",
		"quant":            "mien/train",
	} {
		if bad, err := wrong(path, []string{"fmt", dep}); err != nil || len(bad) != 1 {
			t.Errorf("%s may reach %s: %v, %v", path, dep, bad, err)
		}
	}
	if bad, err := wrongInTests("runtime/face", []string{"mien/camera/replay/portrait", "mien/quant"}); err != nil || !slices.Equal(bad, []string{"quant"}) {
		t.Errorf("the tests of runtime/face may reach all but %v, %v", bad, err)
	}
	own := slices.IndexFunc(list(t, "./runtime/..."), func(p pkg) bool { return len(p.XTestImports) > 0 && len(p.TestImports) > 0 })
	if own < 0 {
		t.Error("go list says of no package what its tests import")
	}
	if _, err := wrong("newroom/x", nil); err == nil {
		t.Error("a package outside the house has a rule")
	}
}

func TestTheHouseHasItsRoomsOnly(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	rooms := []string{"boards", "camera", "device", "quant", "runtime", "tools", "train", "bin", "build"}
	files := []string{"go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "NOTICE", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if e.IsDir() && !slices.Contains(rooms, e.Name()) || !e.IsDir() && !slices.Contains(files, e.Name()) {
			t.Errorf("%s does not belong at the top of the repository", e.Name())
		}
	}
	if goFiles, _ := filepath.Glob(filepath.Join(root, "runtime", "*.go")); len(goFiles) > 0 {
		t.Errorf("runtime/ itself holds Go files and would shadow the standard package: %v", goFiles)
	}
}
