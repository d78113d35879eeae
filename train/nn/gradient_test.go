package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mien/runtime/model"
	"mien/train/arch"
)

// small puts layers between a convolution that shrinks the picture and two
// heads, so that they have an input gradient to be judged by.
func small(side, channels int, body ...arch.Layer) arch.Net {
	first := []arch.Layer{{Op: arch.Conv, Name: "first", Out: channels, Kernel: 3, Stride: (50 + side - 1) / side}}
	return arch.Net{Name: "small", Body: append(first, body...), Heads: []model.Head{model.Emotion, model.Gender}}
}

// nets has every layer, in the positions that matter.
func nets() map[string]arch.Net {
	flat := arch.Layer{Op: arch.Flatten, Name: "flat"}
	gap := arch.Layer{Op: arch.Mean, Name: "gap"}
	return map[string]arch.Net{
		"flatten": small(5, 3, flat),
		"mean":    small(9, 5, gap),
		"conv of the picture": {Name: "x", Heads: []model.Head{model.Emotion, model.Gender}, Body: []arch.Layer{
			{Op: arch.Conv, Name: "c", Out: 3, Kernel: 5}, {Op: arch.MaxPool, Name: "p", Kernel: 10}, flat}},
		"conv3":          small(10, 4, arch.Layer{Op: arch.Conv, Name: "c", Out: 5, Kernel: 3}, flat),
		"conv5":          small(10, 3, arch.Layer{Op: arch.Conv, Name: "c", Out: 4, Kernel: 5}, flat),
		"conv1":          small(10, 4, arch.Layer{Op: arch.Conv, Name: "c", Out: 7, Kernel: 1}, flat),
		"conv1 stride 2": small(10, 4, arch.Layer{Op: arch.Conv, Name: "c", Out: 7, Kernel: 1, Stride: 2}, flat),
		"conv stride 2":  small(10, 4, arch.Layer{Op: arch.Conv, Name: "c", Out: 5, Kernel: 3, Stride: 2}, flat),
		"conv stride 3":  small(13, 3, arch.Layer{Op: arch.Conv, Name: "c", Out: 5, Kernel: 5, Stride: 3}, flat),
		"conv even":      small(10, 2, arch.Layer{Op: arch.Conv, Name: "c", Out: 3, Kernel: 4, Stride: 2}, flat),
		"conv no bias":   small(10, 2, arch.Layer{Op: arch.Conv, Name: "c", Out: 3, Kernel: 3, NoBias: true}, arch.Layer{Op: arch.BatchNorm, Name: "bn"}, flat),
		"depthwise":      small(10, 6, arch.Layer{Op: arch.Depthwise, Name: "d", Kernel: 3}, flat),
		"depthwise 2":    small(10, 6, arch.Layer{Op: arch.Depthwise, Name: "d", Kernel: 5, Stride: 2}, flat),
		"depthwise bare": small(10, 6, arch.Layer{Op: arch.Depthwise, Name: "d", Kernel: 3, NoBias: true}, flat),
		"bn":             small(7, 5, arch.Layer{Op: arch.BatchNorm, Name: "bn"}, flat),
		"bn vector":      small(3, 4, flat, arch.Layer{Op: arch.BatchNorm, Name: "bn"}),
		"bn frozen":      small(7, 5, arch.Layer{Op: arch.BatchNorm, Name: "bn", Frozen: true}, flat),
		"elu, frozen bn, pool": small(10, 16, arch.Layer{Op: arch.ELU, Name: "e"}, arch.Layer{Op: arch.BatchNorm, Name: "bn", Frozen: true},
			arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 2}, flat),
		"elu":              small(7, 3, arch.Layer{Op: arch.ELU, Name: "e"}, flat),
		"elu twice":        small(7, 3, arch.Layer{Op: arch.ELU, Name: "e"}, arch.Layer{Op: arch.ELU, Name: "f"}, flat),
		"relu":             small(7, 3, arch.Layer{Op: arch.ReLU, Name: "r"}, flat),
		"relu6":            small(7, 3, arch.Layer{Op: arch.ReLU6, Name: "r"}, flat),
		"maxpool":          small(10, 3, arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 2, Stride: 2}, flat),
		"maxpool odd":      small(13, 3, arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 3, Stride: 3}, flat),
		"overlapping pool": small(9, 3, arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 3, Stride: 2}, flat),
		"subsampled":       small(9, 3, arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 1, Stride: 2}, flat),
		"padded pool":      small(9, 3, arch.Layer{Op: arch.Pad, Name: "z", Pad: 1}, arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 3, Stride: 2}, flat),
		"valid":            small(9, 3, arch.Layer{Op: arch.Conv, Name: "c", Out: 4, Kernel: 3, Stride: 2, Valid: true}, flat),
		"wide valid":       small(9, 16, arch.Layer{Op: arch.Conv, Name: "c", Out: 16, Kernel: 3, Valid: true}, flat),
		"upsample":         small(4, 3, arch.Layer{Op: arch.Upsample, Name: "u", Kernel: 2}, arch.Layer{Op: arch.Conv, Name: "c", Out: 2, Kernel: 3}, flat),
		"concat": small(5, 3, arch.Layer{Op: arch.Conv, Name: "a", Out: 4, Kernel: 3}, arch.Layer{Op: arch.Conv, Name: "b", Out: 2, Kernel: 1, Input: "first"},
			arch.Layer{Op: arch.Concat, Name: "j", With: "a"}, flat),
		"dense":         small(5, 3, flat, arch.Layer{Op: arch.Dense, Name: "fc", Out: 11}),
		"dense no bias": small(5, 3, flat, arch.Layer{Op: arch.Dense, Name: "fc", Out: 6, NoBias: true}, arch.Layer{Op: arch.BatchNorm, Name: "bn"}),
		"dropout":       small(7, 3, arch.Layer{Op: arch.Dropout, Name: "d", Rate: 0.4}, flat, arch.Layer{Op: arch.Dropout, Name: "d2", Rate: 0.2}),
		"residual": small(10, 4, arch.Layer{Op: arch.ReLU, Name: "in"},
			arch.Layer{Op: arch.Conv, Name: "a", Out: 4, Kernel: 3},
			arch.Layer{Op: arch.ReLU, Name: "b"},
			arch.Layer{Op: arch.Add, Name: "sum", With: "in"},
			arch.Layer{Op: arch.ReLU6, Name: "out"}, flat),
		"shortcut": small(10, 4,
			arch.Layer{Op: arch.Conv, Name: "a", Out: 6, Kernel: 3, Stride: 2},
			arch.Layer{Op: arch.Conv, Name: "b", Out: 6, Kernel: 1, Stride: 2, Input: "first"},
			arch.Layer{Op: arch.Add, Name: "sum", With: "a"}, gap),
		"two readers of the picture": small(10, 4,
			arch.Layer{Op: arch.Conv, Name: "b", Out: 4, Kernel: 5, Stride: 5, Input: "input"},
			arch.Layer{Op: arch.Add, Name: "sum", With: "first"}, gap),
		"elu, bn, pool, dropout": small(10, 4, arch.Layer{Op: arch.Conv, Name: "c", Out: 16, Kernel: 3},
			arch.Layer{Op: arch.ELU, Name: "e"}, arch.Layer{Op: arch.BatchNorm, Name: "bn"},
			arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 2, Stride: 2}, arch.Layer{Op: arch.Dropout, Name: "d", Rate: 0.5}, flat),
		"bn, relu6": small(13, 16, arch.Layer{Op: arch.BatchNorm, Name: "bn"}, arch.Layer{Op: arch.ReLU6, Name: "r"}, flat),
		"bn, pool":  small(13, 6, arch.Layer{Op: arch.BatchNorm, Name: "bn"}, arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 2}, flat),
		"elu, bn, wide pool": small(13, 16, arch.Layer{Op: arch.ELU, Name: "e"}, arch.Layer{Op: arch.BatchNorm, Name: "bn"},
			arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 2}, flat),
		"wide conv3": small(9, 16, arch.Layer{Op: arch.Conv, Name: "c", Out: 32, Kernel: 3}, gap),
		"wide conv5": small(9, 16, arch.Layer{Op: arch.Conv, Name: "c", Out: 16, Kernel: 5}, gap),
	}
}

