// Package qat fine-tunes a network for integers: it trains on with every
// weight and activation rounded as a quantisation plan says, so that the
// weights settle where the rounding does least harm. Gradients pass straight
// through the rounding (Bengio et al. 2013; Jacob et al. 2018).
package qat

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"mien/quant"
	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/data"
	"mien/train/nn"
)

// Options of Tune. LossWeights go head by head in the network's order.
type Options struct {
	Steps       int
	Batch       int     // 0 means 32
	LR          float64 // at the start, falling to 0 as a cosine; 0 means 2e-5
	Seed        uint64
	Threads     int // 0 means 1
	LossWeights []float64
	Progress    func(done int)
}

// Tune trains a network on and returns its new weights. The plan is of int8,
// and of the graph that train/export makes of the same network and weights.
func Tune(ctx context.Context, net arch.Net, weights map[string][]float32, plan *quant.Plan, samples []data.Sample, o Options) (map[string][]float32, error) {
	if len(samples) == 0 || o.Steps < 1 {
		return nil, errors.New("qat: nothing to train on")
	}
	if plan.Recipe.Mode != quant.Int8 {
		return nil, fmt.Errorf("qat: the plan is of mode %s; only int8 is trained for", plan.Recipe.Mode)
	}
	if o.Batch == 0 {
		o.Batch = 32
	}
	if o.LR == 0 {
		o.LR = 2e-5
	}
	if len(o.LossWeights) != len(net.Heads) {
		return nil, fmt.Errorf("qat: %d loss weights for %d heads", len(o.LossWeights), len(net.Heads))
	}
	n, err := nn.New(Fake(net, plan), o.Batch, max(o.Threads, 1))
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	for _, p := range n.Params() {
		if len(weights[p.Name]) != len(p.Value) {
			return nil, fmt.Errorf("qat: %d weights for %s, want %d", len(weights[p.Name]), p.Name, len(p.Value))
		}
		copy(p.Value, weights[p.Name])
	}
	t := &tuner{net: n, options: o, samples: samples, rounded: roundedWeights(n, plan)}
	if err := t.run(ctx); err != nil {
		return nil, err
	}
	out := map[string][]float32{}
	for _, p := range n.Params() {
		out[p.Name] = p.Value
	}
	return out, nil
}

// Fake returns the network with a FakeQuant behind each layer that the plan
// stores in int8. Layers that export fuses with the one before have their
// rounding behind the last of them; pools copy values that are rounded already.
func Fake(net arch.Net, plan *quant.Plan) arch.Net {
	out := net
	out.Body = nil
	renamed := map[string]string{}
	now := func(name string) string {
		if r, ok := renamed[name]; ok {
			return r
		}
		return name
	}
	var pending *quant.TensorPlan
	for i, l := range net.Body {
		l.Input, l.With = now(l.Input), now(l.With)
		out.Body = append(out.Body, l)
		if tp := plan.Tensor(l.Name); tp != nil && tp.Type == "int8" && len(tp.Scale) == 1 && l.Op != arch.MaxPool {
			pending = tp
		}
		if pending == nil || i+1 < len(net.Body) && goesOn(net.Body[i+1], plan) {
			continue
		}
		out.Body = append(out.Body, arch.Layer{Op: arch.FakeQuant, Name: l.Name + "/rounded",
			Scale: float64(pending.Scale[0]), Zero: int(pending.Zero)})
		renamed[l.Name] = l.Name + "/rounded"
		pending = nil
	}
	return out
}

// goesOn says whether a layer is part of the operator before it.
func goesOn(l arch.Layer, plan *quant.Plan) bool {
	fused := l.Op == arch.BatchNorm || l.Op == arch.ReLU || l.Op == arch.ReLU6
	return fused && l.Input == "" && plan.Tensor(l.Name) == nil
}

// rounded is a parameter that is stored in int8.
type rounded struct {
	param  nn.Param
	rows   int // with a scale each
	master []float32
}

func roundedWeights(n *nn.Net, plan *quant.Plan) []*rounded {
	var out []*rounded
	for _, p := range n.Params() {
		if p.Grad == nil || len(p.Shape) < 2 {
			continue
		}
		name := p.Name[:len(p.Name)-len(".weight")]
		tp := plan.Tensor(name + "/weight")
		if tp == nil || tp.Type != "int8" {
			continue
		}
		r := &rounded{param: p, rows: 1, master: make([]float32, len(p.Value))}
		if len(tp.Scale) > 1 {
			r.rows = p.Shape[0]
		}
		out = append(out, r)
	}
	return out
}

// round puts what int8 makes of the weights in their place.
func (r *rounded) round() {
	copy(r.master, r.param.Value)
	per := len(r.master) / r.rows
	for row := range r.rows {
		v := r.param.Value[row*per:][:per]
		peak := float32(0)
		for _, x := range v {
			peak = max(peak, max(x, -x))
		}
		if peak == 0 {
			continue
		}
		s := peak / 127
		for k, x := range v {
			v[k] = float32(math.Round(float64(x/s))) * s
		}
	}
}

func (r *rounded) restore() { copy(r.param.Value, r.master) }

type tuner struct {
	net     *nn.Net
	options Options
	samples []data.Sample
	rounded []*rounded
}

func (t *tuner) run(ctx context.Context) error {
	o := t.options
	adam := &nn.Adam{}
	rng := rand.New(rand.NewPCG(o.Seed, 0x716174))
	var order []int
	b := t.batch()
	for step := range o.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		for len(order) < o.Batch {
			order = append(order, rng.Perm(len(t.samples))...)
		}
		t.fill(b, order[:o.Batch])
		order = slices.Delete(order, 0, o.Batch)
		for _, r := range t.rounded {
			r.round()
		}
		loss, err := t.net.Step(b, o.LossWeights, rng.Uint64())
		for _, r := range t.rounded {
			r.restore()
		}
		if err != nil {
			return fmt.Errorf("qat: %w", err)
		}
		if !loss.Finite() {
			return fmt.Errorf("qat: the loss is not a number at step %d; try a lower rate", step+1)
		}
		adam.LR = o.LR * (1 + math.Cos(math.Pi*float64(step)/float64(o.Steps))) / 2
		if err := adam.Step(t.net); err != nil {
			return fmt.Errorf("qat: %w", err)
		}
		if o.Progress != nil {
			o.Progress(step + 1)
		}
	}
	return nil
}

func (t *tuner) batch() *nn.Batch {
	b := &nn.Batch{N: t.options.Batch, X: make([]float32, t.options.Batch*data.Pixels)}
	for _, h := range t.net.Arch.Heads {
		b.Target = append(b.Target, make([]float32, b.N*len(h.Labels)))
		b.Weight = append(b.Weight, make([]float32, b.N))
	}
	return b
}

func (t *tuner) fill(b *nn.Batch, which []int) {
	all := model.Heads()
	for h, head := range t.net.Arch.Heads {
		at := slices.IndexFunc(all, func(m model.Head) bool { return m.Name == head.Name })
		clear(b.Target[h])
		for k, i := range which {
			label := t.samples[i].Labels[at]
			b.Weight[h][k] = 0
			if label >= 0 {
				b.Weight[h][k] = 1
				b.Target[h][k*len(head.Labels)+int(label)] = 1
			}
		}
	}
	for k, i := range which {
		for j, p := range t.samples[i].Face {
			b.X[k*data.Pixels+j] = float32(p) / 255
		}
	}
}
