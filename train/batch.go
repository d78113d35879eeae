package train

import (
	"math"
	"math/rand/v2"
	"slices"

	"mien/runtime/model"
	"mien/train/data"
	"mien/train/nn"
)

// batcher makes batches of a recipe. What it makes depends on the recipe and
// the place in the run alone, never on what it made before.
type batcher struct {
	recipe  *Recipe
	heads   []head
	samples []data.Sample
	classes [][]float32 // weight of each label of each head
	spots   []*spot

	pass  uint64 // that order is of; order nil: none yet
	order []int32
	batch batch
	warp  warp
	other []float32
}

// batch is a batch and what its pictures are.
type batch struct {
	nn.Batch
	views []int // numbers of the pictures' views, when the recipe has a finite number
}

// head is a head of the network and its place in the labels of the samples.
type head struct {
	model.Head
	at int
}

func newBatcher(r *Recipe, heads []head, samples []data.Sample) *batcher {
	b := &batcher{recipe: r, heads: heads, samples: samples, other: make([]float32, data.Pixels)}
	b.batch.X = make([]float32, r.Batch*data.Pixels)
	for _, h := range heads {
		b.batch.Target = append(b.batch.Target, make([]float32, r.Batch*len(h.Labels)))
		b.batch.Weight = append(b.batch.Weight, make([]float32, r.Batch))
		b.classes = append(b.classes, classWeights(h, samples, r.Balance))
	}
	b.spots = spotsOf(heads)
	return b
}

// classWeights are (mean count / count)^balance; 1 for a label without
// samples.
func classWeights(h head, samples []data.Sample, balance float64) []float32 {
	count := make([]float64, len(h.Labels))
	var total, present float64
	for i := range samples {
		if l := samples[i].Labels[h.at]; l >= 0 {
			count[l]++
			total++
		}
	}
	for _, c := range count {
		if c > 0 {
			present++
		}
	}
	out := make([]float32, len(count))
	for i, c := range count {
		out[i] = 1
		if c > 0 {
			out[i] = float32(math.Pow(total/present/c, balance))
		}
	}
	return out
}

// at makes the batch of n images from position pos on in the endless stream
// of epochs, each with the samples in an order of its own.
func (b *batcher) at(pos uint64, n int) *batch {
	b.batch.N, b.batch.views = n, b.batch.views[:0]
	for _, w := range b.batch.Weight {
		clear(w[:n])
	}
	for i, t := range b.batch.Target {
		clear(t[:n*len(b.heads[i].Labels)])
	}
	for i := range n {
		pass, s := b.sample(pos + uint64(i))
		view := pass
		if k := uint64(b.recipe.Views); k > 0 {
			view %= k
			b.batch.views = append(b.batch.views, int(view)*len(b.samples)+int(s))
		}
		rng := rand.New(rand.NewPCG(b.recipe.Seed^0x6175676d656e74, view<<32|uint64(s)))
		b.fill(i, s, 1, rng)
		if b.recipe.Mixup > 0 {
			b.mixup(i, rng)
		}
	}
	b.normalise(n)
	return &b.batch
}

// ahead makes the next batch while the network learns from this one.
type ahead struct {
	makers [2]*batcher // in turns, since each has memory for one batch
	turn   int
	made   chan *batch
	flying bool // the batch of n images from pos on is being made
	pos    uint64
	n      int
}

func newAhead(r *Recipe, heads []head, samples []data.Sample) *ahead {
	return &ahead{makers: [2]*batcher{newBatcher(r, heads, samples), newBatcher(r, heads, samples)}, made: make(chan *batch, 1)}
}

// at is batcher.at, and begins with the next batch, of next images. The batch
// is good until the next call.
func (a *ahead) at(pos uint64, n, next int) *batch {
	var b *batch
	if a.flying {
		b = <-a.made
	}
	if !a.flying || a.pos != pos || a.n != n {
		b = a.makers[a.turn].at(pos, n)
	}
	a.turn = 1 - a.turn
	a.flying, a.pos, a.n = true, pos+uint64(n), next
	m := a.makers[a.turn]
	go func() { a.made <- m.at(pos+uint64(n), next) }()
	return b
}

