package portable

import (
	"errors"
	"fmt"
	"math"

	"mien/runtime/graph"
)

// bilinear resizes pictures: each value is between those of two rows and two
// columns.
type bilinear struct {
	node
	typ      graph.Type
	from, to [4]int
	y, x     []between
}

// between is a place between two values: part of the way from lo to hi.
type between struct {
	lo, hi int
	part   float32
	fixed  int32 // the same in 2048ths
}

func (p *planner) resizeBilinear(op *graph.Op) error {
	o, ok := op.Options.(graph.ResizeOptions)
	if !ok {
		return errors.New("it has no options")
	}
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	if len(in.Shape) != 4 || len(out.Shape) != 4 || in.Shape[0] != out.Shape[0] || in.Shape[3] != out.Shape[3] {
		return fmt.Errorf("%v cannot become %v", in.Shape, out.Shape)
	}
	if in.Type != out.Type {
		return fmt.Errorf("input is %v, output %v: want the same", in.Type, out.Type)
	}
	if err := p.stated(op, 1, out.Shape[1:3]); err != nil {
		return err
	}
	s := &bilinear{node: node{reads: op.Inputs[:1:1], out: op.Outputs[0]}, from: four(in.Shape), to: four(out.Shape), typ: in.Type}
	switch in.Type {
	case graph.Float32:
		s.y, s.x = places(in.Shape[1], out.Shape[1], o), places(in.Shape[2], out.Shape[2], o)
	case graph.Int8:
		if _, _, err := p.sameQuant(in, out, graph.None); err != nil {
			return err
		}
		s.y, s.x = fixedPlaces(in.Shape[1], out.Shape[1], o), fixedPlaces(in.Shape[2], out.Shape[2], o)
	default:
		return fmt.Errorf("input is %v (float32 and int8 are run)", in.Type)
	}
	p.push(s)
	return nil
}

// places says where each value along a side comes from, as TFLite does.
func places(in, out int, o graph.ResizeOptions) []between {
	scale := resizeScale(in, out, o.AlignCorners)
	all := make([]between, out)
	for i := range all {
		at := float32(i) * scale
		if o.HalfPixel {
			at = (float32(i)+0.5)*scale - 0.5
		}
		floor := float32(math.Floor(float64(at)))
		lo, hi := max(int(floor), 0), min(int(math.Ceil(float64(at))), in-1)
		all[i] = between{min(lo, in-1), max(hi, 0), at - float32(lo), 0}
	}
	return all
}

// fixedPlaces is places as XNNPACK has them for int8: beyond the edges is the
// edge, and parts are fixed-point numbers.
func fixedPlaces(in, out int, o graph.ResizeOptions) []between {
	scale := resizeScale(in, out, o.AlignCorners)
	all := make([]between, out)
	for i := range all {
		at := float32(i) * scale
		if o.HalfPixel {
			at = min(max(at+(0.5*scale-0.5), 0), float32(in-1))
		}
		lo := min(int(at), in-1)
		all[i] = between{lo: lo, hi: min(lo+1, in-1), fixed: int32(math.RoundToEven(float64((at - float32(lo)) * (1 << 11))))}
	}
	return all
}

func (s *bilinear) cost() int { return s.to[0] * s.to[1] * s.to[2] * s.to[3] * 8 }

func (s *bilinear) most() int { return s.to[0] * s.to[1] }

func (s *bilinear) run(w *worker, part, parts int) {
	lo, hi := share(s.most(), part, parts)
	for r := lo; r < hi; r++ {
		if s.typ == graph.Float32 {
			s.rowFloat32(w, r)
		} else {
			s.rowInt8(w, r)
		}
	}
}

// rows returns the rows of the input above and below output row r, and the
// output row.
func rows[T any](s *bilinear, in, out []T, r int) (top, bottom, dst []T, y between) {
	c, row := s.from[3], s.from[2]*s.from[3]
	src, y := in[r/s.to[1]*s.from[1]*row:], s.y[r%s.to[1]]
	return src[y.lo*row:][:row], src[y.hi*row:][:row], out[r*s.to[2]*c:][:s.to[2]*c], y
}

func (s *bilinear) rowFloat32(w *worker, r int) {
	top, bottom, out, y := rows(s, w.f32(s.reads[0]), w.f32(s.out), r)
	c := s.from[3]
	for i, x := range s.x {
		dst := out[i*c:][:c]
		a, b := top[x.lo*c:][:c], top[x.hi*c:][:c]
		d, e := bottom[x.lo*c:][:c], bottom[x.hi*c:][:c]
		wa, wb := (1-y.part)*(1-x.part), (1-y.part)*x.part
		wd, we := y.part*(1-x.part), y.part*x.part
		for k := range dst {
			dst[k] = a[k]*wa + b[k]*wb + d[k]*wd + e[k]*we
		}
	}
	s.then.float32(w, out, 0)
}

func (s *bilinear) rowInt8(w *worker, r int) {
	top, bottom, out, y := rows(s, w.i8(s.reads[0]), w.i8(s.out), r)
	c := s.from[3]
	for i, x := range s.x {
		dst := out[i*c:][:c]
		a, b := top[x.lo*c:][:c], top[x.hi*c:][:c]
		d, e := bottom[x.lo*c:][:c], bottom[x.hi*c:][:c]
		for k := range dst {
			above := int32(a[k])<<11 + (int32(b[k])-int32(a[k]))*x.fixed
			below := int32(d[k])<<11 + (int32(e[k])-int32(d[k]))*x.fixed
			dst[k] = int8((above<<11 + (below-above)*y.fixed + 1<<21) >> 22)
		}
	}
	s.then.int8(w, out, 0)
}
