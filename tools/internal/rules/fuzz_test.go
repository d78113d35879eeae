package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// make fuzz runs every fuzz target that there is: what the script finds by its
// pattern is what Go's parser finds.
func TestEveryFuzzTargetIsRun(t *testing.T) {
	cmd := exec.Command("tools/setup/fuzz.sh", "--list")
	cmd.Dir = root
	var stderr strings.Builder // modules that Go fetches, too
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fuzz.sh --list: %v: %s", err, stderr.String())
	}
	run := strings.Split(strings.TrimSpace(string(out)), "\n")
	ls := exec.Command("git", "ls-files", "-co", "--exclude-standard", "*_test.go")
	ls.Dir = root
	files, err := ls.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	var there []string
	for file := range strings.Lines(string(files)) {
		file = strings.TrimSpace(file)
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
				there = append(there, path.Join("mien", path.Dir(file))+" "+fn.Name.Name)
			}
		}
	}
	slices.Sort(run)
	slices.Sort(there)
	if len(there) < 20 || !slices.Equal(run, there) {
		t.Errorf("make fuzz runs\n  %s\nand there are\n  %s", strings.Join(run, "\n  "), strings.Join(there, "\n  "))
	}
}
