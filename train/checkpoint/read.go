package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sort"

	"mien/runtime/graph"
)

const (
	metaKey   = "__metadata__"
	maxHeader = 100 << 20 // the format's own limit
)

// entry is one tensor of the header.
type entry struct {
	Dtype   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// Read reads a whole checkpoint. Its errors name the file.
func Read(path string) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	f, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	return f, nil
}

// Parse reads a checkpoint from memory.
func Parse(b []byte) (*File, error) {
	if len(b) < 8 {
		return nil, errors.New("cut short: no safetensors header (was the copy complete?)")
	}
	n := binary.LittleEndian.Uint64(b)
	if n > maxHeader {
		if other := otherFormat(b); other != "" {
			return nil, fmt.Errorf("not a safetensors file but %s", other)
		}
		return nil, fmt.Errorf("not a safetensors file: its header would have %d bytes", n)
	}
	if uint64(len(b)-8) < n {
		return nil, fmt.Errorf("cut short in the header: %d bytes of %d (was the copy complete?)", len(b)-8, n)
	}
	entries, meta, err := parseHeader(b[8 : 8+n])
	if err != nil {
		return nil, err
	}
	f := &File{Meta: meta}
	if err := f.fill(entries, b[8+n:]); err != nil {
		return nil, err
	}
	return f, nil
}

// otherFormat says which other kind of model's file begins so, and what to do
// with it, or "".
func otherFormat(b []byte) string {
	switch {
	case bytes.Equal(b[4:8], []byte("TFL3")):
		return "a .tflite model, whose weights can no longer be trained: name the checkpoint that it was made from (mien quantize MODEL.tflite quantises a float one)"
	case bytes.HasPrefix(b, []byte("version ")):
		return "a Git LFS pointer to one: fetch it with git lfs pull"
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return "a zip file, as PyTorch and Keras save: save its weights with safetensors there"
	case bytes.HasPrefix(b, []byte("\x89HDF\r\n\x1a\n")):
		return "an HDF5 file, as Keras saves: save its weights with safetensors there"
	case b[0] == 0x08 && b[1] < 0x20 && (b[2] == 0x12 || b[2] == 0x3a): // ir_version, then producer or graph: onnx.proto
		return "an ONNX model, which mien writes and does not read: save its weights with safetensors"
	}
	return ""
}

func parseHeader(b []byte) (map[string]entry, map[string]string, error) {
	var raw map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&raw); err != nil {
		return nil, nil, fmt.Errorf("safetensors header: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, errors.New("safetensors header: more than one JSON value")
	}
	var meta map[string]string
	entries := make(map[string]entry, len(raw))
	for name, msg := range raw {
		if name == "" {
			return nil, nil, errors.New("safetensors header: a tensor without a name")
		}
		if name == metaKey {
			if err := json.Unmarshal(msg, &meta); err != nil {
				return nil, nil, fmt.Errorf("safetensors header: %s: %w", metaKey, err)
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(msg, &e); err != nil {
			return nil, nil, fmt.Errorf("safetensors header: tensor %q: %w", name, err)
		}
		entries[name] = e
	}
	return entries, meta, nil
}

// fill reads the tensors in the order of their bytes, which must follow each
// other from 0 to the end.
func (f *File) fill(entries map[string]entry, data []byte) error {
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := entries[names[i]].Offsets, entries[names[j]].Offsets
		if a != b {
			return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
		}
		return names[i] < names[j]
	})
	var at int64
	for _, name := range names {
		e := entries[name]
		if e.Offsets[0] != at || e.Offsets[1] < at {
			return fmt.Errorf("tensor %q: bytes %d to %d, want them to start at %d", name, e.Offsets[0], e.Offsets[1], at)
		}
		if e.Offsets[1] > int64(len(data)) {
			return fmt.Errorf("cut short: tensor %q ends at byte %d of %d (was the copy complete?)", name, e.Offsets[1], len(data))
		}
		t, err := e.tensor(name, data[at:e.Offsets[1]])
		if err != nil {
			return err
		}
		f.Tensors = append(f.Tensors, t)
		at = e.Offsets[1]
	}
	if at != int64(len(data)) {
		return fmt.Errorf("%d bytes after the last tensor", int64(len(data))-at)
	}
	return nil
}

func (e entry) tensor(name string, b []byte) (Tensor, error) {
	t := Tensor{Name: name, Shape: make([]int, len(e.Shape))}
	n := int64(1)
	for i, d := range e.Shape {
		if d < 0 || d > math.MaxInt32 || n*d > 1<<40 {
			return t, fmt.Errorf("tensor %q: shape %v", name, e.Shape)
		}
		n *= d
		t.Shape[i] = int(d)
	}
	size := map[string]int64{"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "U64": 8, "I64": 8}[e.Dtype]
	if size == 0 {
		return t, fmt.Errorf("tensor %q: type %q (mien reads F32, F16, BF16, F64, U64 and I64)", name, e.Dtype)
	}
	if n*size != int64(len(b)) {
		return t, fmt.Errorf("tensor %q: %d bytes for shape %v of %s", name, len(b), e.Shape, e.Dtype)
	}
	switch e.Dtype {
	case "F32":
		t.Data = make([]float32, n)
		for i := range t.Data {
			t.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case "F64":
		t.Data = make([]float32, n)
		for i := range t.Data {
			t.Data[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		}
	case "BF16": // the upper half of a float32
		t.Data = make([]float32, n)
		for i := range t.Data {
			t.Data[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		}
	case "F16":
		t.Data = make([]float32, n)
		for i := range t.Data {
			t.Data[i] = graph.Half(binary.LittleEndian.Uint16(b[2*i:]))
		}
	case "U64":
		t.U64 = make([]uint64, n)
		for i := range t.U64 {
			t.U64[i] = binary.LittleEndian.Uint64(b[8*i:])
		}
	case "I64":
		t.I64 = make([]int64, n)
		for i := range t.I64 {
			t.I64[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
	return t, nil
}
