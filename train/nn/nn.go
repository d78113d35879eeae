// Package nn runs and trains the networks of train/arch: forward, backward
// and the optimiser, on the CPU, in float32.
//
// Products of matrices go through gonum's blas32, which gets a faster Sgemm
// from the first New on.
//
// Activations are kept picture by picture with the channels innermost (NHWC);
// parameters have PyTorch's names and shapes (OIHW), so that a checkpoint is
// read by its users. Results do not depend on the number of threads, and a
// step allocates nothing.
package nn

import (
	"fmt"
	"math"

	"mien/runtime/face/filter"
	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/nn/internal/kernel"
)

// Param is one parameter, or what has no gradient: a running statistic, or a
// parameter of a frozen layer.
type Param struct {
	Name  string
	Shape []int
	Value []float32
	Grad  []float32 // of the last Step; nil where nothing is learned
}

// Batch is what a network learns from. Target and Weight go head by head in
// the network's order: soft targets, N rows of one value for each label, and
// one weight for each picture, 0 where the label is not known.
type Batch struct {
	N      int
	X      []float32 // N*2500 in [0,1]: faces, which the network filters itself
	Target [][]float32
	Weight [][]float32
}

// HeadLoss is how one head did on a batch.
type HeadLoss struct {
	Head   string
	Loss   float64 // sum(w*crossEntropy) / sum(w); 0 when no picture counts
	Weight float64 // sum(w)
	Count  int     // pictures with w > 0
	// Correct are those of them whose largest logit is at the largest target; of a
	// head that measures it adds up how much of the scale each was not off.
	Correct float64
}

// Losses is how a batch went.
type Losses struct {
	Total float64    // sum over the heads of loss weight times Loss
	Heads []HeadLoss // overwritten by the next Step
}

// Finite reports whether the total is a number; where it is not, ask
// Net.NonFinite for the layer.
func (l Losses) Finite() bool { return !math.IsNaN(l.Total) && !math.IsInf(l.Total, 0) }

// Net is a network with the memory for one batch. It is not for concurrent
// use.
type Net struct {
	Arch    arch.Net
	batch   int
	work    *workers
	picture *tensor
	filters []*filter.Filter // one a worker; nil where the network has none
	filterF func(worker, i int)
	body    []layer
	frozen  int // so many of the body's need no gradient

	freezing bool // while frozen layers are built
	probes   []probe
	top      *tensor
	heads    []*head
	params   []Param
	losses   []HeadLoss
	grads    [][]float32 // of the logits
	pass     pass

	adam         kernel.AdamStep
	adamP        *Param
	adamM, adamV []float32
	adamF        func(worker, i int)
}

// probe is a layer's output, to find where a NaN came from.
type probe struct {
	name string
	t    *tensor
}

// New makes a network for batches of at most batch pictures, which computes
// on that number of threads, in float32. Its parameters are zero until Init.
func New(net arch.Net, batch, threads int) (*Net, error) {
	return NewIn(Float32, net, batch, threads)
}

// NewIn is New for convolutions of any precision.
func NewIn(p Precision, net arch.Net, batch, threads int) (*Net, error) {
	if batch < 1 || threads < 1 {
		return nil, fmt.Errorf("nn: %s: batch %d and threads %d must be at least 1", net.Name, batch, threads)
	}
	useKernels()
	n := &Net{Arch: net, batch: batch, work: newWorkers(threads)}
	n.adamF, n.filterF = n.adamPart, n.filterPart
	if net.Filter != model.NoFilter {
		for range threads {
			f, err := filter.New(net.Filter)
			if err != nil {
				return nil, fmt.Errorf("nn: %s: %w", net.Name, err)
			}
			n.filters = append(n.filters, f)
		}
	}
	b := builder{net: n, precision: p, named: map[string]int{}}
	if err := b.build(); err != nil {
		return nil, fmt.Errorf("nn: %s: %w", net.Name, err)
	}
	return n, nil
}

// Params returns the parameters in the order of the layers. They share the
// network's memory: writing a Value changes the network.
func (n *Net) Params() []Param { return n.params }

