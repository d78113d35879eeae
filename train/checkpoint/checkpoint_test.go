package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func example() *File {
	return &File{
		Tensors: []Tensor{
			{Name: "conv1.weight", Shape: []int{2, 1, 1, 1}, Data: []float32{1.5, -2}},
			{Name: "step", Shape: []int{}, U64: []uint64{1 << 63}},
			{Name: "left", Shape: []int{2}, I64: []int64{-1, 3}},
			{Name: "empty", Shape: []int{0, 3}, Data: []float32{}},
		},
		Meta: map[string]string{"arch": "paper", "seed": "1"},
	}
}

func encoded(t testing.TB, f *File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	want := example()
	if err := Write(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	byName := cmpopts.SortSlices(func(a, b Tensor) bool { return a.Name < b.Name })
	if d := cmp.Diff(want, got, byName); d != "" {
		t.Error(d)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestFind(t *testing.T) {
	f := example()
	if x := f.Find("left"); x == nil || x.I64[1] != 3 {
		t.Errorf("left: %v", x)
	}
	if x := f.Find("right"); x != nil {
		t.Errorf("right: %v", x)
	}
	if m := f.Floats(); len(m) != 2 || m["conv1.weight"][1] != -2 {
		t.Errorf("floats: %v", m)
	}
}

// The published layout, by hand: what other programs write.
func TestParseForeign(t *testing.T) {
	head := `{"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`
	b := append([]byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}, head...)
	b = append(b, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0) // 1, -2
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if f.Tensors[0].Name != "a" || f.Tensors[0].Data[0] != 1 || f.Tensors[1].Data[0] != -2 {
		t.Errorf("%+v", f.Tensors)
	}
}

// What other frameworks save in fewer bits is read as float32.
func TestOtherFloats(t *testing.T) {
	head := `{"h":{"dtype":"F16","shape":[8],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[16,20]},"d":{"dtype":"F64","shape":[1],"data_offsets":[20,28]}}`
	head += strings.Repeat(" ", -len(head)&7)
	b := append([]byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}, head...)
	for _, v := range []uint16{0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x8000, 0x3f80, 0xc040} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(-0.1))
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	inf := float32(math.Inf(1))
	want := []float32{1, -2, 0x1p-24, 65504, inf, -inf, 0, 0}
	for i, v := range f.Find("h").Data {
		if i != 6 && v != want[i] || i == 6 && v == v {
			t.Errorf("half %d is %v, want %v", i, v, want[i])
		}
	}
	if d := f.Find("b").Data; d[0] != 1 || d[1] != -3 || f.Find("d").Data[0] != float32(-0.1) {
		t.Errorf("%v, %v", d, f.Find("d").Data)
	}
}

func TestRename(t *testing.T) {
	file := func(names ...string) *File {
		f := &File{}
		for _, n := range names {
			f.Tensors = append(f.Tensors, Tensor{Name: n, Shape: []int{1}, Data: []float32{1}})
		}
		return f
	}
	f := file("module.conv1.weight", "module.features.0.bias", "module.features.1.bias")
	if err := f.Rename(map[string]string{"features.0.bias": "conv1.bias", "module.features.1.bias": "conv2.bias"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"conv1.weight", "conv1.bias", "conv2.bias"} {
		if f.Find(want) == nil {
			t.Errorf("no %s among %v", want, f.Tensors)
		}
	}
	f = file("module.a", "b")
	if err := f.Rename(nil); err != nil || f.Find("module.a") == nil {
		t.Errorf("a beginning that not all share: %v, %v", f.Tensors, err)
	}
	if err := file("a", "b").Rename(map[string]string{"a": "b"}); err == nil || !strings.Contains(err.Error(), "both called b") {
		t.Error(err)
	}
	if err := file("a").Rename(map[string]string{"c": "d"}); err == nil || !strings.Contains(err.Error(), `"c"`) {
		t.Error(err)
	}
}

func TestEveryCutIsAnError(t *testing.T) {
	b := encoded(t, example())
	for n := range b {
		if _, err := Parse(b[:n]); err == nil {
			t.Fatalf("%d bytes of %d were accepted", n, len(b))
		}
	}
	if _, err := Parse(append(b, 0)); err == nil {
		t.Error("a byte too many was accepted")
	}
}

func TestReadErrorNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cut.safetensors")
	if err := os.WriteFile(path, encoded(t, example())[:40], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("got %v", err)
	}
	if _, err := Read(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Models of other kinds are called what they are.
func TestOtherFormats(t *testing.T) {
	for begin, want := range map[string]string{
		"\x1c\x00\x00\x00TFL3\x14\x00\x20":           ".tflite model",
		"PK\x03\x04\x00\x00\x08\x08\x00\x00":         "zip file",
		"\x89HDF\r\n\x1a\n\x00\x00":                  "HDF5 file",
		"\x08\x08\x12\x07pytorch\x1a\x05":            "ONNX model",
		"\x08\x0a:\xb0\x01\x0a\x1d\x0a\x01x\x12\x04": "ONNX model",
		"a note of somebody's":                       "its header would have",
	} {
		if _, err := Parse([]byte(begin)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", begin, err, want)
		}
	}
}

func TestBadTensorsAreRefused(t *testing.T) {
	for _, f := range []File{
		{Tensors: []Tensor{{Name: "a", Shape: []int{3}, Data: []float32{1}}}},
		{Tensors: []Tensor{{Name: "", Shape: []int{1}, Data: []float32{1}}}},
		{Tensors: []Tensor{{Name: "a", Shape: []int{-1, -1}, Data: []float32{1}}}},
		{Tensors: []Tensor{{Name: "a", Data: []float32{1}}, {Name: "a", Data: []float32{1}}}},
	} {
		if err := encode(io.Discard, &f); err == nil {
			t.Errorf("%v was accepted", f.Tensors)
		}
	}
}

// /dev/full is the kernel's full disk.
func TestFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := encode(f, example()); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(encoded(f, example()))
	f.Add(encoded(f, &File{}))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			return
		}
		for i := range file.Tensors {
			if err := file.Tensors[i].check(); err != nil {
				t.Errorf("accepted: %v", err)
			}
		}
	})
}
