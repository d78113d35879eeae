package portable

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/portable/internal/kernel"
)

// scatter is the second half of a transposed convolution. The first, an
// ordinary one of 1x1, computes for each input pixel what it adds to every place
// under the filter; scatter adds that up.
type scatter struct {
	node
	n, ih, iw      int
	oh, ow, oc     int
	kh, kw, sh, sw int
	top, left      int
	bias           []float32
	lo, hi         float32
}

// transposeConv takes TRANSPOSE_CONV, of int8 as sums of integers, which are
// exact in float32 as far as 2^24.
func (p *planner) transposeConv(op *graph.Op) error {
	if p.tensors[op.Inputs[2]].Type != graph.Int8 {
		return p.transposeConvFloat32(op)
	}
	o, ok := op.Options.(graph.TransposeConvOptions)
	if !ok {
		return errors.New("it has no options")
	}
	round, err := p.transposedRounding(op, o.Activation)
	if err != nil {
		return err
	}
	filter, in, out := p.tensors[op.Inputs[1]], p.tensors[op.Inputs[2]], p.tensors[op.Outputs[0]]
	q, err := quantOf(in)
	if err != nil {
		return err
	}
	weights, err := integersOf(filter)
	if err != nil {
		return err
	}
	o.Activation = graph.None
	sums := *op
	sums.Options, sums.Inputs = o, slices.Clone(op.Inputs)
	sums.Inputs[1], sums.Inputs[2] = p.newTensor(filter.Name, filter.Shape, floatBytes(weights)), p.newTensor(in.Name, in.Shape, nil)
	if b := p.optional(op, 3); b != nil {
		if b.Type != graph.Int32 || !b.Const() {
			return fmt.Errorf("bias %q is %v, want constant int32", b.Name, b.Type)
		}
		var bias []float32
		for _, v := range int32s(b) {
			bias = append(bias, float32(v))
		}
		sums.Inputs[3] = p.newTensor(b.Name, b.Shape, floatBytes(bias))
	}
	sums.Outputs = []int{p.newTensor(out.Name, out.Shape, nil)}
	p.push(&toFloat32{node{reads: []int{op.Inputs[2]}, out: sums.Inputs[2]}, affine{1, q.zero}})
	if err := p.transposeConvFloat32(&sums); err != nil {
		return err
	}
	p.push(&roundSums{node{reads: sums.Outputs, out: op.Outputs[0]}, channels(out), round})
	return nil
}

// integersOf returns a constant's integers less their zero point.
func integersOf(t *graph.Tensor) ([]float32, error) {
	if !t.Const() || t.Quant == nil {
		return nil, fmt.Errorf("filter %q is not constant, or has no scale", t.Name)
	}
	unit := *t
	q := *t.Quant
	q.Scale = slices.Repeat([]float32{1}, len(q.Scale))
	unit.Quant = &q
	return realsOf(&unit)
}

// transposedRounding returns what becomes of a channel's sum: XNNPACK takes
// filters of one scale, and TFLite's own kernels those of one for each channel.
func (p *planner) transposedRounding(op *graph.Op, act graph.Activation) (func(sum float32, c int) int8, error) {
	filter := p.tensors[op.Inputs[1]]
	in, err := quantOf(p.tensors[op.Inputs[2]])
	if err != nil {
		return nil, err
	}
	out, err := quantOf(p.tensors[op.Outputs[0]])
	if err != nil {
		return nil, err
	}
	if filter.Quant == nil || len(filter.Quant.Scale) == 0 {
		return nil, fmt.Errorf("filter %q has no scale", filter.Name)
	}
	lo, hi := out.bounds(act)
	scales := filter.Quant.Scale
	if len(scales) == 1 {
		factor := in.scale * scales[0] / out.scale
		return func(sum float32, _ int) int8 {
			return int8(min(max(int32(clamp8(math.RoundToEven(float64(sum*factor))+float64(out.zero))), lo), hi))
		}, nil
	}
	if len(scales) != channels(p.tensors[op.Outputs[0]]) {
		return nil, fmt.Errorf("filter %q has %d scales, want one or one for each channel", filter.Name, len(scales))
	}
	var factors [][3]int32
	for _, s := range scales {
		m, left, right := quantiseMultiplier(float64(in.scale) * float64(s) / float64(out.scale))
		factors = append(factors, [3]int32{m, left, right})
	}
	return func(sum float32, c int) int8 {
		f := factors[c]
		return int8(min(max(kernel.Multiply(int32(sum), f[0], f[1], f[2])+out.zero, lo), hi))
	}, nil
}

// roundSums turns the sums of integers into int8.
type roundSums struct {
	node
	channels int
	round    func(sum float32, c int) int8
}

