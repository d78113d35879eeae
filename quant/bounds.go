package quant

import (
	"math"

	"mien/runtime/graph"
)

// Kernels multiply integers by the ratio of what goes in to what comes out, and
// take it in fixed point. These are the ratios that every engine takes: XNNPACK
// adds from 2^-10 to below 2^8 and multiplies below 2^8 (qs8 in its
// src/operators); TensorFlow Lite's own ADD aborts the process above 2^14 of
// int16. A factor of two is kept in reserve, for rounding.
const (
	maxRatio    = 1 << 7
	minAddRatio = 1. / (1 << 9)
	minMulRatio = 1. / (1 << 15)
	minConv     = 1. / (1 << 24) // of a channel whose weights are next to nothing
)

// bound widens ranges until the scales around every operator are such as engines
// take. A tensor that is always zero, as of a branch that training left dead, has
// no range of its own: it takes that of the sum which reads it, or one by which
// its operator multiplies by one.
func (p *planner) bound(clip map[int][2]float64) {
	b := &bounder{planner: p, clip: clip}
	for range 1 + len(p.g.Ops) {
		b.changed = false
		for k := len(p.g.Ops) - 1; k >= 0; k-- { // sums first, then what feeds them
			o := p.g.Ops[k]
			if p.kinds[o.Outputs[0]] == graph.Float32 || keepsScale(o) {
				continue
			}
			b.operator(o)
		}
		if !b.changed {
			return
		}
	}
}

type bounder struct {
	*planner
	clip    map[int][2]float64
	changed bool
}

// scale is that of an activation or constant as an operator reads it; 0 when it
// is always zero.
func (b *bounder) scale(i int, typ graph.Type) float64 {
	t := b.g.Tensors[i]
	if t.Const() {
		return constantScale(floats(t.Data), typ)
	}
	if s, _, _, fixed := fixedScale(b.fixedRule(i), typ); fixed {
		return float64(s)
	}
	return rangeScale(b.clip[i], typ)
}

func constantScale(v []float32, typ graph.Type) float64 {
	c := [2]float64{}
	for _, x := range v {
		c[0], c[1] = min(c[0], float64(x)), max(c[1], float64(x))
	}
	return rangeScale(c, typ)
}

func rangeScale(c [2]float64, typ graph.Type) float64 {
	if c[1]-c[0] == 0 {
		return 0
	}
	s, _ := affineOf(c[0], c[1], typ)
	return float64(s)
}

// atLeast widens a tensor, and those that share its range, to a scale.
func (b *bounder) atLeast(i int, scale float64, typ graph.Type) {
	if _, ok := b.clip[i]; !ok || !(scale > 0) || math.IsInf(scale, 0) {
		return
	}
	now := rangeScale(b.clip[i], typ)
	if now >= scale*(1-1e-6) {
		return
	}
	c := b.clip[i]
	if now == 0 {
		half := 127 * scale
		if typ == graph.Int16 {
			half = 32767 * scale
		}
		c = [2]float64{-half, half}
	} else {
		c = [2]float64{c[0] * scale / now, c[1] * scale / now}
	}
	b.changed = true
	for _, k := range b.tied(i) {
		b.clip[k] = c
	}
}

// apart lets a sum compute in float32: what one side adds is next to nothing
// there, but others read it for what it is.
func (b *bounder) apart(o *graph.Op) {
	name := b.g.Tensors[o.Outputs[0]].Name
	b.note("%s (%s) computes in float32: its sides are too far apart for the integers of one sum", name, o.Name())
	for i, l := range b.plan.Layers {
		if l.Name == name {
			b.plan.Layers[i].Type = graph.Float32.String()
		}
	}
	for _, i := range o.Outputs {
		b.kinds[i] = graph.Float32
	}
	b.changed = true
}

func (b *bounder) operator(o *graph.Op) {
	typ, out := b.kinds[o.Outputs[0]], o.Outputs[0]
	switch {
	case o.Kind == graph.Add || o.Kind == graph.Sub:
		var largest float64
		for _, i := range o.Inputs {
			largest = max(largest, b.scale(i, typ))
		}
		if b.scale(out, typ) == 0 {
			b.atLeast(out, largest, typ)
		}
		b.atLeast(out, largest/maxRatio, typ)
		sum := b.scale(out, typ)
		for _, i := range o.Inputs {
			if b.scale(i, typ) == 0 {
				b.atLeast(i, sum, typ)
			}
			if now := b.scale(i, typ); now > 0 && now < sum*minAddRatio && reader(b.g, i) != o && !b.g.Tensors[i].Const() {
				b.apart(o)
				return
			}
			b.atLeast(i, sum*minAddRatio, typ)
		}
	case o.Kind == graph.Mul:
		product := 1.0
		for _, i := range o.Inputs {
			if b.scale(i, typ) == 0 {
				b.atLeast(i, b.scale(out, typ), typ)
			}
			product *= b.scale(i, typ)
		}
		if b.scale(out, typ) == 0 {
			b.atLeast(out, product, typ)
		}
		b.atLeast(out, product/maxRatio, typ)
		if s := b.scale(out, typ); product > 0 && product < s*minMulRatio {
			i := o.Inputs[0]
			b.atLeast(i, b.scale(i, typ)*s*minMulRatio/product, typ)
		}
	case weighted(o):
		largest := 0.0
		for _, x := range floats(b.g.Tensors[o.Inputs[1]].Data) {
			largest = max(largest, math.Abs(float64(x)))
		}
		ratio := b.scale(o.Inputs[operatorOf(o).Data], typ) * largest / b.r.Levels()
		if b.scale(out, typ) == 0 {
			b.atLeast(out, ratio, typ)
		}
		b.atLeast(out, ratio/maxRatio, typ)
	default:
		in := 0.0
		for _, i := range o.Inputs {
			if _, ok := b.clip[i]; ok {
				in = max(in, b.scale(i, typ))
			}
		}
		if b.scale(out, typ) == 0 {
			b.atLeast(out, in, typ)
		}
		b.atLeast(out, in/maxRatio, typ)
	}
}
