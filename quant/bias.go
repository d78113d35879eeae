package quant

import (
	"context"
	"fmt"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/portable"
)

// biasSamples is how many samples bias correction runs per layer: a channel's mean
// over that many is known far better than the errors it corrects.
const biasSamples = 100

// A deep network has many layers to run for, and gets fewer samples for each.
const (
	biasRuns  = 1600
	biasLeast = 16
)

// CorrectBias sets the Shift of the plan's biases such that each channel that
// a layer computes has the mean that it has in the float graph g. It goes layer by layer, as a corrected layer changes what the
// next one sees (after Nagel et al. 2019, empirical variant). Layers with a
// fused activation are left alone: their mean is not the bias's to move.
func CorrectBias(ctx context.Context, g *graph.Graph, p *Plan, samples Samples, o Options) error {
	var todo []*graph.Op
	fused := 0
	for _, op := range g.Ops {
		if biasOf(op) < 0 {
			continue
		}
		tp := p.Tensor(g.Tensors[biasOf(op)].Name)
		if tp == nil || tp.Role != Bias || tp.Type != graph.Int32.String() {
			continue
		}
		if op.Fused() != graph.None {
			fused++
			continue
		}
		todo = append(todo, op)
	}
	if fused > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%s not corrected: an activation is fused behind, and what it cuts off is not the bias's to move", count(fused, "bias was", "biases were")))
	}
	if len(todo) == 0 {
		return nil
	}
	samples = Spread(samples, max(biasLeast, min(biasSamples, biasRuns/len(todo))))
	// The means must be of the same samples on both sides.
	names := make([]string, len(todo))
	for i, op := range todo {
		names[i] = g.Tensors[op.Outputs[0]].Name
	}
	want, err := channelMeans(ctx, g, names, p.Floors(), samples, o)
	if err != nil {
		return err
	}
	flat := *p
	flat.Equal, flat.Model = nil, "" // g has been equalised already
	tick := o.ticker(len(todo))
	for i, op := range todo {
		q, err := Apply(g, &flat)
		if err != nil {
			return err
		}
		got, err := channelMeans(ctx, upTo(q, names[i]), names[i:i+1], nil, samples, o)
		if err != nil {
			return err
		}
		tp := p.Tensor(g.Tensors[biasOf(op)].Name)
		tp.Shift = make([]float32, len(got[0]))
		for c := range tp.Shift {
			tp.Shift[c] = float32(want[i][c] - got[0][c])
		}
		tick()
	}
	return nil
}

// upTo returns the part of g that computes a tensor, with it as the output.
func upTo(g *graph.Graph, name string) *graph.Graph {
	at := g.Find(name)
	if at < 0 {
		return g
	}
	out := *g
	out.Outputs, out.Ops, out.Signatures = []int{at}, nil, nil
	wanted := map[int]bool{at: true}
	for k := len(g.Ops) - 1; k >= 0; k-- {
		o := g.Ops[k]
		if !slices.ContainsFunc(o.Outputs, func(i int) bool { return wanted[i] }) {
			continue
		}
		for _, i := range o.Inputs {
			wanted[i] = true
		}
		out.Ops = append(out.Ops, o)
	}
	slices.Reverse(out.Ops)
	return &out
}

// channelMeans returns the mean of each channel of the named tensors, values
// below their floor counted as the floor.
func channelMeans(ctx context.Context, g *graph.Graph, names []string, floors map[string]float32, samples Samples, o Options) ([][]float64, error) {
	watch := make([]int, len(names))
	for i, n := range names {
		if watch[i] = g.Find(n); watch[i] < 0 {
			return nil, fmt.Errorf("quant: there is no tensor %s", n)
		}
	}
	sums := newChannelSums(g, watch)
	keep := !slices.Equal(watch, g.Outputs)
	err := runKept(ctx, g, samples, o.threads(samples.Len()), keep, func(_ int, s *portable.Session) error {
		for k, t := range watch {
			v, err := s.Real(nil, t)
			if err != nil {
				return err
			}
			raise(v, floors, names[k])
			sums[k].add(v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(watch))
	for k := range out {
		out[k], _ = sums[k].result()
	}
	return out, nil
}

// raise lifts values to the floor of the tensor of that name, if it has one.
func raise(v []float32, floors map[string]float32, name string) {
	floor, ok := floors[name]
	if !ok {
		return
	}
	for i, x := range v {
		v[i] = max(x, floor)
	}
}
