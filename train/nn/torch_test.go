package nn

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"mien/runtime/model"
	"mien/train/arch"
)

// golden is what testdata/torch_paper.py writes.
type golden struct {
	Pictures         int // which tensor they are
	Loss             float64
	Logits           map[string][]float64
	Gradients, After map[string]summary
}

// summary of a tensor: its norm, some elements, and sums with random signs,
// which notice a difference anywhere.
type summary struct {
	Norm          float64
	Samples, Sums []float64
}

const goldenPictures = 4

// hash32 numbers the element of a tensor, as the script does.
func hash32(tensor, i int) uint32 {
	mix := func(x uint32) uint32 {
		x = (x ^ x>>16) * 0x7feb352d
		x = (x ^ x>>15) * 0x846ca68b
		return x ^ x>>16
	}
	return mix(mix(uint32(i)^uint32(tensor)*0x9e3779b9) + uint32(tensor))
}

func uniform(tensor, i int) float64 { return float64(hash32(tensor, i)) / (1 << 32) }

// draw fills a parameter as the script does.
func draw(tensor int, p Param) {
	fan := 1
	for _, d := range p.Shape[1:] {
		fan *= d
	}
	one := strings.HasSuffix(p.Name, ".running_var") || (strings.HasPrefix(p.Name, "bn") && strings.HasSuffix(p.Name, ".weight"))
	for i := range p.Value {
		u := uniform(tensor, i)
		switch {
		case len(p.Shape) > 1:
			p.Value[i] = float32((2*u - 1) * math.Sqrt(6/float64(fan)))
		case one:
			p.Value[i] = float32(0.75 + 0.5*u)
		default:
			p.Value[i] = float32(0.2 * (u - 0.5))
		}
	}
}

// goldenBatch has labels of which one in four is not known.
func goldenBatch(n *Net, pictures int) *Batch {
	b := &Batch{N: goldenPictures, X: make([]float32, goldenPictures*2500)}
	for i := range b.X {
		b.X[i] = float32(uniform(pictures, i))
	}
	for k, h := range n.Arch.Heads {
		c := len(h.Labels)
		t, w := make([]float32, b.N*c), make([]float32, b.N)
		for i := range b.N {
			if v := int(hash32(2000+k, i)); v%4 != 0 {
				t[i*c+v/4%c], w[i] = 1, 1
			}
		}
		b.Target, b.Weight = append(b.Target, t), append(b.Weight, w)
	}
	return b
}

// TestTorchStep holds a whole step of the paper's network, without dropout,
// against PyTorch's in float64: logits and loss within 1e-4, gradients within
// 1e-3 of their size, weights after Adam within a hundredth of its step.
func TestTorchStep(t *testing.T) {
	var want golden
	text, err := os.ReadFile("testdata/torch_paper.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	a := arch.Paper(model.Heads())
	for i := range a.Body {
		a.Body[i].Rate = 0
	}
	n, err := New(a, goldenPictures, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range n.Params() {
		draw(i, p)
	}
	l, err := n.Step(goldenBatch(n, want.Pictures), []float64{2, 0.1, 1.5, 4}, 1)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "loss", l.Total, want.Loss, 1e-4)
	for k, h := range a.Heads {
		for i, v := range n.Logits(k) {
			near(t, h.Name+" logit", float64(v), want.Logits[h.Name][i], 1e-4)
		}
	}
	const lr = 3e-4
	adam := Adam{LR: lr}
	grads := 0
	for i, p := range n.Params() {
		if p.Grad != nil {
			grads++
			want.Gradients[p.Name].compare(t, p.Name+" gradient", i, p.Grad, 1e-3)
		}
	}
	if grads != len(want.Gradients) {
		t.Errorf("%d gradients, PyTorch has %d", grads, len(want.Gradients))
	}
	if err := adam.Step(n); err != nil {
		t.Fatal(err)
	}
	for i, p := range n.Params() {
		s := want.After[p.Name]
		for j, v := range s.Samples {
			x := p.Value[int(hash32(3000+i, j))%len(p.Value)]
			tolerance := 1e-5 * max(1, math.Abs(v))
			if p.Grad != nil {
				tolerance = stepTolerance(lr, want.Gradients[p.Name].Samples[j])
			}
			near(t, p.Name+" after", float64(x), v, tolerance)
		}
	}
}

// stepTolerance: Adam's first step is as long as the learning rate whatever
// the gradient, so where that is all but zero its sign is left to chance.
func stepTolerance(lr, gradient float64) float64 {
	if math.Abs(gradient) < 1e-4 {
		return 2.1 * lr
	}
	return lr / 100
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %.8g, want %.8g", what, got, want)
	}
}

// compare measures differences in units of the tensor's norm, those of single
// elements in units of their root mean square.
func (s summary) compare(t *testing.T, what string, tensor int, x []float32, tolerance float64) {
	t.Helper()
	norm, sums := 0.0, make([]float64, len(s.Sums))
	for i, v := range x {
		norm += float64(v) * float64(v)
		for k := range sums {
			if hash32(4000+100*tensor+k, i)&1 == 1 {
				sums[k] += float64(v)
			} else {
				sums[k] -= float64(v)
			}
		}
	}
	near(t, what+"'s norm", math.Sqrt(norm), s.Norm, tolerance*s.Norm)
	for k := range sums {
		near(t, what+"'s sum", sums[k], s.Sums[k], tolerance*s.Norm)
	}
	rms := s.Norm / math.Sqrt(float64(len(x)))
	for j, v := range s.Samples {
		i := int(hash32(3000+tensor, j)) % len(x)
		near(t, what+"'s element", float64(x[i]), v, tolerance*max(rms, math.Abs(v)))
	}
}
