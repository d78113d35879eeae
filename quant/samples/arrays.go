package samples

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mien/runtime/graph"
)

// Arrays are samples of any inputs, an array for each.
type Arrays struct {
	n      int
	inputs []*Array // as in Graph.Inputs
	name   string
}

// ReadArrays reads the values of every input of g from files: F.npz holds arrays
// by the inputs' names, NAME=F.npy one, and F.npy alone serves a model of one
// input or is called as its input is. An array has the input's shape, or one
// dimension more, or another size, at the front: the samples.
func ReadArrays(files []string, g *graph.Graph) (*Arrays, error) {
	byName := map[string]*Array{}
	for _, f := range files {
		if err := readFile(f, g, byName); err != nil {
			return nil, err
		}
	}
	return NewArrays(byName, g, strings.Join(files, " "))
}

// NewArrays takes arrays by the inputs' names; from is where they are from.
func NewArrays(byName map[string]*Array, g *graph.Graph, from string) (*Arrays, error) {
	out := &Arrays{name: from}
	var known []string
	for _, at := range g.Inputs {
		t := g.Tensors[at]
		known = append(known, t.Name)
		a := byName[t.Name]
		if a == nil {
			return nil, fmt.Errorf("samples: %s: no array for input %q (there are %v)", from, t.Name, names(byName))
		}
		n, err := samplesIn(a.Shape, t.Shape)
		if err != nil {
			return nil, fmt.Errorf("samples: %s: input %q: %w", from, t.Name, err)
		}
		if out.n != 0 && out.n != n {
			return nil, fmt.Errorf("samples: %s: %d samples for input %q, and %d for the one before", from, n, t.Name, out.n)
		}
		out.n = n
		out.inputs = append(out.inputs, a)
	}
	for name := range byName {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("samples: %s: the model has no input %q (there are %q)", from, name, known)
		}
	}
	return out, nil
}

func names(m map[string]*Array) []string {
	var out []string
	for n := range m {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// samplesIn says how many samples of an input's shape an array holds.
func samplesIn(array, input []int) (int, error) {
	switch {
	case slices.Equal(array, input):
		return 1, nil
	case len(array) == len(input)+1 && slices.Equal(array[1:], input):
	case len(array) == len(input) && len(input) > 0 && input[0] == 1 && slices.Equal(array[1:], input[1:]):
	default:
		return 0, fmt.Errorf("an array of shape %v, want %v with the samples at the front", array, input)
	}
	if array[0] == 0 {
		return 0, errors.New("the array holds no sample")
	}
	return array[0], nil
}

func readFile(spec string, g *graph.Graph, into map[string]*Array) error {
	name, path, named := strings.Cut(spec, "=")
	if !named {
		name, path = "", spec
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("samples: %w", err)
	}
	if !named && strings.EqualFold(filepath.Ext(path), ".npz") {
		if err := readNPZ(b, into); err != nil {
			return fmt.Errorf("samples: %s: %w", path, err)
		}
		return nil
	}
	a, err := ParseNPY(b)
	if err != nil {
		return fmt.Errorf("samples: %s: %w", path, err)
	}
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		if len(g.Inputs) == 1 {
			name = g.Tensors[g.Inputs[0]].Name
		}
	}
	if into[name] != nil {
		return fmt.Errorf("samples: %s: input %q has an array already", path, name)
	}
	into[name] = a
	return nil
}

// readNPZ reads the arrays of an archive as numpy.savez writes it.
func readNPZ(b []byte, into map[string]*Array) error {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		data, err := io.ReadAll(io.LimitReader(r, 8*maxValues))
		r.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		a, err := ParseNPY(data)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		name := strings.TrimSuffix(f.Name, ".npy")
		if into[name] != nil {
			return fmt.Errorf("input %q has an array already", name)
		}
		into[name] = a
	}
	return nil
}

// Len is the number of samples.
func (a *Arrays) Len() int { return a.n }

// Name is where sample i is from.
func (a *Arrays) Name(i int) string { return fmt.Sprintf("%s[%d]", a.name, i) }

// Fill sets dst to sample i of input k.
func (a *Arrays) Fill(i, k int, dst []float32) error {
	if k >= len(a.inputs) || len(a.inputs[k].Data) != a.n*len(dst) {
		return fmt.Errorf("samples: an array does not fit input %d of %d values", k, len(dst))
	}
	copy(dst, a.inputs[k].Data[i*len(dst):])
	return nil
}

// Bounds are not known of arrays: the samples tell.
func (a *Arrays) Bounds(int) (lo, hi float64, ok bool) { return 0, 0, false }