// TestEveryLayerIsTried: gradients are held against differences for each layer
// that a file can have.
func TestEveryLayerIsTried(t *testing.T) {
	for _, op := range arch.Ops() {
		tried := false
		for _, n := range nets() {
			tried = tried || slices.ContainsFunc(n.Body, func(l arch.Layer) bool { return l.Op == op })
		}
		if !tried {
			t.Errorf("no network here has a layer %s", op)
		}
	}
}

// randomBatch has soft targets and uneven weights, one of them zero.
func randomBatch(rng *rand.Rand, n int, heads []model.Head) *Batch {
	b := &Batch{N: n, X: make([]float32, n*2500)}
	for i := range b.X {
		b.X[i] = rng.Float32()
	}
	for k, h := range heads {
		t, w := make([]float32, n*len(h.Labels)), make([]float32, n)
		for i := range t {
			t[i] = rng.Float32() / float32(len(h.Labels))
		}
		for i := range w {
			w[i] = rng.Float32()
		}
		w[k%n] = 0
		b.Target, b.Weight = append(b.Target, t), append(b.Weight, w)
	}
	return b
}

// scatterParams moves every parameter off its special starting value.
func scatterParams(rng *rand.Rand, n *Net) {
	n.Init(rng.Uint64())
	for _, p := range n.Params() {
		if len(p.Shape) == 1 && p.Grad != nil {
			for i := range p.Value {
				p.Value[i] += 0.4 * (rng.Float32() - 0.5)
				if i%3 == 1 {
					p.Value[i] = -p.Value[i] // a norm may turn values round
				}
			}
		}
		if layer, ok := strings.CutSuffix(p.Name, ".running_mean"); ok && frozen(n, layer) {
			for i := range p.Value {
				p.Value[i] += 0.1 * rng.Float32()
			}
		}
	}
}

