package nn

import (
	"math"

	"mien/train/nn/internal/kernel"
)

// Keras's batch normalisation: running = 0.99*running + 0.01*batch. The
// running variance takes the unbiased estimate, as PyTorch's does.
const (
	normEps      = 1e-3
	normMomentum = 0.01
)

// norm is batch normalisation over pictures and pixels. Its input's gradient
// lies in the memory of its output's.
type norm struct {
	in, out         *tensor
	gamma, beta     *Param
	mean, variance  *Param // running
	work            *workers
	part            []float32 // two sums for every picture
	mu              []float32
	a, b, d         []float32 // coefficients of the affine passes
	inv             []float64
	stats, apply    func(worker, i int)
	dstats, applyBw func(worker, i int)
}

func newNorm(batch int, in, out *tensor, gamma, beta, mean, variance *Param, work *workers) *norm {
	c := in.c
	n := &norm{in: in, out: out, gamma: gamma, beta: beta, mean: mean, variance: variance, work: work,
		part: make([]float32, batch*2*c), mu: make([]float32, c), inv: make([]float64, c),
		a: make([]float32, c), b: make([]float32, c), d: make([]float32, c)}
	n.stats, n.apply, n.dstats, n.applyBw = n.statsImage, n.applyImage, n.gradStatsImage, n.gradImage
	return n
}

func (n *norm) forward(p *pass) {
	if p.train {
		clear(n.part[:p.n*2*n.in.c])
		n.work.run(p.n, n.stats)
		n.finish(p.n)
	} else {
		for j, v := range n.variance.Value {
			n.coefficients(j, float64(n.mean.Value[j]), float64(v))
		}
	}
	n.work.run(p.n, n.apply)
}

func (n *norm) sums(i int) (a, b []float32) {
	c := n.in.c
	s := n.part[i*2*c:]
	return s[:c], s[c : 2*c]
}

// statsImage measures about the running mean, which is near the batch's, so
// that little is lost when the square of the mean is subtracted.
func (n *norm) statsImage(_, i int) {
	sum, sq := n.sums(i)
	kernel.Moments(sum, sq, n.in.image(i), n.mean.Value)
}

func (n *norm) finish(images int) {
	count := float64(images * n.in.h * n.in.w)
	for j := range n.mu {
		sum, sq := n.total(images, j)
		off := sum / count
		variance := max(sq/count-off*off, 0)
		mean := float64(n.mean.Value[j]) + off
		n.coefficients(j, mean, variance)
		unbiased := variance
		if count > 1 {
			unbiased *= count / (count - 1)
		}
		n.mean.Value[j] += normMomentum * float32(mean-float64(n.mean.Value[j]))
		n.variance.Value[j] += normMomentum * float32(unbiased-float64(n.variance.Value[j]))
	}
}

func (n *norm) total(images, j int) (a, b float64) {
	for i := range images {
		x, y := n.sums(i)
		a += float64(x[j])
		b += float64(y[j])
	}
	return a, b
}

func (n *norm) coefficients(j int, mean, variance float64) {
	inv := 1 / math.Sqrt(variance+normEps)
	scale := float64(n.gamma.Value[j]) * inv
	n.inv[j], n.mu[j] = inv, float32(mean)
	n.a[j], n.d[j] = float32(scale), float32(float64(n.beta.Value[j])-mean*scale)
}

func (n *norm) applyImage(_, i int) {
	kernel.Affine(n.out.image(i), n.in.image(i), n.a, n.d)
}

// backward: with u the normalised input and m the count of values,
// dx = gamma/sigma * (dy - mean(dy) - u*mean(dy*u)).
func (n *norm) backward(p *pass) {
	clear(n.part[:p.n*2*n.in.c])
	n.work.run(p.n, n.dstats)
	count := float64(p.n * n.in.h * n.in.w)
	for j := range n.mu {
		sum, dot := n.total(p.n, j)
		dot *= n.inv[j]
		n.beta.Grad[j], n.gamma.Grad[j] = float32(sum), float32(dot)
		a := float64(n.gamma.Value[j]) * n.inv[j]
		b := -a * n.inv[j] * dot / count
		n.a[j], n.b[j] = float32(a), float32(b)
		n.d[j] = float32(-a*sum/count - b*float64(n.mu[j]))
	}
	n.work.run(p.n, n.applyBw)
}

func (n *norm) gradStatsImage(_, i int) {
	sum, dot := n.sums(i)
	kernel.GradMoments(sum, dot, n.out.imageGrad(i), n.in.image(i), n.mu)
}

func (n *norm) gradImage(_, i int) {
	kernel.Affine2(n.out.imageGrad(i), n.in.image(i), n.a, n.b, n.d)
}