// stop waits for the batch that nobody will ask for.
func (a *ahead) stop() {
	if a.flying {
		<-a.made
		a.flying = false
	}
}

// sample returns the pass and the sample at a position of the stream.
func (b *batcher) sample(pos uint64) (pass uint64, index int32) {
	n := uint64(len(b.samples))
	pass = pos / n
	if b.order == nil || b.pass != pass {
		b.pass, b.order = pass, shuffled(len(b.samples), b.recipe.Seed, pass)
	}
	return pass, b.order[pos%n]
}

func shuffled(n int, seed, pass uint64) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	rng := rand.New(rand.NewPCG(seed, pass))
	rng.Shuffle(n, func(i, k int) { order[i], order[k] = order[k], order[i] })
	return order
}

// fill writes sample s as picture i and adds its labels with weight w.
func (b *batcher) fill(i int, s int32, w float32, rng *rand.Rand) {
	x := &b.samples[s]
	dst := b.batch.X[i*data.Pixels:][:data.Pixels]
	b.warp.apply(dst, x.Face, &b.recipe.Augment, rng)
	b.label(i, x, w)
}

// label adds w times the class weight to the target of each labelled head.
func (b *batcher) label(i int, x *data.Sample, w float32) {
	for _, s := range b.spots {
		s.label(b, i, x, w)
	}
	for k, h := range b.heads {
		if !x.Answers(h.at) || slices.ContainsFunc(b.spots, func(s *spot) bool { return s.of(k) }) {
			continue
		}
		l := x.Labels[h.at]
		w := w
		if l != data.NoLabel {
			w *= b.classes[k][l]
		}
		n := len(h.Labels)
		row := b.batch.Target[k][i*n:][:n]
		smooth := float32(b.recipe.Smoothing)
		if h.Measures() {
			smooth = 0 // it would draw every number to the middle
		}
		for j := range row {
			row[j] += w * smooth / float32(n)
		}
		if x.Soft != nil && x.Soft[h.at] != nil {
			for j, p := range x.Soft[h.at] {
				row[j] += w * (1 - smooth) * p
			}
		} else {
			row[l] += w * (1 - smooth)
		}
		b.batch.Weight[k][i] += w
	}
}

// mixup blends another sample into picture i (Zhang et al. 2018, arXiv
// 1710.09412). A head that only one of the two answers keeps that answer at
// its share of the weight.
func (b *batcher) mixup(i int, rng *rand.Rand) {
	lambda := float32(beta(b.recipe.Mixup, rng))
	other := &b.samples[rng.IntN(len(b.samples))]
	b.warp.apply(b.other, other.Face, &b.recipe.Augment, rng)
	for k, v := range b.other {
		p := &b.batch.X[i*data.Pixels+k]
		*p = lambda**p + (1-lambda)*v
	}
	for k, h := range b.heads {
		n := len(h.Labels)
		for j := range n {
			b.batch.Target[k][i*n+j] *= lambda
		}
		b.batch.Weight[k][i] *= lambda
	}
	b.label(i, other, 1-lambda)
}

// beta draws from Beta(a, a), as the share of one of two Gamma(a) variates.
func beta(a float64, rng *rand.Rand) float64 {
	x, y := gamma(a, rng), gamma(a, rng)
	if x+y == 0 {
		return 1
	}
	return x / (x + y)
}

// gamma draws from Gamma(a, 1) by Marsaglia and Tsang 2000.
func gamma(a float64, rng *rand.Rand) float64 {
	if a < 1 {
		return gamma(a+1, rng) * math.Pow(1-rng.Float64(), 1/a)
	}
	d := a - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if u := 1 - rng.Float64(); math.Log(u) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// normalise makes every target row with a weight sum to 1.
func (b *batcher) normalise(n int) {
	for k, h := range b.heads {
		for i := range n {
			if w := b.batch.Weight[k][i]; w > 0 && w != 1 {
				row := b.batch.Target[k][i*len(h.Labels):][:len(h.Labels)]
				for j := range row {
					row[j] /= w
				}
			}
		}
	}
}

// pixels writes a face as the network sees it.
func pixels(dst []float32, face []uint8) {
	for i, v := range face {
		dst[i] = float32(v) / 255
	}
}
