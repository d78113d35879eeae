package quant

import (
	"fmt"
	"math"
)

// rangeOf chooses the range of real values that an activation's integers
// cover. It always contains 0, which padding and ReLU need to be exact.
func rangeOf(s *TensorStats, r Recipe, levels int) (lo, hi float64) {
	switch r.Calibrator {
	case Average:
		lo, hi = s.AvgMin, s.AvgMax
	case Percentile:
		lo, hi = s.percentile(r.Percentile)
	case MSE:
		lo, hi = s.search(func(lo, hi float64) float64 { return s.squaredError(lo, hi, levels) })
	case Entropy:
		lo, hi = s.search(func(lo, hi float64) float64 { return s.divergence(lo, hi, levels) })
	case MinMax:
		lo, hi = float64(s.Min), float64(s.Max)
	default:
		panic(fmt.Sprintf("quant: nothing says which range calibrator %q chooses", r.Calibrator)) // recipes are checked when they are read
	}
	return min(lo, 0), max(hi, 0)
}

// percentile cuts the same number of values at both ends so that p percent
// stay.
func (s *TensorStats) percentile(p float64) (lo, hi float64) {
	var total uint64
	for _, n := range s.Hist {
		total += n
	}
	cut := (1 - p/100) / 2 * float64(total)
	a, b := 0, Bins
	for seen := 0.0; a < Bins-1 && seen+float64(s.Hist[a]) <= cut; a++ {
		seen += float64(s.Hist[a])
	}
	for seen := 0.0; b > a+1 && seen+float64(s.Hist[b-1]) <= cut; b-- {
		seen += float64(s.Hist[b-1])
	}
	return s.edge(a), s.edge(b)
}

// edge is the real value at the left of bin i.
func (s *TensorStats) edge(i int) float64 {
	return float64(s.Min) + (float64(s.Max)-float64(s.Min))*float64(i)/Bins
}

// search tries ranges inside what was seen and returns the one of least cost.
// Both ends shrink apart from each other, because ELU bounds one of them.
func (s *TensorStats) search(cost func(lo, hi float64) float64) (lo, hi float64) {
	lo, hi = min(float64(s.Min), 0), max(float64(s.Max), 0)
	if hi == lo {
		return lo, hi
	}
	best, bestLo, bestHi := math.Inf(1), lo, hi
	for a := 1.0; a > 0.2; a -= 0.02 {
		for b := 1.0; b > 0.2; b -= 0.1 {
			if c := cost(lo*b, hi*a); c < best {
				best, bestLo, bestHi = c, lo*b, hi*a
			}
			if lo == 0 {
				break
			}
		}
	}
	return bestLo, bestHi
}

// squaredError is the sum of squared errors of the values seen, quantised to
// [lo, hi].
func (s *TensorStats) squaredError(lo, hi float64, levels int) float64 {
	step := (hi - lo) / float64(levels-1)
	if step <= 0 {
		return math.Inf(1)
	}
	inside := step * step / 12 // of a value anywhere between two levels
	sum := 0.0
	for i, n := range s.Hist {
		if n == 0 {
			continue
		}
		v := (s.edge(i) + s.edge(i+1)) / 2
		e := inside
		if v < lo {
			e = (lo - v) * (lo - v)
		} else if v > hi {
			e = (v - hi) * (v - hi)
		}
		sum += float64(n) * e
	}
	return sum
}

// divergence is the Kullback-Leibler divergence between the distribution of
// the values, those outside [lo, hi] moved to its ends, and the same spread
// evenly within each level: the criterion of S. Migacz, "8-bit inference with
// TensorRT" (GTC 2017), for a range with two ends.
func (s *TensorStats) divergence(lo, hi float64, levels int) float64 {
	width := (float64(s.Max) - float64(s.Min)) / Bins
	if width <= 0 || hi <= lo {
		return math.Inf(1)
	}
	a := min(max(int(math.Floor((lo-float64(s.Min))/width+0.5)), 0), Bins-1)
	b := min(max(int(math.Ceil((hi-float64(s.Min))/width-0.5)), a+1), Bins)
	p := make([]float64, b-a)
	total := 0.0
	for i, n := range s.Hist {
		p[min(max(i, a), b-1)-a] += float64(n)
		total += float64(n)
	}
	// What the levels can tell is seen from the values inside alone: those that
	// were clipped are an error of this range.
	sum, full := make([]float64, levels), make([]float64, levels)
	inside := 0.0
	level := func(i int) int { return min((i*levels)/(b-a), levels-1) }
	for i := range p {
		n := float64(s.Hist[a+i])
		sum[level(i)] += n
		inside += n
		if n > 0 {
			full[level(i)]++
		}
	}
	if inside == 0 {
		return math.Inf(1)
	}
	kl := 0.0
	for i := range p {
		if p[i] == 0 {
			continue
		}
		q := 1e-9
		if k := level(i); s.Hist[a+i] > 0 {
			q = sum[k] / full[k] / inside
		}
		kl += p[i] / total * math.Log(p[i]/total/q)
	}
	return kl
}
