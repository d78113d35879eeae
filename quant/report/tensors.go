package report

import (
	"cmp"
	"context"
	"math"
	"slices"

	"mien/quant"
)

// Tensor is how far one activation is from what it was in float.
type Tensor struct {
	Name string `json:"name"`
	// Layer says that an operator computes it; the input is not one.
	Layer bool   `json:"layer"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"`
	// SNR is signal power over error power in decibels, Cosine the cosine
	// between the two.
	SNR    float64 `json:"snr_db"`
	Cosine float64 `json:"cosine"`
	// Lost is the SNR that this layer took away: that of what it reads minus
	// its own, never below 0.
	Lost float64 `json:"snr_lost_db"`
	// Saturation is the part of the float values outside of Clip, but for those
	// below it where what reads them does not tell them apart.
	Saturation float64    `json:"saturation"`
	Clip       [2]float64 `json:"clip"`
	Seen       [2]float64 `json:"seen"` // smallest and largest value in calibration
	Hist       []uint64   `json:"histogram,omitempty"`
}

const maxSNR = quant.MaxSNR

// shownBins is the number of bins of a histogram in the report.
const shownBins = 64

func tensors(ctx context.Context, in Input, samples quant.Samples, tick func()) ([]Tensor, error) {
	probe, err := quant.Computable(in.Result.Graph)
	if err != nil {
		return nil, err
	}
	diffs, err := quant.Compare(ctx, in.Result.Float, probe, in.Result.Plan.Floors(), samples, quant.Options{Threads: in.Threads,
		Progress: func(int, int) { tick() }})
	if err != nil {
		return nil, err
	}
	isLayer := layers(in.Result.Float)
	snr := map[string]float64{}
	var out []Tensor
	for _, d := range diffs {
		t := Tensor{Name: d.Name, Layer: isLayer[d.Name], Type: d.Type, Shape: d.Shape, Cosine: d.Cosine(),
			SNR: min(d.SNR(), maxSNR), Saturation: d.Saturation()}
		snr[d.Name] = t.SNR
		if p := in.Result.Plan.Tensor(d.Name); p != nil {
			t.Clip = p.Clip
		}
		if s := in.Result.Stats; s != nil && s.Tensors[d.Name] != nil {
			st := s.Tensors[d.Name]
			t.Seen = [2]float64{float64(st.Min), float64(st.Max)}
			t.Hist = coarse(st.Hist, shownBins)
		}
		out = append(out, t)
	}
	g := in.Result.Float
	for i := range out {
		worst := math.Inf(1)
		for _, o := range g.Ops {
			if !slices.ContainsFunc(o.Outputs, func(k int) bool { return g.Tensors[k].Name == out[i].Name }) {
				continue
			}
			for _, k := range o.Inputs {
				if k < 0 || g.Tensors[k].Const() {
					continue
				}
				if s, ok := snr[g.Tensors[k].Name]; ok {
					worst = min(worst, s)
				}
			}
		}
		if !math.IsInf(worst, 1) {
			out[i].Lost = max(worst-out[i].SNR, 0)
		}
	}
	slices.SortStableFunc(out, func(a, b Tensor) int { return cmp.Or(cmp.Compare(b.Lost, a.Lost), cmp.Compare(a.SNR, b.SNR)) })
	return out, nil
}

// coarse adds neighbouring bins up.
func coarse(h []uint64, n int) []uint64 {
	out := make([]uint64, n)
	for i, v := range h {
		out[i*n/len(h)] += v
	}
	return out
}
