package samples

import (
	"slices"

	"mien/quant"
)

// kept is how many samples there are for each that Split keeps back.
const kept = 5

// part is some of the samples.
type part struct {
	quant.Samples
	at []int
}

func (p part) Len() int                           { return len(p.at) }
func (p part) Name(i int) string                  { return quant.NameOf(p.Samples, p.at[i]) }
func (p part) Fill(i, k int, dst []float32) error { return p.Samples.Fill(p.at[i], k, dst) }

// Split keeps every fifth sample back to measure with. Where there are fewer than
// ten, all serve for both.
func Split(s quant.Samples) (calibration, measure quant.Samples) {
	if s.Len() < 2*kept {
		return s, s
	}
	a, b := part{Samples: s}, part{Samples: s}
	for i := range s.Len() {
		if i%kept == kept-1 {
			b.at = append(b.at, i)
		} else {
			a.at = append(a.at, i)
		}
	}
	return a, b
}

// Without returns the samples but for some.
func Without(s quant.Samples, left []int) quant.Samples {
	p := part{Samples: s}
	for i := range s.Len() {
		if !slices.Contains(left, i) {
			p.at = append(p.at, i)
		}
	}
	return p
}

// Names names the first of some samples, for messages.
func Names(s quant.Samples, some []int) string {
	var p places
	for _, i := range some {
		p.add(quant.NameOf(s, i))
	}
	return p.String()
}
