package quant

import (
	"context"
	"math"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/portable"
)

// What makes a sample an outlier: an output whose largest magnitude is so many
// times that of the sample in the middle. And how many samples there have to be,
// and what part of them may be outliers at most: more are what the model sees.
const (
	outlierTimes = 8
	outlierFrom  = 20
	outlierPart  = 10
)

// Outliers returns the samples on which some output of g is far larger than on
// the others. A range that holds them leaves few integers for all else: BlazeFace
// answers 12 of 271 photographs with scores a hundred times as large as the rest's.
func Outliers(ctx context.Context, g *graph.Graph, samples Samples, o Options) ([]int, error) {
	n := samples.Len()
	if n < outlierFrom {
		return nil, nil
	}
	peaks := make([][]float64, len(g.Outputs)) // output by output
	for k := range peaks {
		peaks[k] = make([]float64, n)
	}
	err := runKept(ctx, g, samples, o.threads(n), false, func(i int, s *portable.Session) error {
		for k, at := range g.Outputs {
			v, err := s.Real(nil, at)
			if err != nil {
				return err
			}
			for _, x := range v {
				peaks[k][i] = max(peaks[k][i], math.Abs(float64(x)))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []int
	for _, p := range peaks {
		limit := outlierTimes * slices.Sorted(slices.Values(p))[n/2]
		for i, x := range p {
			if x > limit && limit > 0 && !slices.Contains(out, i) {
				out = append(out, i)
			}
		}
	}
	if len(out)*outlierPart > n {
		return nil, nil
	}
	slices.Sort(out)
	return out, nil
}
