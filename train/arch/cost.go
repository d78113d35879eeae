package arch

import (
	"cmp"
	"fmt"

	"mien/runtime/model"
)

// Cost is what a network takes for one picture.
type Cost struct {
	MultiplyAdds int // of convolutions and dense layers
	Parameters   int // trained ones
}

// volume is the shape of a layer's output.
type volume struct{ h, w, c int }

func (v volume) size() int { return v.h * v.w * v.c }

// Cost counts the network's work and weights.
func (n Net) Cost() (Cost, error) {
	var total Cost
	shapes := map[string]volume{"input": {model.Side, model.Side, 1}}
	at := shapes["input"]
	for i, l := range n.Body {
		if l.Input != "" {
			from, ok := shapes[l.Input]
			if !ok {
				return Cost{}, fmt.Errorf("arch: %s: layer %d (%s %s) reads %q, which is not before it", n.Name, i+1, l.Op, l.Name, l.Input)
			}
			at = from
		}
		out, taps := l.shape(at)
		if l.Op == Concat {
			out.c += shapes[l.With].c
		}
		if out.h < 1 || out.w < 1 {
			return Cost{}, fmt.Errorf("arch: %s: layer %d (%s %s): nothing is left of a picture of %dx%d", n.Name, i+1, l.Op, l.Name, at.h, at.w)
		}
		total.MultiplyAdds += out.size() * taps
		total.Parameters += l.parameters(at, out, taps)
		at = out
		shapes[l.Name] = at
	}
	for _, h := range n.Heads {
		total.MultiplyAdds += len(h.Labels) * at.size()
		total.Parameters += len(h.Labels) * (at.size() + 1)
	}
	return total, nil
}

// shape returns the output's shape and the multiply-adds of one of its values.
func (l Layer) shape(in volume) (out volume, taps int) {
	s := max(l.Stride, 1)
	switch l.Op {
	case Conv:
		if l.Valid {
			return volume{(in.h-l.Kernel)/s + 1, (in.w-l.Kernel)/s + 1, l.Out}, l.Kernel * l.Kernel * in.c
		}
		return volume{(in.h + s - 1) / s, (in.w + s - 1) / s, l.Out}, l.Kernel * l.Kernel * in.c
	case Depthwise:
		return volume{(in.h + s - 1) / s, (in.w + s - 1) / s, in.c}, l.Kernel * l.Kernel
	case Dense:
		return volume{1, 1, l.Out}, in.size()
	case MaxPool:
		s = cmp.Or(l.Stride, l.Kernel)
		return volume{(in.h-l.Kernel)/s + 1, (in.w-l.Kernel)/s + 1, in.c}, 0
	case Pad:
		return volume{in.h + 2*l.Pad, in.w + 2*l.Pad, in.c}, 0
	case Upsample:
		return volume{in.h * l.Kernel, in.w * l.Kernel, in.c}, 0
	case Mean:
		return volume{1, 1, in.c}, 0
	case Flatten:
		return volume{1, 1, in.size()}, 0
	}
	return in, 0
}

func (l Layer) parameters(in, out volume, taps int) int {
	switch {
	case l.Op == BatchNorm:
		return 2 * in.c
	case taps == 0:
		return 0
	case l.NoBias:
		return taps * out.c
	}
	return (taps + 1) * out.c
}
