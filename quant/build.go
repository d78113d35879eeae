package quant

import (
	"context"

	"mien/runtime/graph"
)

// Result is everything that came out of Build.
type Result struct {
	Float *graph.Graph // what was quantised: the graph given, equalised where the plan says so
	Graph *graph.Graph // quantised
	Plan  *Plan
	Stats *Stats // of Float; nil when nothing was calibrated
}

// Build goes the whole way from a float graph to a quantised one.
func Build(ctx context.Context, g *graph.Graph, samples Samples, r Recipe, o Options) (*Result, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	res := &Result{Float: g}
	var pairs []Equalised
	if r.Calibrated() {
		var err error
		if res.Stats = o.Stats; res.Stats == nil {
			if res.Stats, err = Calibrate(ctx, g, samples, o); err != nil {
				return nil, err
			}
		}
		if r.Equalise {
			if pairs = PlanEqualisation(g, res.Stats); len(pairs) > 0 {
				if res.Float, err = Equalise(g, pairs); err != nil {
					return nil, err
				}
				if res.Stats, err = Calibrate(ctx, res.Float, samples, o); err != nil {
					return nil, err
				}
			}
		}
	}
	var err error
	if res.Plan, err = NewPlan(res.Float, res.Stats, r); err != nil {
		return nil, err
	}
	if r.Equalise && len(pairs) == 0 {
		res.Plan.Notes = append(res.Plan.Notes, "nothing was equalised: no two layers of this network are joined by what a factor passes through")
	}
	if r.AdaRound {
		if err = AdaRound(ctx, res.Float, res.Plan, samples, o); err != nil {
			return nil, err
		}
	}
	if r.CorrectBias {
		if err = CorrectBias(ctx, res.Float, res.Plan, samples, o); err != nil {
			return nil, err
		}
	}
	res.Plan.Equal = pairs
	res.Graph, err = Apply(g, res.Plan)
	return res, err
}
