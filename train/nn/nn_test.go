package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"mien/runtime/model"
	"mien/train/arch"
)

// block is a network with every kind of kernel that the paper's has, small
// enough for tests.
func block() arch.Net {
	return small(13, 16,
		arch.Layer{Op: arch.Conv, Name: "c5", Out: 32, Kernel: 5},
		arch.Layer{Op: arch.ELU, Name: "e1"}, arch.Layer{Op: arch.BatchNorm, Name: "b1"},
		arch.Layer{Op: arch.MaxPool, Name: "p1", Kernel: 2, Stride: 2}, arch.Layer{Op: arch.Dropout, Name: "d1", Rate: 0.5},
		arch.Layer{Op: arch.Conv, Name: "c3", Out: 16, Kernel: 3},
		arch.Layer{Op: arch.Depthwise, Name: "dw", Kernel: 3}, arch.Layer{Op: arch.ReLU6, Name: "r"},
		arch.Layer{Op: arch.Flatten, Name: "flat"}, arch.Layer{Op: arch.Dense, Name: "fc", Out: 24},
		arch.Layer{Op: arch.BatchNorm, Name: "b2"}, arch.Layer{Op: arch.Dropout, Name: "d2", Rate: 0.3})
}

func mustNew(t *testing.T, a arch.Net, batch, threads int) *Net {
	t.Helper()
	return mustNewIn(t, Float32, a, batch, threads)
}

