// Package foreign finds, for tests, .tflite files that TensorFlow's own converters
// wrote: those that come with go-tflite.
package foreign

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Files returns the paths of all. The module that holds them is fetched when it is
// not here, since a build without the TensorFlow Lite library does without it.
func Files(t testing.TB) (paths []string) {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", "github.com/mattn/go-tflite")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if bad := json.Unmarshal(out, &module); err != nil || bad != nil {
		t.Fatalf("%v: %v %s %s", cmd.Args, err, module.Error, stderr.Bytes())
	}
	err = filepath.WalkDir(module.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".tflite") && d.Name() != "Makefile.tflite" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d .tflite files in %s, %v", len(paths), module.Dir, err)
	}
	return paths
}
