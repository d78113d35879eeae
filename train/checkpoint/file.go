// Package checkpoint reads and writes safetensors files: named tensors and a
// map of strings, in the published layout, so that PyTorch and numpy read
// them too. A file is replaced whole or not at all.
//
// Layout: 8 bytes little-endian header length, a JSON header with the type,
// shape and byte range of each tensor and "__metadata__", then the data,
// little-endian, without gaps.
// Source: https://huggingface.co/docs/safetensors (format).
package checkpoint

import (
	"fmt"
	"slices"
	"strings"
)

// Tensor is one named array. Exactly one of the data fields is set; Shape
// multiplies to its length (an empty Shape is one value).
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32 // F32
	U64   []uint64  // U64
	I64   []int64   // I64
}

// File is the contents of a checkpoint. Tensors are written in the order of
// the slice, and read in the order of their bytes.
type File struct {
	Tensors []Tensor
	Meta    map[string]string
}

// Find returns the tensor of that name, or nil.
func (f *File) Find(name string) *Tensor {
	i := slices.IndexFunc(f.Tensors, func(t Tensor) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &f.Tensors[i]
}

// Rename gives tensors of other writers the names that they have here: names
// maps theirs to ours, and a beginning that all of theirs share, "module." for
// one, is dropped when it is not in the map. Two tensors of one name afterwards
// are an error.
func (f *File) Rename(names map[string]string) error {
	prefix := f.prefix()
	seen := map[string]string{}
	for i := range f.Tensors {
		t := &f.Tensors[i]
		old := t.Name
		if to, ok := names[old]; ok {
			t.Name = to
		} else if t.Name = strings.TrimPrefix(old, prefix); names[t.Name] != "" {
			t.Name = names[t.Name]
		}
		if other, twice := seen[t.Name]; twice {
			return fmt.Errorf("checkpoint: tensors %s and %s are both called %s", other, old, t.Name)
		}
		seen[t.Name] = old
	}
	for theirs := range names {
		if !slices.ContainsFunc(f.Tensors, func(t Tensor) bool { return seen[t.Name] == theirs || seen[t.Name] == prefix+theirs }) {
			return fmt.Errorf("checkpoint: there is no tensor %q to rename", theirs)
		}
	}
	return nil
}

// prefix is what the names of all tensors begin with, up to a dot, when wrappers
// put it there.
func (f *File) prefix() string {
	for _, p := range []string{"module.", "model.", "_orig_mod.", "net."} {
		if len(f.Tensors) > 0 && !slices.ContainsFunc(f.Tensors, func(t Tensor) bool { return !strings.HasPrefix(t.Name, p) }) {
			return p
		}
	}
	return ""
}

// Floats returns the float32 tensors by name.
func (f *File) Floats() map[string][]float32 {
	m := make(map[string][]float32, len(f.Tensors))
	for _, t := range f.Tensors {
		if t.Data != nil {
			m[t.Name] = t.Data
		}
	}
	return m
}

func (t *Tensor) dtype() string {
	switch {
	case t.U64 != nil:
		return "U64"
	case t.I64 != nil:
		return "I64"
	}
	return "F32"
}

func (t *Tensor) len() int { return len(t.Data) + len(t.U64) + len(t.I64) }

func (t *Tensor) bytes() int { return len(t.Data)*4 + len(t.U64)*8 + len(t.I64)*8 }

func (t *Tensor) check() error {
	if t.Name == "" || t.Name == metaKey {
		return fmt.Errorf("a tensor cannot be called %q", t.Name)
	}
	n := 1
	for _, d := range t.Shape {
		if d < 0 {
			return fmt.Errorf("tensor %s: shape %v", t.Name, t.Shape)
		}
		n *= d
	}
	if n != t.len() {
		return fmt.Errorf("tensor %s: shape %v for %d values", t.Name, t.Shape, t.len())
	}
	return nil
}
