package quant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
)

// Result is everything that came out of Build.
type Result struct {
	Float *graph.Graph // what was quantised: the graph given, equalised where the plan says so
	Graph *graph.Graph // quantised
	Plan  *Plan
	Stats *Stats // of Float; nil when nothing was calibrated
}

// Trial is a recovery of accuracy that was tried: how near to float the outputs
// were without and with it, on samples of the calibration. It is kept where it
// came nearer.
type Trial struct {
	What   string  `json:"what"` // its flag
	Before float64 `json:"snr_without_db"`
	After  float64 `json:"snr_with_db"`
	Kept   bool    `json:"kept"`
}

// trialSamples is how many samples a recovery is judged by.
const trialSamples = 32

// Build goes the whole way from a float graph to a quantised one. The recoveries
// that the recipe asks for are kept only where they bring the outputs nearer to
// float; the plan's recipe says what was kept, its Trials what was tried.
func Build(ctx context.Context, g *graph.Graph, samples Samples, r Recipe, o Options) (*Result, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	b := &builder{ctx: ctx, g: g, samples: samples, o: o}
	start, err := b.start(r)
	if err != nil {
		return nil, err
	}
	best := start
	if r.Equalise {
		if best, err = b.equalise(best); err != nil {
			return nil, err
		}
	}
	if best, err = b.recover(best, r); err != nil {
		return nil, err
	}
	res := &Result{Float: best.float, Graph: best.graph, Plan: best.plan, Stats: best.stats}
	res.Plan.Trials = b.trials
	for _, t := range b.trials {
		if !t.Kept {
			res.Plan.Notes = append(res.Plan.Notes, fmt.Sprintf("--%s was tried and not kept: the outputs' SNR was %.1f dB with it, %.1f dB without", t.What, t.After, t.Before))
		}
	}
	if res.Plan.Model, err = Fingerprint(g); err != nil {
		return nil, err
	}
	return res, nil
}

