// Package zoo holds the models that ship inside the programs: all of them, or in
// a build without cgo the default one alone. It gives their bytes; an engine
// runs them.
package zoo

import (
	"fmt"
	"path"
	"strings"
)

const folder, suffix = "models", ".tflite"

// DefaultName is the model that miend runs unless told otherwise.
const DefaultName = "edge-int8"

// Names returns the names of the models, sorted.
func Names() []string {
	entries, err := files.ReadDir(folder)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok {
			out = append(out, name)
		}
	}
	return out
}

// Load returns the .tflite file of that name.
func Load(name string) ([]byte, error) {
	b, err := files.ReadFile(path.Join(folder, name+suffix))
	if err != nil {
		return nil, fmt.Errorf("zoo: no model %q; there are: %s", name, strings.Join(Names(), ", "))
	}
	return b, nil
}

// Default returns the default model's file; it is empty in a build without
// one.
func Default() []byte {
	b, err := Load(DefaultName)
	if err != nil {
		return nil
	}
	return b
}
