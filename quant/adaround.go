package quant

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"

	"gonum.org/v1/gonum/blas/blas32"

	"mien/runtime/graph"
	"mien/runtime/portable"
)

// Sizes of what AdaRound looks at.
const (
	roundInputs  = 256
	roundSamples = 1024 // places in pictures for each convolution
	roundSweeps  = 4
)

// AdaRound sets the plan's Rounding: each int8 weight goes up or down such
// that its layer computes what it computed in float, instead of to the nearest
// integer. The objective is that of Nagel et al. 2020, "Up or down? Adaptive
// rounding for post-training quantization" (eq. 13, a quadratic form of the
// rounding errors in the second moments of the layer's input); it is descended
// weight by weight instead of by their relaxation, which needs no rates or
// schedules and takes seconds. As there are more weights in a row than samples,
// the second moments are shrunk towards their diagonal.
//
// Depthwise layers are left alone: their filters are too small to gain.
func AdaRound(ctx context.Context, g *graph.Graph, p *Plan, samples Samples, o Options) error {
	samples = Spread(samples, roundInputs)
	var all []*columns
	for _, op := range g.Ops {
		if op.Kind != graph.Conv2D && op.Kind != graph.FullyConnected {
			continue
		}
		tp := p.Tensor(g.Tensors[op.Inputs[1]].Name)
		if tp == nil || tp.Type != graph.Int8.String() || tp.Role != Weight {
			continue
		}
		c := newColumns(g, op, tp, samples.Len())
		c.levels = p.Recipe.Levels()
		all = append(all, c)
	}
	tick := o.ticker(samples.Len() + len(all))
	err := runSamples(ctx, g, samples, o.threads(samples.Len()), func(i int, s *portable.Session) error {
		for k, c := range all {
			c.fill(i, s.Float32(c.op.Inputs[0]), rand.New(rand.NewPCG(uint64(i), uint64(k))))
		}
		tick()
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.round(g, o.threads(64)); err != nil {
			return err
		}
		tick()
	}
	return nil
}

// columns are samples of what a layer's filters are multiplied with: x holds,
// for each weight of a filter, one value per sample.
type columns struct {
	op      *graph.Op
	plan    *TensorPlan
	k, n    int
	each    int // samples of a face
	x       []float32
	in, out []int // shapes
	kh, kw  int
	levels  float64 // the largest integer
}

func newColumns(g *graph.Graph, op *graph.Op, tp *TensorPlan, faces int) *columns {
	w := g.Tensors[op.Inputs[1]].Shape
	c := &columns{op: op, plan: tp, each: 1, in: g.Tensors[op.Inputs[0]].Shape, out: g.Tensors[op.Outputs[0]].Shape}
	c.k = g.Tensors[op.Inputs[1]].Elems() / w[0]
	if op.Kind == graph.Conv2D {
		c.each = max(1, roundSamples/faces)
		c.kh, c.kw = w[1], w[2]
	}
	c.n = c.each * faces
	c.x = make([]float32, c.k*c.n)
	return c
}

// fill takes the samples of face i from the layer's input v.
func (c *columns) fill(i int, v []float32, rng *rand.Rand) {
	for e := range c.each {
		col := i*c.each + e
		if c.op.Kind == graph.FullyConnected {
			for k, x := range v[:c.k] {
				c.x[k*c.n+col] = x
			}
			continue
		}
		o := c.op.Options.(graph.ConvOptions)
		y0 := rng.IntN(c.out[1])*o.StrideH - padBefore(c.in[1], c.out[1], c.kh, o.StrideH, o.DilationH, o.Padding)
		x0 := rng.IntN(c.out[2])*o.StrideW - padBefore(c.in[2], c.out[2], c.kw, o.StrideW, o.DilationW, o.Padding)
		ch, k := c.in[3], 0
		for a := range c.kh {
			for b := range c.kw {
				y, x := y0+a*max(o.DilationH, 1), x0+b*max(o.DilationW, 1)
				inside := y >= 0 && y < c.in[1] && x >= 0 && x < c.in[2]
				for d := range ch {
					if inside {
						c.x[k*c.n+col] = v[(y*c.in[2]+x)*ch+d]
					}
					k++
				}
			}
		}
	}
}

func padBefore(in, out, kernel, stride, dilation int, p graph.Padding) int {
	if p == graph.Valid {
		return 0
	}
	return max((out-1)*stride+(kernel-1)*max(dilation, 1)+1-in, 0) / 2
}

// round descends the objective for each filter.
func (c *columns) round(g *graph.Graph, threads int) error {
	t := g.Tensors[c.op.Inputs[1]]
	w := floats(t.Data)
	scale, err := scaleOf(c.plan, t.Shape)
	if err != nil {
		return err
	}
	norm := make([]float32, c.k)
	for k := range norm {
		x := c.column(k)
		norm[k] = blas32.Dot(x, x)
	}
	// Shrinkage grows as samples get fewer for the weights of a row.
	shrink := float32(c.k) / float32(c.k+c.n)
	flips := make([]bool, len(w))
	rows := len(w) / c.k
	var wg sync.WaitGroup
	for part := range threads {
		wg.Go(func() {
			r := blas32.Vector{N: c.n, Data: make([]float32, c.n), Inc: 1}
			for row := part; row < rows; row += threads {
				c.descend(w[row*c.k:][:c.k], flips[row*c.k:][:c.k], scale(row*c.k), norm, shrink, r)
			}
		})
	}
	wg.Wait()
	bits := make([]byte, (len(flips)+7)/8)
	for i, f := range flips {
		if f {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	c.plan.Rounding = packBits(bits)
	return nil
}

func (c *columns) column(k int) blas32.Vector {
	return blas32.Vector{N: c.n, Data: c.x[k*c.n:][:c.n], Inc: 1}
}

// descend chooses the rounding of one filter. r holds the error of its output
// for each sample.
func (c *columns) descend(w []float32, flip []bool, s float32, norm []float32, shrink float32, r blas32.Vector) {
	clear(r.Data)
	q := make([]float32, len(w)) // now
	for k, x := range w {
		q[k] = float32(roundTo(float64(x)/float64(s), false, -c.levels, c.levels))
		if e := q[k]*s - x; e != 0 {
			blas32.Axpy(e, c.column(k), r)
		}
	}
	for range roundSweeps {
		changed := false
		for k, x := range w {
			if norm[k] == 0 {
				continue
			}
			next := float32(roundTo(float64(x)/float64(s), !flip[k], -c.levels, c.levels))
			d := (next - q[k]) * s
			if d == 0 || math.Abs(float64(next*s-x)) >= float64(s) {
				continue
			}
			before, after := q[k]*s-x, next*s-x
			cost := (1-shrink)*(2*d*blas32.Dot(r, c.column(k))+d*d*norm[k]) + shrink*(after*after-before*before)*norm[k]
			if cost < 0 {
				blas32.Axpy(d, c.column(k), r)
				q[k], flip[k], changed = next, !flip[k], true
			}
		}
		if !changed {
			return
		}
	}
}