// Fingerprint is the SHA-256 of what a graph computes with: all but its metadata.
func Fingerprint(g *graph.Graph) (string, error) {
	bare := g.Clone()
	bare.Metadata, bare.Description, bare.Name, bare.Signatures = nil, "", "", nil
	b, err := flatfile.Marshal(bare)
	if err != nil {
		return "", fmt.Errorf("quant: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

type builder struct {
	ctx     context.Context
	g       *graph.Graph
	samples Samples
	o       Options
	judges  Samples
	float   Answers // of g about judges
	trials  []Trial
}

// candidate is a plan and how near to float it is.
type candidate struct {
	float, graph *graph.Graph
	stats        *Stats
	plan         *Plan
	snr          float64 // 0 until it is asked for
}

// start is the recipe without its recoveries.
func (b *builder) start(r Recipe) (*candidate, error) {
	c := &candidate{float: b.g}
	var err error
	if r.Calibrated() {
		if c.stats = b.o.Stats; c.stats == nil {
			if c.stats, err = Calibrate(b.ctx, b.g, b.samples, b.o); err != nil {
				return nil, err
			}
		}
	}
	r.Equalise, r.AdaRound, r.CorrectBias = false, false, false
	if r.Calibrator == Best {
		return b.calibrate(c, r)
	}
	if c.plan, err = NewPlan(c.float, c.stats, r); err != nil {
		return nil, err
	}
	c.graph, err = Apply(b.g, c.plan)
	return c, err
}

// calibrate tries every calibrator and returns the nearest.
func (b *builder) calibrate(c *candidate, r Recipe) (*candidate, error) {
	var best *candidate
	for _, k := range Calibrators() {
		r.Calibrator = k
		to := &candidate{float: c.float, stats: c.stats}
		var err error
		if to.plan, err = NewPlan(to.float, to.stats, r); err != nil {
			return nil, err
		}
		if err := b.judge(to); err != nil {
			return nil, err
		}
		if best == nil || to.snr > best.snr {
			best = to
		}
	}
	return best, nil
}

// judge says how near to float a candidate is.
func (b *builder) judge(c *candidate) error {
	var err error
	if c.graph, err = Apply(b.g, c.plan); err != nil {
		return err
	}
	if b.float == nil {
		b.judges = answerable(b.g, b.samples, trialSamples)
		if b.float, err = Answer(b.ctx, b.g, b.judges, b.o); err != nil {
			return err
		}
	}
	got, err := Answer(b.ctx, c.graph, b.judges, b.o)
	if err != nil {
		return err
	}
	c.snr = OutputSNR(CompareAnswers(b.g, c.graph, b.float, got))
	return nil
}

// judged judges a candidate that may have been judged already.
func (b *builder) judged(c *candidate) error {
	if c.graph != nil && c.snr != 0 {
		return nil
	}
	return b.judge(c)
}

// try judges a candidate against the one that it came from, and returns the
// nearer.
func (b *builder) try(what string, from, to *candidate) (*candidate, error) {
	if err := b.judge(to); err != nil {
		return nil, err
	}
	kept := to.snr > from.snr
	b.trials = append(b.trials, Trial{what, from.snr, to.snr, kept})
	if kept {
		return to, nil
	}
	return from, nil
}

// equalise tries cross-layer equalisation.
func (b *builder) equalise(from *candidate) (*candidate, error) {
	pairs := PlanEqualisation(b.g, from.stats)
	if len(pairs) == 0 {
		return from, nil // no two layers are joined by what a factor passes through
	}
	if err := b.judged(from); err != nil {
		return nil, err
	}
	to := &candidate{}
	var err error
	if to.float, err = Equalise(b.g, pairs); err != nil {
		return nil, err
	}
	if to.stats, err = Calibrate(b.ctx, to.float, b.samples, b.o); err != nil {
		return nil, err
	}
	r := from.plan.Recipe
	r.Equalise = true
	if to.plan, err = NewPlan(to.float, to.stats, r); err != nil {
		return nil, err
	}
	to.plan.Equal = pairs
	return b.try("equalise", from, to)
}

// recover tries the rounding of the weights, the correction of the biases, and
// both: what a bias has to correct depends on the rounding.
func (b *builder) recover(from *candidate, r Recipe) (*candidate, error) {
	if !r.AdaRound && !r.CorrectBias {
		return from, nil
	}
	if err := b.judged(from); err != nil {
		return nil, err
	}
	best := from
	var rounded *candidate
	if r.AdaRound {
		rounded = from.copy()
		rounded.plan.Recipe.AdaRound = true
		if err := AdaRound(b.ctx, rounded.float, rounded.plan, b.samples, b.o); err != nil {
			return nil, err
		}
		var err error
		if best, err = b.try("adaround", from, rounded); err != nil {
			return nil, err
		}
	}
	if !r.CorrectBias {
		return best, nil
	}
	// Where rounding alone lost, it may still gain once the biases follow; and the
	// biases alone may be nearer than both.
	tried := []*candidate{from}
	if rounded != nil {
		tried = []*candidate{rounded, from}
	}
	var nearest *candidate
	for _, c := range tried {
		to := c.copy()
		to.plan.Recipe.CorrectBias = true
		if err := CorrectBias(b.ctx, to.float, to.plan, b.samples, b.o); err != nil {
			return nil, err
		}
		if err := b.judge(to); err != nil {
			return nil, err
		}
		if nearest == nil || to.snr > nearest.snr {
			nearest = to
		}
		if nearest.snr > best.snr {
			break
		}
	}
	kept := nearest.snr > best.snr
	b.trials = append(b.trials, Trial{"correct-bias", best.snr, nearest.snr, kept})
	if kept {
		best = nearest
	}
	for i, t := range b.trials {
		if t.What == "adaround" {
			b.trials[i].Kept = best.plan.Recipe.AdaRound
		}
	}
	return best, nil
}

// copy returns a candidate whose plan can be changed.
func (c *candidate) copy() *candidate {
	n := *c
	n.plan = c.plan.Clone()
	return &n
}
