package train

import (
	"encoding/json"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/nn"
)

// uniform numbers the elements of a tensor from 0 to 1, as nn's testdata/torch_paper.py
// does.
func uniform(key uint32, i int) float64 {
	mix := func(x uint32) uint32 {
		x = (x ^ x>>16) * 0x7feb352d
		x = (x ^ x>>15) * 0x846ca68b
		return x ^ x>>16
	}
	return float64(mix(mix(uint32(i)^key*0x9e3779b9)+key)) / (1 << 32)
}

// draw is what testdata/transfer.py draws for a parameter.
func draw(name string, shape []int) []float32 {
	n, fan := 1, 1
	for i, d := range shape {
		n *= d
		if i > 0 {
			fan *= d
		}
	}
	key := crc32.ChecksumIEEE([]byte(name))
	out := make([]float32, n)
	for i := range out {
		switch u := uniform(key, i); {
		case len(shape) > 1:
			out[i] = float32((2*u - 1) * math.Sqrt(6/float64(fan)))
		case strings.HasSuffix(name, ".running_var") || strings.HasSuffix(name, ".weight"):
			out[i] = float32(0.75 + 0.5*u)
		default:
			out[i] = float32(0.2 * (u - 0.5))
		}
	}
	return out
}

// theirShape is the shape of a parameter in facenet-pytorch, which has kernels of
// one row or column.
func theirShape(net, name string, shape []int) []int {
	if net != "facenet" || len(shape) != 4 {
		return shape
	}
	wide := strings.HasPrefix(name, "repeat_2.") || strings.HasPrefix(name, "repeat_3.") || strings.HasPrefix(name, "block8.")
	switch {
	case wide && strings.Contains(name, ".branch1.1."):
		return []int{shape[0], shape[1], 1, shape[3]}
	case wide && strings.Contains(name, ".branch1.2."):
		return []int{shape[0], shape[1], shape[2], 1}
	}
	return shape
}

// written is a network's body with drawn weights, as a library writes it.
func written(t *testing.T, net arch.Net, library string) *checkpoint.File {
	t.Helper()
	names, err := readNaming(library)
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]string{}
	for their, our := range names.Networks[net.Name].Layers {
		theirs[our] = their
	}
	parts := map[string]string{}
	for their, our := range names.Parts {
		parts[our] = their // gamma and kernel are both weight: see below
	}
	net.Frozen = len(net.Body)
	n, err := nn.New(net, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	f := &checkpoint.File{}
	for _, p := range n.Params() {
		layer, part := split(p.Name)
		if layer == repeated || p.Grad != nil {
			continue
		}
		x := checkpoint.Tensor{Name: p.Name, Shape: theirShape(net.Name, p.Name, p.Shape)}
		x.Data = draw(x.Name, x.Shape)
		if their, ok := theirs[layer]; ok {
			x.Name = their + "." + part
		}
		if names.Turned {
			part = parts[part]
			if part == "gamma" || part == "kernel" {
				part = map[int]string{1: "gamma", 4: "kernel"}[len(x.Shape)]
			}
			if part == "bias" || part == "beta" {
				part = map[bool]string{true: "beta", false: "bias"}[strings.HasSuffix(layer, "_bn")]
			}
			x.Name = layer + "/" + layer + "/" + part + ":0"
			if len(x.Shape) == 4 {
				o, i, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
				turned := make([]float32, len(x.Data))
				for at, v := range x.Data {
					turned[(at%(h*w)*i+at/(h*w)%i)*o+at/(h*w)/i] = v
				}
				x.Data, x.Shape = turned, []int{h, w, i, o}
			}
		}
		f.Tensors = append(f.Tensors, x)
	}
	left := names.Networks[net.Name].Left
	f.Tensors = append(f.Tensors, checkpoint.Tensor{Name: left[0] + ".weight", Shape: []int{1}, Data: []float32{1}},
		checkpoint.Tensor{Name: "x.num_batches_tracked", Shape: []int{1}, I64: []int64{3}})
	return f
}

