package quant

import (
	"context"
	"errors"
	"math"

	"mien/runtime/graph"
	"mien/runtime/portable"
)

// Answers are what a graph's outputs hold: by sample, then by output, real
// values.
type Answers [][][]float32

// maxAnswers bounds the values that Answers hold, about 128 MiB.
const maxAnswers = 1 << 25

// answerable returns as many of the samples, evenly spread and at most n, as
// have answers that fit memory.
func answerable(g *graph.Graph, samples Samples, n int) Samples {
	each := 1
	for _, i := range g.Outputs {
		each += g.Tensors[i].Elems()
	}
	return Spread(samples, max(1, min(n, maxAnswers/each)))
}

// Answer runs the samples through g. A graph of a mode that the portable engine
// does not compute answers as its stored weights do in float.
func Answer(ctx context.Context, g *graph.Graph, samples Samples, o Options) (Answers, error) {
	if samples == nil || samples.Len() == 0 {
		return nil, errors.New("quant: no samples to answer about")
	}
	g, err := Computable(g)
	if err != nil {
		return nil, err
	}
	out := make(Answers, samples.Len())
	err = runKept(ctx, g, samples, o.threads(samples.Len()), false, func(i int, s *portable.Session) error {
		for _, at := range g.Outputs {
			v, err := s.Real(nil, at)
			if err != nil {
				return err
			}
			out[i] = append(out[i], v)
		}
		return nil
	})
	return out, err
}

// CompareAnswers compares what b answers with what a does, output by output;
// g is the graph of a, and q that of b.
func CompareAnswers(g, q *graph.Graph, a, b Answers) []*Diff {
	var out []*Diff
	for k, at := range g.Outputs {
		t := q.Tensors[q.Outputs[k]]
		d := &Diff{Name: g.Tensors[at].Name, Type: t.Type.String(), Shape: g.Tensors[at].Shape}
		for i := range a {
			before := *d
			d.add(a[i][k], b[i][k], t)
			d.samples = append(d.samples, power{d.Signal - before.Signal, d.Error - before.Error})
			d.top(a[i][k], b[i][k], channelsOf(g.Tensors[at]))
		}
		out = append(out, d)
	}
	return out
}

// top counts the rows of n values, and those whose largest is in the same place.
func (d *Diff) top(x, y []float32, n int) {
	for at := 0; at+n <= len(x); at += n {
		d.Rows++
		if largest(x[at:at+n]) == largest(y[at:at+n]) {
			d.Same++
		}
	}
}

func largest(v []float32) int {
	at := 0
	for i, x := range v {
		if x > v[at] {
			at = i
		}
	}
	return at
}

// power is that of a sample's signal, and of its error.
type power struct{ signal, err float64 }

// OutputSNR says in decibels how near to float all outputs are together: the
// mean of their errors' powers, each over its signal's. Every sample and output
// counts the same, however large its values; one that is nearly silent counts
// against a hundredth of the usual signal. Where a value is not finite it is -MaxSNR.
func OutputSNR(diffs []*Diff) float64 {
	sum, n := 0.0, 0
	for _, d := range diffs {
		if d.NotFinite > 0 {
			return -MaxSNR
		}
		floor := max(0.01*d.Signal/float64(max(len(d.samples), 1)), 1e-300)
		for _, s := range d.samples {
			sum += s.err / max(s.signal, floor)
			n++
		}
	}
	if sum == 0 {
		return MaxSNR
	}
	return min(-10*math.Log10(sum/float64(n)), MaxSNR)
}

// MaxSNR stands for no error at all, which JSON cannot say.
const MaxSNR = 200
