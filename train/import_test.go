package train

import (
	"math"
	"strings"
	"testing"

	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/nn"
)

// A network that was trained with PyTorch's epsilon computes the same with ours:
// its scales make up for the difference.
func TestImportEpsilon(t *testing.T) {
	net := arch.Edge([]model.Head{{Name: "smile", Labels: []string{"yes", "no"}}})
	n, err := nn.New(net, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	n.Init(3)
	f := &checkpoint.File{Meta: map[string]string{MetaEpsilon: "1e-5"}}
	for _, p := range n.Params() {
		if strings.HasSuffix(p.Name, ".running_var") {
			for i := range p.Value {
				p.Value[i] = 1e-4 * float32(i+1)
			}
		}
		f.Tensors = append(f.Tensors, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
	}
	out, err := Import(net, f)
	if err != nil {
		t.Fatal(err)
	}
	v := f.Find("stem_bn.running_var").Data
	for i, was := range f.Find("stem_bn.weight").Data {
		is := out.Find("stem_bn.weight").Data[i]
		a, b := float64(was)/math.Sqrt(float64(v[i])+1e-5), float64(is)/math.Sqrt(float64(v[i])+arch.NormEpsilon)
		if math.Abs(a-b) > 1e-5*math.Abs(a) || was == is {
			t.Fatalf("channel %d: scaled by %v, was %v", i, b, a)
		}
	}
	for _, bad := range []string{"0", "x", "NaN", "-1"} {
		f.Meta[MetaEpsilon] = bad
		if _, err := Import(net, f); err == nil || !strings.Contains(err.Error(), MetaEpsilon) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
