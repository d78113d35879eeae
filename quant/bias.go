package quant

import (
	"context"
	"fmt"

	"mien/runtime/graph"
	"mien/runtime/portable"
)

// biasSamples is how many samples bias correction runs per layer: a channel's mean
// over that many is known far better than the errors it corrects.
const biasSamples = 100

// CorrectBias sets the Shift of the plan's biases such that each channel that
// a layer computes has the mean that it has in the float graph g. It goes layer by layer, as a corrected layer changes what the
// next one sees (after Nagel et al. 2019, empirical variant). Layers with a
// fused activation are left alone: their mean is not the bias's to move.
func CorrectBias(ctx context.Context, g *graph.Graph, p *Plan, samples Samples, o Options) error {
	samples = Spread(samples, biasSamples)
	var todo []*graph.Op
	for _, op := range g.Ops {
		name := g.Tensors[op.Outputs[0]].Name
		if biasOf(op) < 0 {
			continue
		}
		tp := p.Tensor(g.Tensors[biasOf(op)].Name)
		if tp == nil || tp.Role != Bias || tp.Type != graph.Int32.String() {
			continue
		}
		if op.Fused() != graph.None {
			p.Notes = append(p.Notes, fmt.Sprintf("the bias of %s was not corrected: its activation is fused", name))
			continue
		}
		todo = append(todo, op)
	}
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
	flat.Equal = nil // g has been equalised already
	tick := o.ticker(len(todo))
	for i, op := range todo {
		q, err := Apply(g, &flat)
		if err != nil {
			return err
		}
		got, err := channelMeans(ctx, q, names[i:i+1], nil, samples, o)
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
	err := runSamples(ctx, g, samples, o.threads(samples.Len()), func(_ int, s *portable.Session) error {
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