func mustNewIn(t *testing.T, p Precision, a arch.Net, batch, threads int) *Net {
	t.Helper()
	n, err := NewIn(p, a, batch, threads)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// train makes a few steps and returns all parameters and the last losses.
func train(t *testing.T, n *Net, batches []*Batch) ([]float32, float64) {
	t.Helper()
	adam, last := Adam{LR: 1e-3, WeightDecay: 0.01}, 0.0
	for i, b := range batches {
		l, err := n.Step(b, []float64{1, 0.5}, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		if err := adam.Step(n); err != nil {
			t.Fatal(err)
		}
		last = l.Total
	}
	var all []float32
	for _, p := range n.Params() {
		all = append(all, p.Value...)
	}
	return all, last
}

// TestThreads: the number of threads changes no bit of a trained network.
func TestThreads(t *testing.T) {
	for _, p := range []Precision{Float32, Bfloat16} {
		t.Run(p.String(), func(t *testing.T) { testThreads(t, p) })
	}
}

func testThreads(t *testing.T, p Precision) {
	rng := rand.New(rand.NewPCG(2, 2))
	a := block()
	var batches []*Batch
	for _, size := range []int{9, 9, 4, 1, 7} {
		batches = append(batches, randomBatch(rng, size, a.Heads))
	}
	var want []float32
	for _, threads := range []int{1, 2, 3, 7} {
		n := mustNewIn(t, p, a, 9, threads)
		n.Init(5)
		got, _ := train(t, n, batches)
		if want == nil {
			want = got
		}
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%d threads: value %d is %g, with one thread %g", threads, i, got[i], want[i])
			}
		}
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	for _, p := range []Precision{Float32, Bfloat16} {
		t.Run(p.String(), func(t *testing.T) { testAllocations(t, p) })
	}
}

func testAllocations(t *testing.T, p Precision) {
	n, adam, lw := mustNewIn(t, p, block(), 8, 2), Adam{}, []float64{1, 1}
	n.Init(1)
	b := randomBatch(rand.New(rand.NewPCG(3, 3)), 8, n.Arch.Heads)
	step := func() {
		if _, err := n.Step(b, lw, 1); err != nil {
			t.Fatal(err)
		}
		if err := adam.Step(n); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if allocs := testing.AllocsPerRun(10, step); allocs > 0 {
		t.Errorf("a step makes %g allocations", allocs)
	}
}

// TestLearns: a network learns pictures by heart, and Predict, with running
// statistics, then knows them as well.
func TestLearns(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	a := small(13, 16, arch.Layer{Op: arch.BatchNorm, Name: "bn"}, arch.Layer{Op: arch.ELU, Name: "e"},
		arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 2}, arch.Layer{Op: arch.Flatten, Name: "flat"})
	n := mustNew(t, a, 12, 2)
	n.Init(1)
	b := randomBatch(rng, 12, a.Heads)
	for k, h := range a.Heads {
		clear(b.Target[k])
		for i := range 12 {
			b.Target[k][i*len(h.Labels)+i%len(h.Labels)], b.Weight[k][i] = 1, 1
		}
	}
	adam := Adam{LR: 3e-3}
	var l Losses
	for i := range 400 {
		l, _ = n.Step(b, []float64{1, 1}, uint64(i))
		if err := adam.Step(n); err != nil {
			t.Fatal(err)
		}
	}
	if l.Total > 0.1 || l.Heads[0].Correct != 12 || l.Heads[0].Count != 12 {
		t.Errorf("after 400 steps on the same pictures: %+v", l)
	}
	logits := n.Predict(b.X, 12)
	for i := range 12 {
		if got := argmax(logits[0][i*7 : i*7+7]); got != i%7 {
			t.Errorf("picture %d is taken for %d, not %d", i, got, i%7)
		}
	}
}

// TestEdgeLearns: the whole residual network learns a batch.
func TestEdgeLearns(t *testing.T) {
	a := arch.Edge(model.Heads())
	n := mustNew(t, a, 6, 2)
	n.Init(1)
	b, lw, adam := randomBatch(rand.New(rand.NewPCG(5, 5)), 6, a.Heads), []float64{1, 1, 1, 1}, Adam{LR: 1e-3}
	first, err := n.Step(b, lw, 0)
	if err != nil {
		t.Fatal(err)
	}
	before, last := first.Total, first
	for i := range 25 {
		if err := adam.Step(n); err != nil {
			t.Fatal(err)
		}
		last, _ = n.Step(b, lw, uint64(i))
	}
	if !last.Finite() || last.Total > 0.8*before {
		t.Errorf("loss %g after 25 steps, %g before", last.Total, before)
	}
}

// TestPredict: more pictures than the batch, and the same logits alone.
func TestPredict(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	n := mustNew(t, block(), 4, 2)
	scatterParams(rng, n)
	x := randomBatch(rng, 11, n.Arch.Heads).X
	all := n.Predict(x, 11)
	for i := range 11 {
		alone := n.Predict(x[i*2500:], 1)
		for k, h := range n.Arch.Heads {
			c := len(h.Labels)
			if len(all[k]) != 11*c {
				t.Fatalf("%s: %d logits for 11 pictures", h.Name, len(all[k]))
			}
			for j := range c {
				if alone[k][j] != all[k][i*c+j] {
					t.Errorf("%s: picture %d alone %g, among others %g", h.Name, i, alone[k][j], all[k][i*c+j])
				}
			}
		}
	}
}

// TestDropout: the share that is dropped, that the key decides, and that the
// mean stays.
func TestDropout(t *testing.T) {
	const size = 100000
	draw := func(key uint64) []float32 {
		v := &tensor{h: 1, w: 1, c: size, data: make([]float32, size)}
		for i := range v.data {
			v.data[i] = 1
		}
		newDropout(v, 3, 0.4, newWorkers(1)).forward(&pass{n: 1, train: true, key: key})
		return v.data
	}
	a, b, again := draw(1), draw(2), draw(1)
	zeros, both, sum := 0, 0, 0.0
	for i := range a {
		if a[i] != again[i] {
			t.Fatalf("element %d differs with the same key", i)
		}
		if a[i] == 0 {
			zeros++
			if b[i] == 0 {
				both++
			}
		}
		sum += float64(a[i])
	}
	for what, p := range map[string][2]float64{"share": {float64(zeros) / size, 0.4}, "share of two keys": {float64(both) / size, 0.16}, "mean": {sum / size, 1}} {
		if math.Abs(p[0]-p[1]) > 0.008 {
			t.Errorf("%s is %.4f, want %.4f", what, p[0], p[1])
		}
	}
}

func TestInit(t *testing.T) {
	a, b := mustNew(t, arch.Paper(model.Heads()), 1, 1), mustNew(t, arch.Paper(model.Heads()), 1, 1)
	a.Init(7)
	b.Init(8)
	for i, p := range a.Params() {
		sum, sq, same, top := 0.0, 0.0, 0, 0.0
		for j, v := range p.Value {
			sum += float64(v)
			sq += float64(v) * float64(v)
			top = max(top, math.Abs(float64(v)))
			if v == b.Params()[i].Value[j] {
				same++
			}
		}
		n := float64(len(p.Value))
		switch {
		case len(p.Shape) > 1:
			fan := n / float64(p.Shape[0])
			want := math.Sqrt(2 / fan)
			if sigma := math.Sqrt(sq / n); math.Abs(sigma-want) > 0.1*want || math.Abs(sum/n) > 4*want/math.Sqrt(n) || top > 2.3*want {
				t.Errorf("%s: deviation %.4f, mean %.5f, largest %.4f; he_normal's deviation is %.4f", p.Name, sigma, sum/n, top, want)
			}
			if same > len(p.Value)/100 {
				t.Errorf("%s: another seed gives the same values", p.Name)
			}
		case strings.HasPrefix(p.Name, "bn") && !strings.HasSuffix(p.Name, "bias") && !strings.HasSuffix(p.Name, "mean"):
			if sum != n {
				t.Errorf("%s starts with mean %g, want 1", p.Name, sum/n)
			}
		default:
			if sq != 0 {
				t.Errorf("%s does not start at zero", p.Name)
			}
		}
	}
}

// TestNames: parameters are named, ordered and shaped as PyTorch users expect.
func TestNames(t *testing.T) {
	var got []string
	total := 0
	for _, p := range mustNew(t, arch.Paper(model.Heads()), 1, 1).Params() {
		got = append(got, fmt.Sprint(p.Name, p.Shape))
		if p.Grad != nil {
			total += len(p.Value)
		}
	}
	text := strings.Join(got, " ")
	for _, want := range []string{"conv1.weight[64 1 5 5] conv1.bias[64] bn1.weight[64] bn1.bias[64] bn1.running_mean[64] bn1.running_var[64] conv2.weight[64 64 5 5]",
		"conv6.weight[256 256 3 3]", "dense.weight[128 9216] dense.bias[128] bn7.weight[128]", "emotion.weight[7 128] emotion.bias[7] gender.weight[3 128]", "age.weight[5 128] age.bias[5]"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if total < 2_350_000 || total > 2_450_000 {
		t.Errorf("%d parameters, the paper's network has 2.4 million", total)
	}
}

func TestNonFinite(t *testing.T) {
	n := mustNew(t, block(), 4, 2)
	n.Init(1)
	b := randomBatch(rand.New(rand.NewPCG(9, 9)), 4, n.Arch.Heads)
	l, err := n.Step(b, []float64{1, 1}, 1)
	if err != nil || !l.Finite() || n.NonFinite() != "" {
		t.Fatalf("a sound step: %v, %+v, non-finite in %q", err, l, n.NonFinite())
	}
	for _, p := range n.Params() {
		if p.Name == "c3.bias" {
			p.Value[3] = float32(math.NaN())
		}
	}
	if l, _ = n.Step(b, []float64{1, 1}, 1); l.Finite() || n.NonFinite() != "c3" {
		t.Errorf("with a NaN in c3: total %g, non-finite in %q", l.Total, n.NonFinite())
	}
}

// TestAdam holds the optimiser against the formula in float64.
func TestAdam(t *testing.T) {
	n := mustNew(t, small(5, 3, arch.Layer{Op: arch.Flatten, Name: "flat"}), 2, 2)
	rng := rand.New(rand.NewPCG(10, 10))
	scatterParams(rng, n)
	a := Adam{LR: 0.01, WeightDecay: 0.1}
	p := n.Params()[0]
	w, m, v := make([]float64, len(p.Value)), make([]float64, len(p.Value)), make([]float64, len(p.Value))
	for i, x := range p.Value {
		w[i] = float64(x)
	}
	for step := 1; step <= 5; step++ {
		for i := range w {
			g := rng.NormFloat64()
			p.Grad[i] = float32(g)
			m[i] = 0.9*m[i] + 0.1*g
			v[i] = 0.999*v[i] + 0.001*g*g
			up := m[i] / (1 - math.Pow(0.9, float64(step)))
			down := math.Sqrt(v[i]/(1-math.Pow(0.999, float64(step)))) + 1e-7
			w[i] -= 0.01 * 0.1 * w[i]
			w[i] -= 0.01 * up / down
		}
		if err := a.Step(n); err != nil {
			t.Fatal(err)
		}
	}
	for i := range w {
		if math.Abs(w[i]-float64(p.Value[i])) > 1e-5 {
			t.Fatalf("value %d is %g after 5 steps, want %g", i, p.Value[i], w[i])
		}
	}
	if a.T != 5 || math.Abs(float64(a.M[0][1])-m[1]) > 1e-6 || math.Abs(float64(a.V[0][1])-v[1]) > 1e-6 {
		t.Errorf("state %d, %g, %g; want 5, %g, %g", a.T, a.M[0][1], a.V[0][1], m[1], v[1])
	}
	a.M[0] = a.M[0][1:]
	if err := a.Step(n); err == nil || !strings.Contains(err.Error(), p.Name) {
		t.Errorf("a state of the wrong size: %v", err)
	}
}

// TestBadNetworks: what cannot run is an error that names the layer.
func TestBadNetworks(t *testing.T) {
	flat := arch.Layer{Op: arch.Flatten, Name: "flat"}
	for want, a := range map[string]arch.Net{
		"layer 2 (conv c)":         small(5, 3, arch.Layer{Op: arch.Conv, Name: "c", Kernel: 3}, flat),
		"layer 2 (depthwise d)":    small(5, 3, arch.Layer{Op: arch.Depthwise, Name: "d"}, flat),
		"layer 3 (dense fc)":       small(5, 3, flat, arch.Layer{Op: arch.Dense, Name: "fc"}),
		"layer 2 (dropout d)":      small(5, 3, arch.Layer{Op: arch.Dropout, Name: "d", Rate: 1}, flat),
		"layer 2 (maxpool p)":      small(5, 3, arch.Layer{Op: arch.MaxPool, Name: "p", Kernel: 9}, flat),
		"layer 2 (swish s)":        small(5, 3, arch.Layer{Op: "swish", Name: "s"}, flat),
		"no layer \"nowhere\"":     small(5, 3, arch.Layer{Op: arch.Add, Name: "a", With: "nowhere"}, flat),
		"adds 5x5x3 and 50x50x1":   small(5, 3, arch.Layer{Op: arch.Add, Name: "a", With: "input"}, flat),
		"the name \"first\"":       small(5, 3, arch.Layer{Op: arch.ReLU, Name: "first"}, flat),
		"the heads need":           small(5, 3),
		"nothing reads its output": small(5, 3, arch.Layer{Op: arch.ReLU, Name: "r", Input: "input"}, flat),
		"batch norm of the pict":   {Name: "x", Heads: []model.Head{model.Age}, Body: []arch.Layer{{Op: arch.BatchNorm, Name: "b"}, flat}},
	} {
		if _, err := New(a, 2, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if _, err := New(arch.Paper(model.Heads()), 0, 1); err == nil {
		t.Error("a batch of 0 is accepted")
	}
}

func TestBadBatches(t *testing.T) {
	n := mustNew(t, small(5, 3, arch.Layer{Op: arch.Flatten, Name: "flat"}), 4, 1)
	for name, spoil := range map[string]func(b *Batch) []float64{
		"too many pictures": func(b *Batch) []float64 { b.N = 5; return []float64{1, 1} },
		"no pictures":       func(b *Batch) []float64 { b.N = 0; return []float64{1, 1} },
		"too few pixels":    func(b *Batch) []float64 { b.X = b.X[1:]; return []float64{1, 1} },
		"a missing head":    func(b *Batch) []float64 { b.Target = b.Target[1:]; return []float64{1, 1} },
		"too few targets":   func(b *Batch) []float64 { b.Target[1] = b.Target[1][1:]; return []float64{1, 1} },
		"too few weights":   func(b *Batch) []float64 { b.Weight[0] = nil; return []float64{1, 1} },
		"one loss weight":   func(b *Batch) []float64 { return []float64{1} },
	} {
		b := randomBatch(rand.New(rand.NewPCG(1, 1)), 4, n.Arch.Heads)
		if _, err := n.Step(b, spoil(b), 1); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
