package portable

import (
	"errors"
	"fmt"

	"mien/runtime/graph"
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

func (p *planner) transposeConv(op *graph.Op) error {
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