// frozen reports whether a norm goes by its running statistics.
func frozen(n *Net, name string) bool {
	return slices.ContainsFunc(n.Arch.Body, func(l arch.Layer) bool { return l.Name == name && l.Frozen })
}

func referenceOf(n *Net, key uint64) *reference {
	r := &reference{net: n.Arch, params: map[string][]float64{}, key: key}
	for _, p := range n.Params() {
		v := make([]float64, len(p.Value))
		for i, x := range p.Value {
			v[i] = float64(x)
		}
		r.params[p.Name] = v
	}
	return r
}

// TestGradients holds every layer's gradients against central differences of
// the float64 reference.
func TestGradients(t *testing.T) {
	for name, a := range nets() {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(len(name))))
			n, err := New(a, 5, 2)
			if err != nil {
				t.Fatal(err)
			}
			scatterParams(rng, n)
			b, lw, key := randomBatch(rng, 3, a.Heads), []float64{2, 0.5}, rng.Uint64()
			ref := referenceOf(n, key)
			want := ref.loss(b, lw)
			got, err := n.Step(b, lw, key)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got.Total-want) > 1e-5*max(1, want) {
				t.Errorf("loss %.8f, want %.8f", got.Total, want)
			}
			for _, p := range n.Params() {
				if p.Grad != nil {
					checkGradient(t, rng, ref, p, func() float64 { return ref.loss(b, lw) })
				}
			}
		})
	}
}

// checkGradient tries single values, all where there are few, and one random
// direction through all of them.
func checkGradient(t *testing.T, rng *rand.Rand, ref *reference, p Param, loss func() float64) {
	const eps = 1e-6
	v := ref.params[p.Name]
	scale := 0.02
	for _, g := range p.Grad {
		scale = max(scale, math.Abs(float64(g)))
	}
	for try := range min(len(v), 6) {
		i := try
		if len(v) > 6 {
			i = rng.IntN(len(v))
		}
		old := v[i]
		v[i] = old + eps
		up := loss()
		v[i] = old - eps
		want := (up - loss()) / (2 * eps)
		v[i] = old
		if got := float64(p.Grad[i]); math.Abs(got-want) > 2e-4*scale {
			t.Errorf("%s[%d]: gradient %.7f, finite difference %.7f", p.Name, i, got, want)
		}
	}
	old, dir := append([]float64(nil), v...), make([]float64, len(v))
	got, norm := 0.0, 0.0
	for i := range dir {
		dir[i] = rng.NormFloat64()
		got += dir[i] * float64(p.Grad[i])
		norm += float64(p.Grad[i]) * float64(p.Grad[i])
	}
	move := func(s float64) float64 {
		for i := range v {
			v[i] = old[i] + s*dir[i]
		}
		return loss()
	}
	want := (move(eps) - move(-eps)) / (2 * eps)
	move(0)
	if math.Abs(got-want) > 1e-3*(math.Sqrt(norm)+1e-3) {
		t.Errorf("%s: along a random direction %.7f, finite difference %.7f (%s)", p.Name, got, want, fmt.Sprint(p.Shape))
	}
}