// TestTransfer: networks with others' weights, under others' names, compute what
// PyTorch does.
func TestTransfer(t *testing.T) {
	b, err := os.ReadFile("testdata/transfer.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]float64
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	heads := []model.Head{{Name: "mood", Labels: []string{"a", "b", "c", "d", "e"}}}
	x := make([]float32, data.Pixels)
	for i := range x {
		x[i] = float32(uniform(1, i))
	}
	for name, library := range map[string]string{"vgg16": "torchvision", "resnet50v2": "keras", "facenet": "facenet-pytorch"} {
		net, err := arch.ByName(name, heads)
		if err != nil {
			t.Fatal(err)
		}
		out, err := ImportBody(net, written(t, net, library), library)
		if err != nil {
			t.Fatal(err)
		}
		if untaught, err := Untaught(out); err != nil || len(untaught) != 1 {
			t.Errorf("%s: untaught are %v, %v", name, untaught, err)
		}
		for _, part := range []string{"mood.weight", "mood.bias"} {
			p := out.Find(part)
			copy(p.Data, draw(part, p.Shape))
		}
		path := filepath.Join(t.TempDir(), "a.safetensors")
		if err := checkpoint.Write(path, out); err != nil {
			t.Fatal(err)
		}
		n, err := Open(path, 1, 2)
		if err != nil {
			t.Fatal(err)
		}
		largest := 0.0
		for _, v := range want[name] {
			largest = max(largest, math.Abs(v))
		}
		for i, got := range n.Predict(x, 1)[0] {
			if !(math.Abs(float64(got)-want[name][i]) <= 1e-4*largest) {
				t.Errorf("%s: label %d: %g, PyTorch says %g", name, i, got, want[name][i])
			}
		}
	}
}

// TestBothNamings: Keras's weights and torchvision's of one network differ in how
// they lie, and in the picture that they want.
func TestBothNamings(t *testing.T) {
	net, err := arch.ByName("vgg16", []model.Head{model.Emotion})
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]map[string][]float32{}
	for _, library := range []string{"torchvision", "keras"} {
		f, err := ImportBody(net, written(t, net, library), library)
		if err != nil {
			t.Fatal(err)
		}
		of[library] = f.Floats()
	}
	for name, a := range of["torchvision"] {
		b, same := of["keras"][name], true
		for i := range a {
			same = same && a[i] == b[i]
		}
		if same == strings.HasPrefix(name, repeated) {
			t.Errorf("%s: the same %v", name, same)
		}
	}
}

func TestNamingRefuses(t *testing.T) {
	net, err := arch.ByName("vgg16", []model.Head{model.Emotion})
	if err != nil {
		t.Fatal(err)
	}
	good := written(t, net, "torchvision")
	for want, spoil := range map[string]func(f *checkpoint.File){
		"no tensor block1_conv1.weight": func(f *checkpoint.File) { f.Tensors = f.Tensors[1:] },
		"the network has no such layer": func(f *checkpoint.File) { f.Tensors[0].Name = "features.1.weight" },
		"block1_conv1.weight has shape": func(f *checkpoint.File) { f.Tensors[0].Shape = []int{64, 27, 1, 1} },
		"block1_conv1.bias holds NaN or in": func(f *checkpoint.File) {
			f.Tensors[1].Data = append([]float32{float32(math.NaN())}, make([]float32, 63)...)
		},
	} {
		f := &checkpoint.File{Tensors: append([]checkpoint.Tensor(nil), good.Tensors...)}
		spoil(f)
		if _, err := ImportBody(net, f, "torchvision"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := ImportBody(arch.Edge(model.Heads()), good, "torchvision"); err == nil || !strings.Contains(err.Error(), "no network edge") {
		t.Error(err)
	}
	if _, err := ImportBody(net, good, "caffe"); err == nil || !strings.Contains(err.Error(), "facenet-pytorch, keras, torchvision") {
		t.Error(err)
	}
}
