package quant

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"mien/runtime/graph"
)

// LayerLoss is what one layer costs: how near to float the outputs are when it
// alone computes in float32.
type LayerLoss struct {
	Name     string  `json:"name"`
	Operator string  `json:"operator"`
	SNR      float64 `json:"snr_in_float_db"`
	Gain     float64 `json:"gain_db"` // over the file as it is
}

// Judge measures graphs by how near their outputs are to a float graph's.
type Judge struct {
	ctx     context.Context
	g       *graph.Graph
	samples Samples
	float   Answers
	o       Options
}

// NewJudge asks the float graph g about at most n of the samples.
func NewJudge(ctx context.Context, g *graph.Graph, samples Samples, n int, o Options) (*Judge, error) {
	if samples == nil || samples.Len() == 0 {
		return nil, fmt.Errorf("quant: no samples to judge by")
	}
	o.Progress = nil
	j := &Judge{ctx: ctx, g: g, samples: answerable(g, samples, n), o: o}
	var err error
	j.float, err = Answer(ctx, g, j.samples, o)
	return j, err
}

// Diffs compares the outputs of q with those of the float graph.
func (j *Judge) Diffs(q *graph.Graph) ([]*Diff, error) {
	got, err := Answer(j.ctx, q, j.samples, j.o)
	if err != nil {
		return nil, err
	}
	return CompareAnswers(j.g, q, j.float, got), nil
}

// SNR is OutputSNR of q.
func (j *Judge) SNR(q *graph.Graph) (float64, error) {
	d, err := j.Diffs(q)
	if err != nil {
		return 0, err
	}
	return OutputSNR(d), nil
}

// InFloat returns the plan with the layers of these names in float32, weights
// and all.
func (p *Plan) InFloat(g *graph.Graph, names ...string) *Plan {
	c := p.Clone()
	for i, l := range c.Layers {
		if slices.Contains(names, l.Name) {
			c.Layers[i].Type = graph.Float32.String()
		}
	}
	constant := map[string]bool{}
	for _, o := range g.Ops {
		if !slices.Contains(names, g.Tensors[o.Outputs[0]].Name) {
			continue
		}
		for _, i := range o.Inputs {
			if i >= 0 && g.Tensors[i].Const() && !readElsewhere(g, i, o) {
				constant[g.Tensors[i].Name] = true
			}
		}
	}
	c.Tensors = slices.DeleteFunc(c.Tensors, func(t TensorPlan) bool { return constant[t.Name] })
	return c
}

func readElsewhere(g *graph.Graph, tensor int, by *graph.Op) bool {
	return slices.ContainsFunc(g.Ops, func(o *graph.Op) bool { return o != by && slices.Contains(o.Inputs, tensor) })
}

// Sweep leaves one layer at a time in float32 and says what that gains at the
// outputs, the most first. Layers that copy values lose nothing by themselves
// and are left out.
func Sweep(res *Result, j *Judge, o Options) ([]LayerLoss, error) {
	plan := *res.Plan
	plan.Equal, plan.Model = nil, "" // res.Float has been equalised already
	before, err := j.SNR(res.Graph)
	if err != nil {
		return nil, err
	}
	var todo []*graph.Op
	for _, op := range res.Float.Ops {
		if plan.integers(res.Float, op) && !keepsScale(op) {
			todo = append(todo, op)
		}
	}
	tick := o.ticker(len(todo))
	var out []LayerLoss
	for _, op := range todo {
		name := res.Float.Tensors[op.Outputs[0]].Name
		q, err := Apply(res.Float, plan.InFloat(res.Float, name))
		if err != nil {
			return nil, err
		}
		snr, err := j.SNR(q)
		if err != nil {
			return nil, err
		}
		out = append(out, LayerLoss{name, op.Name(), snr, snr - before})
		tick()
	}
	slices.SortStableFunc(out, func(a, b LayerLoss) int { return cmp.Compare(b.Gain, a.Gain) })
	return out, nil
}

// integers says whether a plan quantises a layer, or its weights.
func (p *Plan) integers(g *graph.Graph, o *graph.Op) bool {
	name := g.Tensors[o.Outputs[0]].Name
	if slices.ContainsFunc(p.Layers, func(l LayerPlan) bool { return l.Name == name && l.Type != graph.Float32.String() }) {
		return true
	}
	return slices.ContainsFunc(o.Inputs, func(i int) bool {
		if i < 0 || !g.Tensors[i].Const() {
			return false
		}
		t := p.Tensor(g.Tensors[i].Name)
		return t != nil && t.Type == graph.Int8.String()
	})
}

// Advice is another recipe and what it was measured to gain.
type Advice struct {
	Recipe Recipe  `json:"recipe"`
	Flags  string  `json:"flags"` // of mien quantize, all of them
	Change string  `json:"change"`
	SNR    float64 `json:"snr_db"`
	Gain   float64 `json:"gain_db"`
	Bytes  int     `json:"bytes,omitempty"`
}

// worthSaying is the least gain, in decibels, that is advice.
const worthSaying = 0.5

