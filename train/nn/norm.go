package nn

import (
	"math"

	"mien/train/arch"
	"mien/train/nn/internal/kernel"
)

// Keras's batch normalisation: running = 0.99*running + 0.01*batch. The
// running variance takes the unbiased estimate, as PyTorch's does.
const normMomentum = 0.01

// norm is batch normalisation over pictures and pixels. Its input's gradient
// lies in the memory of its output's.
type norm struct {
	in, out         *tensor
	gamma, beta     *Param
	mean, variance  *Param // running
	work            *workers
	part            []float64   // two sums for every picture
	run             [][]float32 // a worker's two sums of a few rows
	mu              []float32
	a, b, d         []float32 // coefficients of the affine passes
	inv             []float64
	pool            *maxPool // that does the norm's work forward, or nil
	elu             bool     // the input is ELU's output: backward goes through it, too
	frozen          bool     // see arch.Layer
	relu            *relu    // of the output, whose work the norm does, or nil
	stats, apply    func(worker, i int)
	dstats, applyBw func(worker, i int)
}

func newNorm(batch int, in, out *tensor, gamma, beta, mean, variance *Param, work *workers) *norm {
	c := in.c
	n := &norm{in: in, out: out, gamma: gamma, beta: beta, mean: mean, variance: variance, work: work,
		part: make([]float64, batch*2*c), mu: make([]float32, c), inv: make([]float64, c),
		a: make([]float32, c), b: make([]float32, c), d: make([]float32, c)}
	for range work.n {
		n.run = append(n.run, make([]float32, 2*c))
	}
	n.stats, n.apply, n.dstats, n.applyBw = n.statsImage, n.applyImage, n.gradStatsImage, n.gradImage
	return n
}

func (n *norm) forward(p *pass) {
	if p.train && !n.frozen {
		n.work.run(p.n, n.stats)
		n.finish(p.n)
	} else {
		for j, v := range n.variance.Value {
			n.coefficients(j, float64(n.mean.Value[j]), float64(v))
		}
	}
	if n.pool == nil {
		n.work.run(p.n, n.apply)
	}
}

// sumRun is how many rows are summed in float32 before float64 takes over.
const sumRun = 32

// sums adds up a picture's two sums, of which each part does a few rows.
func (n *norm) sums(worker, i, parts int, part func(k int, a, b []float32)) {
	c := n.in.c
	run, total := n.run[worker], n.part[i*2*c:(i+1)*2*c]
	clear(total)
	for k := range parts {
		clear(run)
		part(k, run[:c], run[c:])
		for j, v := range run {
			total[j] += float64(v)
		}
	}
}

// runs is in how many parts sums adds up a picture, slice one of them.
func (n *norm) runs() int { return ceil(n.in.h*n.in.w, sumRun) }

func (n *norm) slice(x []float32, k int) []float32 {
	return x[k*sumRun*n.in.c : min((k+1)*sumRun*n.in.c, len(x))]
}

// statsImage measures about the running mean, which is near the batch's, so
// that little is lost when the square of the mean is subtracted.
func (n *norm) statsImage(worker, i int) {
	x := n.in.image(i)
	n.sums(worker, i, n.runs(), func(k int, sum, sq []float32) {
		kernel.Moments(sum, sq, n.slice(x, k), n.mean.Value)
	})
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
		a += n.part[2*i*n.in.c+j]
		b += n.part[(2*i+1)*n.in.c+j]
	}
	return a, b
}

func (n *norm) coefficients(j int, mean, variance float64) {
	inv := 1 / math.Sqrt(variance+arch.NormEpsilon)
	scale := float64(n.gamma.Value[j]) * inv
	n.inv[j], n.mu[j] = inv, float32(mean)
	n.a[j], n.d[j] = float32(scale), float32(float64(n.beta.Value[j])-mean*scale)
}

func (n *norm) applyImage(_, i int) {
	y, x := n.out.image(i), n.in.image(i)
	for k := range n.runs() {
		kernel.Affine(n.slice(y, k), n.slice(x, k), n.a, n.d)
		if n.relu != nil {
			kernel.Clamp(n.slice(y, k), n.relu.limit)
		}
	}
}

// backward: with u the normalised input and m the count of values,
// dx = gamma/sigma * (dy - mean(dy) - u*mean(dy*u)); the means are those of the
// batch's statistics, and not there when it is frozen.
func (n *norm) backward(p *pass) {
	n.work.run(p.n, n.dstats)
	count := float64(p.n * n.in.h * n.in.w)
	for j := range n.mu {
		sum, dot := n.total(p.n, j)
		dot *= n.inv[j]
		n.beta.Grad[j], n.gamma.Grad[j] = float32(sum), float32(dot)
		a := float64(n.gamma.Value[j]) * n.inv[j]
		if n.frozen {
			n.a[j], n.b[j], n.d[j] = float32(a), 0, 0
			continue
		}
		b := -a * n.inv[j] * dot / count
		n.a[j], n.b[j] = float32(a), float32(b)
		n.d[j] = float32(-a*sum/count - b*float64(n.mu[j]))
	}
	n.work.run(p.n, n.applyBw)
}

func (n *norm) gradStatsImage(worker, i int) {
	x, g := n.in.image(i), n.out.imageGrad(i)
	if m := n.pool; m != nil {
		dy, s := m.out.imageGrad(i), m.stride()
		n.sums(worker, i, m.g.h, func(r int, sum, dot []float32) {
			kernel.NormPoolMoments(sum, dot, m.row(dy, r), x[2*r*s:], n.mu, n.a, s)
		})
		return
	}
	y := n.out.image(i)
	n.sums(worker, i, n.runs(), func(k int, sum, dot []float32) {
		if n.relu != nil {
			kernel.ClampGrad(n.slice(g, k), n.slice(y, k), n.relu.limit)
		}
		kernel.GradMoments(sum, dot, n.slice(g, k), n.slice(x, k), n.mu)
	})
}

func (n *norm) gradImage(_, i int) {
	g, x := n.out.imageGrad(i), n.in.image(i)
	if n.pool != nil {
		n.pool.gradPairs(i, n.a, n.b, n.d)
	}
	for k := range n.runs() {
		if n.pool == nil {
			kernel.Affine2(n.slice(g, k), n.slice(x, k), n.a, n.b, n.d)
		}
		if n.elu {
			kernel.ELUGrad(n.slice(g, k), n.slice(x, k))
		}
	}
}
