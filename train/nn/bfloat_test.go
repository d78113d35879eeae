package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/nn/internal/kernel"
)

// exact fills x with values that bfloat16 holds.
func exact(rng *rand.Rand, x []float32) {
	for i := range x {
		x[i] = kernel.RoundBF16(float32(rng.NormFloat64())).Float()
	}
}

// TestBfloatConv holds the layer against the float32 one on factors that are
// bfloat16 already: only the order of the sums may differ.
func TestBfloatConv(t *testing.T) {
	for _, c := range []struct {
		h, w, in, out, k, stride int
		valid                    bool
	}{
		{9, 9, 32, 32, 3, 1, false}, {25, 25, 32, 32, 3, 1, false}, {7, 7, 64, 32, 3, 1, false}, {6, 11, 32, 64, 5, 1, false}, {7, 5, 32, 32, 1, 1, false},
		{9, 6, 32, 32, 4, 1, false}, {25, 25, 32, 64, 3, 2, false}, {13, 13, 64, 32, 3, 2, false}, {12, 7, 32, 32, 3, 2, false}, {10, 13, 32, 32, 5, 2, false},
		{8, 8, 32, 32, 1, 2, false}, {14, 11, 32, 32, 5, 3, false}, {10, 10, 32, 32, 2, 3, false}, {9, 9, 32, 32, 4, 2, false}, {6, 6, 32, 40, 3, 1, false},
		{12, 9, 1, 32, 5, 2, false}, {7, 8, 3, 5, 3, 1, false}, {7, 8, 40, 48, 3, 2, false}, {5, 5, 7, 9, 1, 1, false}, {5, 6, 5, 64, 2, 2, false},
		{9, 9, 32, 32, 3, 1, true}, {10, 13, 32, 64, 3, 2, true}, {15, 12, 3, 32, 7, 2, true}, {8, 9, 40, 32, 3, 2, true},
	} {
		t.Run(fmt.Sprintf("%dx%dx%d to %d by %d stride %d valid %v", c.h, c.w, c.in, c.out, c.k, c.stride, c.valid), func(t *testing.T) {
			const batch = 11
			rng := rand.New(rand.NewPCG(uint64(c.in), uint64(c.k)))
			in := newTensor(batch, c.h, c.w, c.in)
			g := same(in, c.k, c.stride)
			if c.valid {
				g = valid(in, c.k, c.stride)
			}
			out := newTensor(batch, g.h, g.w, c.out)
			w := &Param{Value: make([]float32, c.out*c.in*c.k*c.k), Grad: make([]float32, c.out*c.in*c.k*c.k)}
			b := &Param{Value: make([]float32, c.out), Grad: make([]float32, c.out)}
			work := newWorkers(2)
			layers := []layer{newConv(g, in, out, w, b, work), newBfloatConv(g, batch, in, out, w, b, work)}
			// Twice, so that what the first batch left behind would be found.
			for _, n := range []int{batch, 6} {
				exact(rng, in.data)
				exact(rng, w.Value)
				exact(rng, b.Value)
				var want [4][]float32
				for k, l := range layers {
					exact(rand.New(rand.NewPCG(7, 7)), out.grad)
					for _, x := range [][]float32{out.data, in.grad, w.Grad, b.Grad} {
						for i := range x {
							x[i] = float32(math.NaN())
						}
					}
					l.forward(&pass{n: n, train: true})
					l.backward(&pass{n: n, train: true})
					for i, got := range [][]float32{out.data[:n*out.size()], in.grad[:n*in.size()], w.Grad, b.Grad} {
						if k == 0 {
							want[i] = append([]float32(nil), got...)
							continue
						}
						near32(t, []string{"output", "input's gradient", "weight's gradient", "bias's gradient"}[i], got, want[i])
					}
				}
			}
		})
	}
}

// near32 allows for the roundings of a float32 sum.
func near32(t *testing.T, what string, got, want []float32) {
	t.Helper()
	size := 0.0
	for _, v := range want {
		size = max(size, math.Abs(float64(v)))
	}
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= 3e-6*size) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}

// TestBfloatGradients holds a step of whole networks in bfloat16 against
// float32. A rounding is off by at most 1/256 of a value, but noise for
// pictures, which norms blow up, and the kinks of ReLU and of pools, which
// some values pass, make more of it in the lower layers: a tenth in the
// paper's, a quarter in edge's. TestBfloatConv is the sharp one.
func TestBfloatGradients(t *testing.T) {
	for _, name := range []string{"paper", "edge"} {
		t.Run(name, func(t *testing.T) {
			a, err := arch.ByName(name, model.Heads())
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(3, 1))
			b := randomBatch(rng, 4, a.Heads)
			nets := []*Net{mustNewIn(t, Float32, a, 4, 2), mustNewIn(t, Bfloat16, a, 4, 2)}
			losses := []float64{}
			for _, n := range nets {
				n.Init(9)
				l, err := n.Step(b, []float64{2, 0.1, 1.5, 4}, 5)
				if err != nil {
					t.Fatal(err)
				}
				losses = append(losses, l.Total)
			}
			if losses[0] == losses[1] || math.Abs(losses[0]-losses[1]) > 0.02*losses[0] {
				t.Errorf("loss %g in bfloat16, %g in float32", losses[1], losses[0])
			}
			for i, p := range nets[0].Params() {
				if p.Grad == nil {
					continue
				}
				if off := relative(nets[1].Params()[i].Grad, p.Grad); !(off > 0 && off < 0.4) {
					t.Errorf("%s: the gradients differ by %.3f of their length", p.Name, off)
				}
			}
		})
	}
}

// relative is the distance of a from b in units of b's length.
func relative(a, b []float32) float64 {
	var d, n float64
	for i := range b {
		d += math.Pow(float64(a[i])-float64(b[i]), 2)
		n += math.Pow(float64(b[i]), 2)
	}
	return math.Sqrt(d / n)
}
