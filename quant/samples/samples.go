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
// model will see: values that never change, black pictures, copies, too few.
func Doubts(g *graph.Graph, s quant.Samples) ([]string, error) {
	var out []string
	var constant, dark, copies places
	seen := map[string]int{}
	for i := range s.Len() {
		same, black := true, true
		sum := newHash()
		for k, at := range g.Inputs {
			v := make([]float32, g.Tensors[at].Elems())
			if err := s.Fill(i, k, v); err != nil {
				return nil, err
			}
			lo, hi := v[0], v[0]
			for _, x := range v {
				if x != x || math.IsInf(float64(x), 0) {
					return nil, fmt.Errorf("samples: %s holds %v for input %q", quant.NameOf(s, i), x, g.Tensors[at].Name)
				}
				lo, hi = min(lo, x), max(hi, x)
			}
			same = same && lo == hi && len(v) > 1
			if blo, bhi, ok := s.Bounds(k); ok {
				black = black && float64(hi)-blo < 0.05*(bhi-blo)
			} else {
				black = false
			}
			sum.add(v)
		}
		switch _, again := seen[sum.String()]; {
		case same:
			constant.add(quant.NameOf(s, i))
		case black:
			dark.add(quant.NameOf(s, i))
		case again:
			copies.add(quant.NameOf(s, i))
		}
		seen[sum.String()] = i
	}
	if constant.n > 0 {
		out = append(out, fmt.Sprintf("%d of %d samples are one value throughout, and show the model nothing: %s", constant.n, s.Len(), constant))
	}
	if dark.n > 0 {
		out = append(out, fmt.Sprintf("%d of %d samples are black, nearly: %s", dark.n, s.Len(), dark))
	}
	if copies.n > 0 {
		out = append(out, fmt.Sprintf("%d of %d samples are copies of others: %s", copies.n, s.Len(), copies))
	}
	if n := len(seen); n < fewSamples {
		out = append(out, fmt.Sprintf("there are %d different samples, and ranges want about 100; at least %d", n, fewSamples))
	}
	return out, nil
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
