package quant

import (
	"math"
	"slices"

	"mien/runtime/graph"
)

// operatorOf returns what is known of an operator, the zero value for one that
// nobody knows: it stays in float32.
func operatorOf(o *graph.Op) graph.Operator {
	known, _ := graph.Known(o.Kind)
	return known
}

func keepsScale(o *graph.Op) bool { return operatorOf(o).Scale == graph.ScaleKept }

func weighted(o *graph.Op) bool { return operatorOf(o).Weights != nil }

// biasOf returns the tensor that is an operator's bias, or -1.
func biasOf(o *graph.Op) int {
	if w := operatorOf(o).Weights; w != nil && w.Bias < len(o.Inputs) {
		return o.Inputs[w.Bias]
	}
	return -1
}

// joins says whether an operator puts all values of its inputs side by side.
func joins(o *graph.Op) bool { return o.Kind == graph.Concatenation || o.Kind == graph.Pack }

// fixedScale returns the quantisation and the range that the integer kernels
// of some operators give their output, whatever it holds.
func fixedScale(s graph.Scale, t graph.Type) (scale float32, zero int64, clip [2]float64, fixed bool) {
	switch s {
	case graph.ScaleUnit:
		if t == graph.Int16 {
			return 1. / 32768, 0, [2]float64{0, 1}, true
		}
		return 1. / 256, -128, [2]float64{0, 1}, true
	case graph.ScaleSigned:
		if t == graph.Int16 {
			return 1. / 32768, 0, [2]float64{-1, 1}, true
		}
		return 1. / 128, 0, [2]float64{-1, 1}, true
	}
	return 0, 0, clip, false
}

// scaleRule says where a tensor's quantisation comes from: the rule of what
// makes it, seen through operators that keep their inputs'.
func (p *planner) scaleRule(tensor int) graph.Scale {
	for range p.g.Ops {
		o := p.producer(tensor)
		if o == nil || p.kinds[o.Outputs[0]] == graph.Float32 {
			return graph.ScaleOwn
		}
		if !keepsScale(o) {
			return operatorOf(o).Scale
		}
		tensor = o.Inputs[operatorOf(o).Data]
	}
	return graph.ScaleOwn
}

// fixedRule is the rule of what makes a tensor; of what keeps its inputs'
// scale, theirs.
func (p *planner) fixedRule(tensor int) graph.Scale {
	if o := p.producer(tensor); o != nil && !keepsScale(o) {
		return operatorOf(o).Scale
	}
	return p.scaleRule(tensor)
}

// setApart lets operators compute in float32 whose inputs cannot all have one
// quantisation: some have a fixed one, others not the same.
func (p *planner) setApart() {
	for i, o := range p.g.Ops {
		if !keepsScale(o) || p.kinds[o.Outputs[0]] == graph.Float32 {
			continue
		}
		var rules []graph.Scale
		for _, in := range o.Inputs {
			if in >= 0 && p.g.Tensors[in].Type == graph.Float32 && !p.g.Tensors[in].Const() {
				rules = append(rules, p.scaleRule(in))
			}
		}
		slices.Sort(rules)
		if len(slices.Compact(rules)) < 2 {
			continue
		}
		p.note("%s (%s) computes in float32: its inputs have ranges that their operators fix", p.plan.Layers[i].Name, o.Name())
		p.plan.Layers[i].Type = graph.Float32.String()
		for _, out := range o.Outputs {
			p.kinds[out] = graph.Float32
		}
	}
}

// tie gives the tensors around copying operators one range: that of what goes
// in, the widest where several do.
func (p *planner) tie(clip map[int][2]float64) {
	group := p.group // a tensor of the same group, or itself
	var find func(i int) int
	find = func(i int) int {
		if g, ok := group[i]; ok && g != i {
			group[i] = find(g)
			return group[i]
		}
		return i
	}
	made := map[int]bool{} // by a copying operator
	wide := map[int][2]float64{}
	widen := func(i int, r [2]float64) {
		if w, ok := wide[i]; ok {
			r = [2]float64{min(w[0], r[0]), max(w[1], r[1])}
		}
		wide[i] = r
	}
	for _, o := range p.g.Ops {
		if !keepsScale(o) || p.apart(o) {
			continue
		}
		first := o.Outputs[0]
		for _, i := range slices.Concat(o.Outputs, o.Inputs) {
			if _, ok := clip[i]; ok {
				group[find(i)] = find(first)
			}
		}
		for _, i := range o.Outputs {
			made[i] = true
		}
	}
	for i := range clip {
		if !made[i] {
			widen(find(i), clip[i])
		}
	}
	for _, o := range p.g.Ops { // constants that are joined must fit in
		for _, i := range o.Inputs {
			if !joins(o) || p.apart(o) || i < 0 || !p.g.Tensors[i].Const() || p.g.Tensors[i].Type != graph.Float32 {
				continue
			}
			for _, v := range floats(p.g.Tensors[i].Data) {
				if !math.IsInf(float64(v), 0) && v == v {
					widen(find(o.Outputs[0]), [2]float64{min(float64(v), 0), max(float64(v), 0)})
				}
			}
		}
	}
	for i := range clip {
		clip[i] = wide[find(i)]
	}
}

// apart says whether a copying operator of several inputs is computed in
// float32, so that nothing ties them.
func (p *planner) apart(o *graph.Op) bool {
	return p.kinds[o.Outputs[0]] == graph.Float32 && len(o.Inputs) > 1 && !slices.ContainsFunc(o.Inputs[1:], func(i int) bool {
		return i >= 0 && p.g.Tensors[i].Type == graph.Int32
	})
}
