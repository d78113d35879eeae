package flatfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// othersFiles finds the .tflite files that come with go-tflite: they were
// written by TensorFlow's own converters.
func othersFiles(t testing.TB) []string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/mattn/go-tflite").Output()
	if err != nil {
		t.Fatalf("go list: %v (run `go mod download`)", err)
	}
	var files []string
	err = filepath.WalkDir(strings.TrimSpace(string(out)), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".tflite") && d.Name() != "Makefile.tflite" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files of others, %v", len(files), err)
	}
	return files
}

func TestReadsAndRewritesFilesOfOthers(t *testing.T) {
	for _, path := range othersFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			g, err := Unmarshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if len(g.Ops) == 0 || len(g.Unkept) != 0 {
				t.Fatalf("%d operators, lost: %v", len(g.Ops), g.Unkept)
			}
			again, err := Marshal(g)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Unmarshal(again)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(g, back) {
				t.Error(cmp.Diff(g, back))
			}
		})
	}
}