func (s *roundSums) run(w *worker, _, _ int) {
	out := w.i8(s.out)
	for i, v := range w.f32(s.reads[0]) {
		out[i] = s.round(v, i%s.channels)
	}
	s.then.int8(w, out, 0)
}

func (p *planner) transposeConvFloat32(op *graph.Op) error {
	o, ok := op.Options.(graph.TransposeConvOptions)
	if !ok {
		return errors.New("it has no options")
	}
	filter, in, out := p.tensors[op.Inputs[1]], p.tensors[op.Inputs[2]], p.tensors[op.Outputs[0]]
	if len(filter.Shape) != 4 || len(in.Shape) != 4 || len(out.Shape) != 4 {
		return fmt.Errorf("filter %v, input %v, output %v: want four dimensions of each", filter.Shape, in.Shape, out.Shape)
	}
	if err := p.stated(op, 0, out.Shape); err != nil {
		return err
	}
	f := filter.Shape
	s := &scatter{n: in.Shape[0], ih: in.Shape[1], iw: in.Shape[2], oh: out.Shape[1], ow: out.Shape[2], oc: f[0],
		kh: f[1], kw: f[2], sh: o.StrideH, sw: o.StrideW}
	if out.Shape[0] != s.n || out.Shape[3] != s.oc || in.Shape[3] != f[3] || elems(f) == 0 {
		return fmt.Errorf("filter %v, input %v, output %v do not fit together", f, in.Shape, out.Shape)
	}
	if s.sh < 1 || s.sw < 1 || s.sh > maxElems || s.sw > maxElems {
		return fmt.Errorf("stride %dx%d", s.sh, s.sw)
	}
	var err error
	for _, side := range []struct{ in, out, k, stride, before *int }{{&s.ih, &s.oh, &s.kh, &s.sh, &s.top}, {&s.iw, &s.ow, &s.kw, &s.sw, &s.left}} {
		var back int
		if back, *side.before, err = slide(*side.out, *side.k, *side.stride, 1, o.Padding); err != nil {
			return err
		}
		if back != *side.in {
			return fmt.Errorf("an output of %d with stride %d has an input of %d, not %d", *side.out, *side.stride, back, *side.in)
		}
	}
	w, bias, err := p.filterFloat32At(op, 1, 3, s.oc, 0)
	if err != nil {
		return err
	}
	s.bias = bias
	s.lo, s.hi = floatBounds(o.Activation)
	taps := s.kh * s.kw
	rows := make([]float32, len(w)) // [kh, kw, oc, ic]
	for c := range s.oc {
		for k := range taps {
			copy(rows[(k*s.oc+c)*f[3]:][:f[3]], w[(c*taps+k)*f[3]:])
		}
	}
	wide := []int{s.n, s.ih, s.iw, taps * s.oc}
	if elems(wide) > maxElems {
		return fmt.Errorf("filter %v over input %v needs too much memory", f, in.Shape)
	}
	products := p.newTensor(out.Name, wide, nil)
	weights := p.newTensor(filter.Name, []int{taps * s.oc, 1, 1, f[3]}, floatBytes(rows))
	conv := &graph.Op{Kind: graph.Conv2D, Inputs: []int{op.Inputs[2], weights}, Outputs: []int{products},
		Options: graph.ConvOptions{Padding: graph.Valid, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}}
	if err := p.conv2D(conv); err != nil {
		return err
	}
	s.node = node{reads: []int{products}, out: op.Outputs[0]}
	p.push(s)
	return nil
}

func (s *scatter) cost() int { return s.n * s.ih * s.iw * s.kh * s.kw * s.oc * 2 }

func (s *scatter) most() int { return s.n * s.oh }

// run computes rows of output, so that threads do not meet.
func (s *scatter) run(w *worker, part, parts int) {
	from, to := share(s.most(), part, parts)
	in, taps := w.f32(s.reads[0]), s.kh*s.kw*s.oc
	for r := from; r < to; r++ {
		b, y := r/s.oh, r%s.oh
		out := w.f32(s.out)[r*s.ow*s.oc:][:s.ow*s.oc]
		for x := range s.ow {
			copy(out[x*s.oc:], s.bias)
		}
		for ky := range s.kh {
			iy := y + s.top - ky
			if iy < 0 || iy%s.sh != 0 || iy/s.sh >= s.ih {
				continue
			}
			row := in[(b*s.ih+iy/s.sh)*s.iw*taps:]
			for ix := range s.iw {
				for kx := range s.kw {
					x := ix*s.sw - s.left + kx
					if x < 0 || x >= s.ow {
						continue
					}
					src := row[ix*taps+(ky*s.kw+kx)*s.oc:][:s.oc]
					for c, v := range src {
						out[x*s.oc+c] += v
					}
				}
			}
		}
		clampFloat32{s.lo, s.hi}.apply(w, out, out, 0)
		s.then.float32(w, out, 0)
	}
}
