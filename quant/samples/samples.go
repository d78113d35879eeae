// Package samples reads what a model is calibrated and measured with: folders of
// pictures, and arrays that NumPy wrote.
package samples

import (
	"fmt"
	"math"

	"mien/quant"
	"mien/runtime/graph"
)

// Doubts says, in plain sentences, what makes samples a poor picture of what a
// model will see: values that never change, black pictures, copies, too few to
// calibrate with, and a range that is another than that of the samples measured,
// which may be nil.
func Doubts(g *graph.Graph, calibration, measured quant.Samples) ([]string, error) {
	c, err := survey(g, calibration)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range c.poor() {
		out = append(out, "of the calibration, "+s)
	}
	if c.different < fewSamples {
		out = append(out, fmt.Sprintf("of the calibration, there are %d different samples, and ranges want about 100; at least %d", c.different, fewSamples))
	}
	if measured == nil || measured.Len() == 0 {
		return out, nil
	}
	m, err := survey(g, measured)
	if err != nil {
		return nil, err
	}
	for _, s := range m.poor() {
		out = append(out, "of what is measured, "+s)
	}
	for k, at := range g.Inputs {
		a, b := c.span[k], m.span[k]
		if both := a.and(b).width(); both < a.or(b).width()/2 {
			out = append(out, fmt.Sprintf("input %q is calibrated with values from %.4g to %.4g and measured with %.4g to %.4g: calibrate with samples like those that it will see",
				g.Tensors[at].Name, a.lo, a.hi, b.lo, b.hi))
		}
	}
	return out, nil
}

// found is what samples are like.
type found struct {
	n, different           int
	constant, dark, copies places
	span                   []span // by input
}

// span is a range of values.
type span struct{ lo, hi float32 }

func (s span) and(o span) span { return span{max(s.lo, o.lo), min(s.hi, o.hi)} }
func (s span) or(o span) span  { return span{min(s.lo, o.lo), max(s.hi, o.hi)} }
func (s span) width() float32  { return max(s.hi-s.lo, 0) }

// survey looks at all values of all samples.
func survey(g *graph.Graph, s quant.Samples) (*found, error) {
	out := &found{n: s.Len()}
	seen := map[string]bool{}
	for i := range s.Len() {
		same, black := true, true
		sum := newHash()
		for k, at := range g.Inputs {
			v := make([]float32, g.Tensors[at].Elems())
			if err := s.Fill(i, k, v); err != nil {
				return nil, err
			}
			here := span{v[0], v[0]}
			for _, x := range v {
				if x != x || math.IsInf(float64(x), 0) {
					return nil, fmt.Errorf("samples: %s holds %v for input %q", quant.NameOf(s, i), x, g.Tensors[at].Name)
				}
				here = here.or(span{x, x})
			}
			same = same && here.width() == 0 && len(v) > 1
			lo, hi, ok := s.Bounds(k)
			black = black && ok && float64(here.hi)-lo < 0.05*(hi-lo)
			sum.add(v)
			if i == 0 {
				out.span = append(out.span, here)
			}
			out.span[k] = out.span[k].or(here)
		}
		switch {
		case same:
			out.constant.add(quant.NameOf(s, i))
		case black:
			out.dark.add(quant.NameOf(s, i))
		case seen[sum.String()]:
			out.copies.add(quant.NameOf(s, i))
		}
		seen[sum.String()] = true
	}
	out.different = len(seen)
	return out, nil
}

// poor are sentences about samples that show a model little.
func (f *found) poor() (out []string) {
	if f.constant.n > 0 {
		out = append(out, fmt.Sprintf("%d of %d samples are one value throughout, and show the model nothing: %s", f.constant.n, f.n, f.constant))
	}
	if f.dark.n > 0 {
		out = append(out, fmt.Sprintf("%d of %d samples are black, nearly: %s", f.dark.n, f.n, f.dark))
	}
	if f.copies.n > 0 {
		out = append(out, fmt.Sprintf("%d of %d samples are copies of others: %s", f.copies.n, f.n, f.copies))
	}
	return out
}

// fewSamples is below what is too few to know ranges by.
const fewSamples = 20

// places names the first of many.
type places struct {
	n     int
	names []string
}

func (p *places) add(name string) {
	if p.n++; len(p.names) < 3 {
		p.names = append(p.names, name)
	}
}

func (p places) String() string {
	s := ""
	for i, n := range p.names {
		if i > 0 {
			s += ", "
		}
		s += n
	}
	if p.n > len(p.names) {
		s += " and so on"
	}
	return s
}
