// Package qat fine-tunes a network for integers: it trains on with every
// weight and activation rounded as a quantisation plan says, so that the
// weights settle where the rounding does least harm. Gradients pass straight
// through the rounding (Bengio et al. 2013; Jacob et al. 2018). What it learns
// is the float network's own answers: the aim is to lose nothing, and no face
// needs a label. Nothing else of training goes on: batch norms keep their
// statistics, as inference has them, and nothing is dropped.
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
	"mien/train/checkpoint"
	"mien/train/nn"
)

// Options of Tune.
type Options struct {
	Steps    int
	Batch    int      // 0 means 32
	LR       float64  // at the start, falling to 0 as a cosine; 0 means 1e-4
	Heads    []string // that count; none means all
	Seed     uint64
	Threads  int // 0 means 1
	Progress func(done int)
}

// Tune trains a network on and returns its new weights. The plan is of int8,
// and of the graph that train/export makes of the same network and weights.
func Tune(ctx context.Context, net arch.Net, weights map[string][]float32, plan *quant.Plan, faces quant.Faces, o Options) (map[string][]float32, error) {
	if len(faces) == 0 || o.Steps < 1 {
		return nil, errors.New("qat: nothing to train on")
	}
	if plan.Recipe.Mode != quant.Int8 {
		return nil, fmt.Errorf("qat: the plan is of mode %s; only int8 is trained for", plan.Recipe.Mode)
	}
	if o.Batch == 0 {
		o.Batch = 32
	}
	if o.LR == 0 {
		o.LR = 1e-4
	}
	teacher, err := load(net, weights, o)
	if err != nil {
		return nil, err
	}
	n, err := load(Fake(net, plan), weights, o)
	if err != nil {
		return nil, err
	}
	t := &tuner{net: n, teacher: teacher, options: o, faces: faces, rounded: roundedWeights(n, plan)}
	for _, h := range net.Heads {
		w := 1.0
		if len(o.Heads) > 0 && !slices.Contains(o.Heads, h.Name) {
			w = 0
		}
		t.losses = append(t.losses, w)
	}
	if err := t.run(ctx); err != nil {
		return nil, err
	}
	out := map[string][]float32{}
	for _, p := range n.Params() {
		out[p.Name] = p.Value
	}
	return out, nil
}

// load makes a network with weights.
func load(net arch.Net, weights map[string][]float32, o Options) (*nn.Net, error) {
	n, err := nn.New(net, o.Batch, max(o.Threads, 1))
	if err != nil {
		return nil, fmt.Errorf("qat: %w", err)
	}
	for _, p := range n.Params() {
		if len(weights[p.Name]) != len(p.Value) {
			return nil, fmt.Errorf("qat: %d weights for %s, want %d", len(weights[p.Name]), p.Name, len(p.Value))
		}
		copy(p.Value, weights[p.Name])
	}
	return n, nil
}

// Fake returns the network with a FakeQuant behind each layer that the plan
// stores in int8, its batch norms frozen and without dropout. Layers that export
// fuses with the one before have their rounding behind the last of them; pools
// copy values that are rounded already.
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
	last := ""
	var pending *quant.TensorPlan
	for i, l := range net.Body {
		if l.Op == arch.Dropout {
			renamed[l.Name] = last
			continue
		}
		l.Input, l.With, l.Frozen = now(l.Input), now(l.With), l.Op == arch.BatchNorm
		out.Body = append(out.Body, l)
		last = l.Name
		if tp := plan.Tensor(l.Name); tp != nil && tp.Type == "int8" && len(tp.Scale) == 1 && l.Op != arch.MaxPool {
			pending = tp
		}
		if pending == nil || i+1 < len(net.Body) && goesOn(net.Body[i+1], plan) {
			continue
		}
		last += "/rounded"
		out.Body = append(out.Body, arch.Layer{Op: arch.FakeQuant, Name: last, Scale: float64(pending.Scale[0]), Zero: int(pending.Zero)})
		renamed[l.Name] = last
		pending = nil
	}
	return out
}

// goesOn says whether a layer is part of the operator before it.
func goesOn(l arch.Layer, plan *quant.Plan) bool {
	fused := l.Op == arch.BatchNorm || l.Op == arch.ReLU || l.Op == arch.ReLU6
	return fused && l.Input == "" && plan.Tensor(l.Name) == nil
}

// rounded is a parameter that is stored in integers.
type rounded struct {
	param  nn.Param
	rows   int     // with a scale each
	levels float32 // the largest integer
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
		r := &rounded{param: p, rows: 1, levels: float32(plan.Recipe.Levels()), master: make([]float32, len(p.Value))}
		if len(tp.Scale) > 1 {
			r.rows = p.Shape[0]
		}
		out = append(out, r)
	}
	return out
}

// round puts what integers make of the weights in their place. A batch norm
// that is folded into a row scales all of it, integers' scale and all, and so
// changes nothing of the rounding.
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
		s := peak / r.levels
		for k, x := range v {
			v[k] = float32(math.Round(float64(x/s))) * s
		}
	}
}

func (r *rounded) restore() { copy(r.param.Value, r.master) }

type tuner struct {
	net, teacher *nn.Net
	options      Options
	losses       []float64
	faces        quant.Faces
	rounded      []*rounded
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
			order = append(order, rng.Perm(len(t.faces))...)
		}
		t.fill(b, order[:o.Batch])
		order = slices.Delete(order, 0, o.Batch)
		for _, r := range t.rounded {
			r.round()
		}
		loss, err := t.net.Step(b, t.losses, 0)
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
	b := &nn.Batch{N: t.options.Batch, X: make([]float32, t.options.Batch*model.Side*model.Side)}
	for _, h := range t.net.Arch.Heads {
		b.Target = append(b.Target, make([]float32, b.N*len(h.Labels)))
		w := make([]float32, b.N)
		for i := range w {
			w[i] = 1
		}
		b.Weight = append(b.Weight, w)
	}
	return b
}

// fill makes a batch of faces and of what the float network says about them.
func (t *tuner) fill(b *nn.Batch, which []int) {
	const pixels = model.Side * model.Side
	for k, i := range which {
		for j, p := range t.faces[i] {
			b.X[k*pixels+j] = float32(p) / 255
		}
	}
	for h, logits := range t.teacher.Predict(b.X, b.N) {
		n := len(t.net.Arch.Heads[h].Labels)
		for k := 0; k < len(logits); k += n {
			softmax(b.Target[h][k:k+n], logits[k:k+n])
		}
	}
}

func softmax(p, logits []float32) {
	top, sum := slices.Max(logits), 0.0
	for i, z := range logits {
		e := math.Exp(float64(z - top))
		p[i] = float32(e)
		sum += e
	}
	for i := range p {
		p[i] /= float32(sum)
	}
}

// Checkpoint is a checkpoint with the tuned weights in place of its own, and a
// note of how they were tuned. What only serves to go on with a run is left out.
func Checkpoint(of *checkpoint.File, weights map[string][]float32, how string) *checkpoint.File {
	out := &checkpoint.File{Meta: map[string]string{}}
	for k, v := range of.Meta {
		if k != "state" {
			out.Meta[k] = v
		}
	}
	out.Meta["tuned"] = how
	for _, t := range of.Tensors {
		if w, ok := weights[t.Name]; ok {
			out.Tensors = append(out.Tensors, checkpoint.Tensor{Name: t.Name, Shape: t.Shape, Data: w})
		}
	}
	return out
}