// Advise tries what was not tried yet and returns what came nearer to float on
// the judge's samples, the nearest first: other calibrators, recoveries that the
// recipe leaves out, and the layers of a Sweep in float32, alone and the worst
// together. None is given that gains less than half a decibel.
func Advise(ctx context.Context, g *graph.Graph, res *Result, calibration Samples, j *Judge, worst []LayerLoss, o Options) ([]Advice, error) {
	a := &adviser{ctx: ctx, g: g, res: res, samples: calibration, j: j, o: o}
	a.o.Progress = nil
	var err error
	if a.before, err = j.SNR(res.Graph); err != nil {
		return nil, err
	}
	asked := res.Plan.asked()
	if asked.Mode == Int8 && calibration != nil {
		if err := a.calibrators(asked); err != nil {
			return nil, err
		}
		if err := a.recoveries(asked); err != nil {
			return nil, err
		}
	}
	if err := a.layers(asked, worst); err != nil {
		return nil, err
	}
	slices.SortStableFunc(a.found, func(x, y Advice) int { return cmp.Compare(y.Gain, x.Gain) })
	return a.found, nil
}

// asked is the recipe with what was tried and not kept.
func (p *Plan) asked() Recipe {
	r := p.Recipe
	for _, t := range p.Trials {
		switch t.What {
		case "equalise":
			r.Equalise = true
		case "adaround":
			r.AdaRound = true
		case "correct-bias":
			r.CorrectBias = true
		}
	}
	return r
}

type adviser struct {
	ctx     context.Context
	g       *graph.Graph
	res     *Result
	samples Samples
	j       *Judge
	o       Options
	before  float64
	found   []Advice
}

// consider takes a recipe down when it gains enough.
func (a *adviser) consider(r Recipe, change string, q *graph.Graph) error {
	snr, err := a.j.SNR(q)
	if err != nil {
		return err
	}
	if gain := snr - a.before; gain >= worthSaying {
		a.found = append(a.found, Advice{Recipe: r, Flags: strings.Join(r.Flags(), " "), Change: change, SNR: snr, Gain: gain})
	}
	return nil
}

// calibrators tries the calibrator that is nearest to float without recoveries,
// where that is another, with those of the recipe.
func (a *adviser) calibrators(r Recipe) error {
	if a.res.Stats == nil || len(a.res.Plan.Equal) > 0 {
		return nil
	}
	best, nearest := r.Calibrator, -1e9
	for _, k := range Calibrators() {
		plain := r
		plain.Calibrator, plain.Percentile = k, 0
		plain.Equalise, plain.AdaRound, plain.CorrectBias = false, false, false
		p, err := NewPlan(a.g, a.res.Stats, plain)
		if err != nil {
			return err
		}
		q, err := Apply(a.g, p)
		if err != nil {
			return err
		}
		snr, err := a.j.SNR(q)
		if err != nil {
			return err
		}
		if snr > nearest {
			best, nearest = k, snr
		}
	}
	if best == r.Calibrator {
		return nil
	}
	other := r
	other.Calibrator, other.Percentile = best, 0
	return a.build(other, "--calibrator "+string(best))
}

// build goes the whole way with another recipe.
func (a *adviser) build(r Recipe, change string) error {
	o := a.o
	if len(a.res.Plan.Equal) == 0 {
		o.Stats = a.res.Stats
	}
	res, err := Build(a.ctx, a.g, a.samples, r, o)
	if err != nil {
		return err
	}
	return a.consider(r, change, res.Graph)
}

// recoveries tries those that the recipe leaves out.
func (a *adviser) recoveries(r Recipe) error {
	for _, c := range []struct {
		flag string
		has  bool
		set  func(*Recipe)
	}{
		{"--adaround", r.AdaRound, func(r *Recipe) { r.AdaRound = true }},
		{"--correct-bias", r.CorrectBias || len(r.Int16) > 0, func(r *Recipe) { r.CorrectBias = true }},
		{"--equalise", r.Equalise, func(r *Recipe) { r.Equalise = true }},
	} {
		if c.has {
			continue
		}
		with := r
		c.set(&with)
		if err := a.build(with, c.flag); err != nil {
			return err
		}
	}
	return nil
}

// worstLayers is how many layers are tried in float together.
const worstLayers = 3

// layers tries the worst layers of a sweep in float32.
func (a *adviser) layers(r Recipe, worst []LayerLoss) error {
	plan := *a.res.Plan
	plan.Equal, plan.Model = nil, ""
	var names []string
	for _, l := range worst {
		if len(names) == worstLayers || l.Gain <= 0 {
			break
		}
		names = append(names, l.Name)
		if len(names) == 2 {
			continue // one, or all three
		}
		q, err := Apply(a.res.Float, plan.InFloat(a.res.Float, names...))
		if err != nil {
			return err
		}
		with := r
		with.Float = slices.Concat(r.Float, quoteLayers(names))
		if err := a.consider(with, "--float-layers "+strings.Join(with.Float, ","), q); err != nil {
			return err
		}
	}
	return nil
}

// quoteLayers makes patterns that match the names and nothing else.
func quoteLayers(names []string) []string {
	var out []string
	for _, n := range names {
		for _, c := range []string{`\`, "*", "?", "[", ","} {
			n = strings.ReplaceAll(n, c, map[string]string{`\`: `\\`, "*": `\*`, "?": `\?`, "[": `\[`, ",": "?"}[c])
		}
		out = append(out, n)
	}
	return out
}
