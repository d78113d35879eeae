package portable

import (
	"errors"
	"fmt"

	"mien/runtime/graph"
)

// pool is a maximum or an average over windows. Padding takes no part in it.
type pool struct {
	node
	window
	float    bool
	average  bool
	lo8, hi8 int32
	lo, hi   float32
}

func (p *pool) cost() int { return p.n * p.ih * p.iw * p.ic * 8 }

func (p *pool) most() int { return p.rows() }

func (p *pool) needs(int) scratch {
	if p.float || !p.average {
		return scratch{}
	}
	return scratch{acc: p.oc}
}

func (p *pool) run(w *worker, part, parts int) {
	lo, hi := share(p.rows(), part, parts)
	for r := lo; r < hi; r++ {
		if p.float {
			p.rowFloat32(w, r/p.oh, r%p.oh)
		} else {
			p.rowInt8(w, r/p.oh, r%p.oh)
		}
	}
}

// span returns the part [a, b) of a filter of size k at output position i that
// lies inside an input of size n, as input positions.
func span(i, k, stride, before, n int) (a, b int) {
	a = i*stride - before
	return max(a, 0), min(a+k, n)
}

func (p *pool) rowInt8(w *worker, b, y int) {
	in := w.i8(p.reads[0])[b*p.ih*p.iw*p.ic:]
	out := w.i8(p.out)[(b*p.oh+y)*p.ow*p.oc:][:p.ow*p.oc]
	y0, y1 := span(y, p.kh, p.sh, p.top, p.ih)
	for x := range p.ow {
		x0, x1 := span(x, p.kw, p.sw, p.left, p.iw)
		dst := out[x*p.oc:][:p.oc]
		if p.average {
			p.averageInt8(w, dst, in, y0, y1, x0, x1)
			continue
		}
		copy(dst, in[(y0*p.iw+x0)*p.ic:])
		for iy := y0; iy < y1; iy++ {
			for ix := x0; ix < x1; ix++ {
				if iy > y0 || ix > x0 {
					w.set.MaxInt8(dst, in[(iy*p.iw+ix)*p.ic:][:p.ic])
				}
			}
		}
	}
	if p.lo8 > -128 || p.hi8 < 127 {
		for i, v := range out {
			out[i] = int8(min(max(int32(v), p.lo8), p.hi8))
		}
	}
	p.then.int8(w, out, 0)
}

// averageInt8 rounds halves away from zero, as TFLite does.
func (p *pool) averageInt8(w *worker, dst, in []int8, y0, y1, x0, x1 int) {
	acc := w.acc[:p.oc]
	clear(acc)
	for iy := y0; iy < y1; iy++ {
		for ix := x0; ix < x1; ix++ {
			w.set.SumInt8(acc, in[(iy*p.iw+ix)*p.ic:])
		}
	}
	n := int32((y1 - y0) * (x1 - x0))
	for c, v := range acc {
		if v > 0 {
			v += n / 2
		} else {
			v -= n / 2
		}
		dst[c] = int8(v / n)
	}
}

func (p *pool) rowFloat32(w *worker, b, y int) {
	in := w.f32(p.reads[0])[b*p.ih*p.iw*p.ic:]
	out := w.f32(p.out)[(b*p.oh+y)*p.ow*p.oc:][:p.ow*p.oc]
	y0, y1 := span(y, p.kh, p.sh, p.top, p.ih)
	for x := range p.ow {
		x0, x1 := span(x, p.kw, p.sw, p.left, p.iw)
		dst := out[x*p.oc:][:p.oc]
		copy(dst, in[(y0*p.iw+x0)*p.ic:])
		for iy := y0; iy < y1; iy++ {
			for ix := x0; ix < x1; ix++ {
				if iy > y0 || ix > x0 {
					p.mergeFloat32(w, dst, in[(iy*p.iw+ix)*p.ic:][:p.ic])
				}
			}
		}
		if p.average {
			n := float32((y1 - y0) * (x1 - x0))
			for c := range dst {
				dst[c] /= n
			}
		}
	}
	clampFloat32{p.lo, p.hi}.apply(w, out, out, 0)
	p.then.float32(w, out, 0)
}

func (p *pool) mergeFloat32(w *worker, dst, src []float32) {
	if !p.average {
		w.set.MaxFloat32(dst, src)
		return
	}
	for c, v := range src {
		dst[c] += v
	}
}

func (p *planner) pool2D(op *graph.Op) error {
	o, ok := op.Options.(graph.PoolOptions)
	if !ok {
		return errors.New("it has no options")
	}
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	g, err := newWindow(in, out, channels(in), o.FilterH, o.FilterW, o.StrideH, o.StrideW, 1, 1, o.Padding)
	if err != nil {
		return err
	}
	s := &pool{
		node: node{reads: op.Inputs[:1:1], out: op.Outputs[0]}, window: g,
		float: in.Type == graph.Float32, average: op.Kind == graph.AveragePool2D,
	}
	if in.Type != out.Type {
		return fmt.Errorf("input is %v, output %v: want the same", in.Type, out.Type)
	}
	if s.float {
		s.lo, s.hi = floatBounds(o.Activation)
	} else if s.lo8, s.hi8, err = p.sameQuant(in, out, o.Activation); err != nil {
		return err
	}
	p.push(s)
	return nil
}

// sameQuant checks that two int8 tensors have the same quantisation, and
// returns the limits of an activation in it.
func (p *planner) sameQuant(in, out *graph.Tensor, act graph.Activation) (lo, hi int32, err error) {
	a, err := quantOf(in)
	if err != nil {
		return 0, 0, err
	}
	b, err := quantOf(out)
	if err != nil {
		return 0, 0, err
	}
	if a != b {
		return 0, 0, fmt.Errorf("input has scale %v and zero point %d, output %v and %d: want the same", a.scale, a.zero, b.scale, b.zero)
	}
	lo, hi = b.bounds(act)
	return lo, hi, nil
}