// Step computes the losses of a batch and the gradient of their sum, each
// times its loss weight, in Params. Dropout depends on key alone; running
// statistics move. It changes no weight: that is Adam's part.
func (n *Net) Step(b *Batch, lossWeights []float64, key uint64) (Losses, error) {
	if err := n.check(b, lossWeights); err != nil {
		return Losses{}, err
	}
	n.forward(b.X, pass{n: b.N, train: true, key: key})
	clear(n.top.grad[:b.N*n.top.size()])
	l := Losses{Heads: n.losses}
	for i, h := range n.heads {
		n.losses[i] = h.loss(b.N, b.Target[i], b.Weight[i], n.grads[i], lossWeights[i])
		h.backward(b.N, n.grads[i])
		l.Total += lossWeights[i] * n.losses[i].Loss
	}
	for i := len(n.body) - 1; i >= n.frozen; i-- {
		n.body[i].backward(&n.pass)
	}
	return l, nil
}

func (n *Net) check(b *Batch, lossWeights []float64) error {
	if b.N < 1 || b.N > n.batch {
		return fmt.Errorf("nn: a batch of %d, the network was made for 1 to %d", b.N, n.batch)
	}
	if len(b.X) < b.N*n.picture.size() {
		return fmt.Errorf("nn: %d pixels for %d pictures of %d", len(b.X), b.N, n.picture.size())
	}
	if len(b.Target) != len(n.heads) || len(b.Weight) != len(n.heads) || len(lossWeights) != len(n.heads) {
		return fmt.Errorf("nn: targets, weights and loss weights of %d, %d and %d heads, not %d",
			len(b.Target), len(b.Weight), len(lossWeights), len(n.heads))
	}
	for i, h := range n.heads {
		if len(b.Target[i]) < b.N*len(h.Labels) || len(b.Weight[i]) < b.N {
			return fmt.Errorf("nn: head %s: %d targets and %d weights for %d pictures", h.Name, len(b.Target[i]), len(b.Weight[i]), b.N)
		}
	}
	return nil
}

func (n *Net) forward(x []float32, p pass) {
	n.pass = p
	copy(n.picture.data, x[:p.n*n.picture.size()])
	if n.filters != nil {
		n.work.run(p.n, n.filterF)
	}
	for _, l := range n.body {
		l.forward(&n.pass)
	}
	for _, h := range n.heads {
		h.forward(p.n)
	}
}

// filterPart filters picture i.
func (n *Net) filterPart(worker, i int) {
	size := n.picture.size()
	n.filters[worker].Values(n.picture.data[i*size:][:size])
}

// Predict returns the logits of n pictures, head by head, n rows of one value
// for each label. It uses the running statistics and drops nothing; a
// picture's logits do not depend on its neighbours.
func (n *Net) Predict(x []float32, count int) [][]float32 {
	logits := make([][]float32, len(n.heads))
	size := n.picture.size()
	for lo := 0; lo < count; lo += n.batch {
		m := min(n.batch, count-lo)
		n.forward(x[lo*size:], pass{n: m})
		for i, h := range n.heads {
			logits[i] = append(logits[i], h.logits[:m*len(h.Labels)]...)
		}
	}
	return logits
}

// Logits returns the logits of the last Step's batch for one head, in place.
func (n *Net) Logits(head int) []float32 {
	h := n.heads[head]
	return h.logits[:n.pass.n*len(h.Labels)]
}

// Pull returns the norm of the gradient of one head's loss, times its loss
// weight, at the layer that the heads share, in the last Step.
func (n *Net) Pull(head int) float64 { return n.heads[head].pull(n.pass.n, n.grads[head]) }

// NonFinite names the first layer whose output in the last pass holds a NaN
// or an infinity, or "" when there is none.
func (n *Net) NonFinite() string {
	for _, p := range n.probes {
		if !finite(p.t.data[:n.pass.n*p.t.size()]) {
			return p.name
		}
	}
	for _, h := range n.heads {
		if !finite(h.logits[:n.pass.n*len(h.Labels)]) {
			return h.Name
		}
	}
	return ""
}

func finite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// param makes a parameter; a running statistic has no gradient, nor has what
// belongs to a frozen layer.
func (n *Net) param(name string, grad bool, shape ...int) *Param {
	size := 1
	for _, d := range shape {
		size *= d
	}
	p := &Param{Name: name, Shape: shape, Value: make([]float32, size)}
	if grad && !n.freezing {
		p.Grad = make([]float32, size)
	}
	n.params = append(n.params, *p) // the slices are shared
	return p
}
