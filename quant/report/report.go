// Package report measures what quantisation cost: the accuracy of each head,
// class and subgroup before and after, how far each tensor is from what it was
// in float, and what to try next. Compare makes a Report, which is plain data;
// Save writes it as JSON, Markdown and plots.
package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"runtime"
	"slices"
	"sync"

	"mien/quant"
	"mien/runtime/graph"
	"mien/runtime/infer"
	"mien/runtime/model"
)

// Sample is a face with the labels that are known: one per head in the order
// of Input.Heads, -1 for none.
type Sample struct {
	Path   string
	Face   quant.Face
	Labels []int8
	// Soft holds, by head, how likely each label is, where more is known than a
	// label: of a head that measures, that whose mean is the number.
	Soft [][]float32
}

// Report is everything that Compare found out.
type Report struct {
	Recipe      quant.Recipe `json:"recipe"`
	Faces       int          `json:"faces"` // or other samples, measured
	Calibrated  int          `json:"calibrated"`
	FloatBytes  int          `json:"float_bytes"`
	Bytes       int          `json:"bytes"`
	FloatEngine string       `json:"float_engine"`
	Engine      string       `json:"engine"`
	Heads       []Head       `json:"heads"`
	// Outputs are those of a model that has no heads.
	Outputs []Output `json:"outputs,omitempty"`
	Limits  Limits   `json:"limits,omitzero"` // of the outputs
	// Tensors are the activations, that which loses most by itself first.
	Tensors []Tensor `json:"tensors"`
	// Layers are what each layer gains when it alone is left in float, the most
	// first; Advice is what else was tried and came nearer to float.
	Layers []quant.LayerLoss `json:"layers,omitempty"`
	Advice []quant.Advice    `json:"advice,omitempty"`
	Trials []quant.Trial     `json:"trials,omitempty"`
	// OutputSNR is how near to float all outputs are together, on the samples by
	// which layers and advice were measured.
	OutputSNR float64  `json:"output_snr_db,omitempty"`
	Doubts    []string `json:"doubts,omitempty"` // about the samples
	Notes     []string `json:"notes,omitempty"`
	// MaxDrop is how many points a head may lose.
	MaxDrop float64 `json:"max_drop"`
	Verdict string  `json:"verdict"`
	Passed  *bool   `json:"passed,omitempty"` // absent where nothing was in force or could be told
}

// Head is how one head did.
type Head struct {
	Name string `json:"name"`
	// Unit is that of a head that measures. What its scores call accuracy is 1
	// less the mean error as a part of Scale, so that a point lost is a hundredth
	// of it.
	Unit  string  `json:"unit,omitempty"`
	Scale float64 `json:"scale,omitempty"`
	// Always is, of a head that measures, what its accuracy would be if it always
	// answered the mean of the numbers.
	Always float64 `json:"always,omitempty"`
	// Agreement is the part of all faces on which both answers are the same.
	Agreement float64 `json:"agreement"`
	// MeanShift is the mean change of the answer's probability, in points.
	MeanShift float64 `json:"mean_shift"`
	All       Score   `json:"all"`
	Classes   []Score `json:"classes,omitempty"`
	Groups    []Score `json:"groups,omitempty"`
}

// Score is the accuracy on some labelled faces. Lost are those that only the
// float file had right, Won those that only the quantised one has. Drop, Low and
// High are in points (hundredths): the accuracy lost to quantisation and its
// 95% confidence interval.
type Score struct {
	Name  string  `json:"name"`
	N     int     `json:"n"`
	Float float64 `json:"float"`
	Quant float64 `json:"quantised"`
	Lost  int     `json:"lost"`
	Won   int     `json:"won"`
	Drop  float64 `json:"drop"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Input is what Compare compares.
type Input struct {
	Result *quant.Result
	File   []byte // the quantised .tflite
	Float  []byte // the float .tflite
	// FloatBytes is the size of the file that Float was made of, where that is
	// another.
	FloatBytes int
	Samples    []Sample     // of a face model
	Heads      []model.Head // that the samples' labels go by
	// Data is what another model is measured with, in Engine: tflite, portable, or
	// else the first of them that runs the file.
	Data   quant.Samples
	Engine string
	Limits Limits
	// Graph is the float graph, and Calibration what it was calibrated with: with
	// both, the report says which layer hurts most and what to try next.
	Graph       *graph.Graph
	Calibration quant.Samples
	Doubts      []string // about the samples
	// Open loads a file into the engine that measures; it is called several
	// times, once for each thread and file.
	Open func(file []byte) (infer.Model, error)
	// Before, when it is set, is what Ask gave for Float and Samples.
	Before *Answers
	// Tapped is how many of the faces are compared tensor by tensor; 0 means 50,
	// below 0 none.
	Tapped int
	// MaxDrop is how many points a head may lose.
	MaxDrop float64
	quant.Options
}

// Faces are those of samples.
func Faces(samples []Sample) quant.Faces {
	var out quant.Faces
	for _, s := range samples {
		out = append(out, s.Face)
	}
	return out
}

// answer is one head's answer about one face.
type answer struct {
	label int
	p     float32
	value float64 // of a head that measures
}

// Compare measures.
func Compare(ctx context.Context, in Input) (*Report, error) {
	if len(in.Samples) > 0 {
		in.Data = Faces(in.Samples)
	}
	if in.Data == nil || in.Data.Len() == 0 {
		return nil, errors.New("report: no samples to measure with")
	}
	r := &Report{Recipe: in.Result.Plan.Recipe, Faces: in.Data.Len(), Calibrated: in.Result.Plan.Faces, Doubts: in.Doubts,
		FloatBytes: cmp.Or(in.FloatBytes, len(in.Float)), Bytes: len(in.File), MaxDrop: in.MaxDrop, Limits: in.Limits,
		Notes: slices.Clone(in.Result.Plan.Notes), Trials: in.Result.Plan.Trials}
	tapped := in.Tapped
	if tapped == 0 {
		tapped = 50
	}
	tapped = min(max(tapped, 0), in.Data.Len())
	total := tapped
	if len(in.Samples) > 0 {
		total += 2 * len(in.Samples)
	}
	if in.Before != nil {
		total -= len(in.Samples)
	}
	tick := in.ticker(total)
	measure := r.heads
	if len(in.Samples) == 0 {
		measure = func(ctx context.Context, in Input, _ func()) error { return r.outputs(ctx, in) }
	}
	if err := measure(ctx, in, tick); err != nil {
		return nil, err
	}
	if tapped > 0 {
		var err error
		if r.Tensors, err = tensors(ctx, in, quant.Spread(in.Data, tapped), tick); err != nil {
			return nil, err
		}
	}
	if mode := r.Recipe.Mode; mode == quant.Dynamic || mode == quant.Int16x8 {
		r.Notes = append(r.Notes, "tensor by tensor, only the error of the weights is shown: the instrument does not compute in mode "+string(mode))
	}
	if err := r.ask(ctx, in); err != nil {
		return nil, err
	}
	r.judge()
	return r, nil
}

// heads measures a face model.
func (r *Report) heads(ctx context.Context, in Input, tick func()) error {
	before, err := in.Before, error(nil)
	if before == nil {
		if before, err = ask(ctx, in, in.Float, tick); err != nil {
			return err
		}
	}
	after, err := ask(ctx, in, in.File, tick)
	if err != nil {
		return err
	}
	r.FloatEngine, r.Engine = before.engine, after.engine
	if len(before.heads) != len(after.heads) || len(before.faces) != len(after.faces) {
		return fmt.Errorf("report: %d heads about %d faces in float, quantised %d about %d",
			len(before.heads), len(before.faces), len(after.heads), len(after.faces))
	}
	for h := range before.heads {
		head := headOf(before.heads[h], h, in.Heads, in.Samples, before.faces, after.faces)
		if doubt := head.doubt(); doubt != "" {
			r.Doubts = append(r.Doubts, doubt)
		}
		r.Heads = append(r.Heads, head)
	}
	return nil
}

// Samples by which layers and advice are measured.
const adviceSamples = 16

// ask measures which layer hurts most, and what comes nearer to float. It takes
// a while, so a file that is good enough is spared the second.
func (r *Report) ask(ctx context.Context, in Input) error {
	if in.Graph == nil || !r.Recipe.Quantises() {
		return nil
	}
	j, err := quant.NewJudge(ctx, in.Graph, in.Data, adviceSamples, in.Options)
	if err != nil {
		return err
	}
	if r.OutputSNR, err = j.SNR(in.Result.Graph); err != nil {
		return err
	}
	if r.Layers, err = quant.Sweep(in.Result, j, quant.Options{Threads: in.Threads, Progress: in.Progress}); err != nil {
		return err
	}
	if r.enough() {
		return nil
	}
	r.Advice, err = quant.Advise(ctx, in.Graph, in.Result, in.Calibration, j, r.Layers, in.Options)
	return err
}

// ticker counts steps for Progress.
func (in *Input) ticker(total int) func() {
	var mu sync.Mutex
	done := 0
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		if in.Progress != nil {
			in.Progress(done, total)
		}
	}
}

// Answers are a file's about the samples.
type Answers struct {
	faces  [][]answer // then head by head
	heads  []model.Head
	engine string
}

// Ask runs the samples through the float file, for Input.Before.
func Ask(ctx context.Context, in Input) (*Answers, error) {
	return ask(ctx, in, in.Float, in.ticker(len(in.Samples)))
}

// ask runs every sample through a file.
func ask(ctx context.Context, in Input, file []byte, tick func()) (*Answers, error) {
	threads := in.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	out := make([][]answer, len(in.Samples))
	errs := make([]error, threads)
	specs := make([]*model.Spec, threads)
	engines := make([]string, threads)
	var wg sync.WaitGroup
	for w := range threads {
		wg.Go(func() {
			m, err := in.Open(file)
			if err != nil {
				errs[w] = err
				return
			}
			defer m.Close()
			specs[w], engines[w] = m.Spec(), m.Engine()
			scores := m.Spec().NewScores()
			face := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
			for i := w; i < len(in.Samples); i += threads {
				if errs[w] = ctx.Err(); errs[w] != nil {
					return
				}
				copy(face.Pix, in.Samples[i].Face)
				if errs[w] = m.Predict(face, scores); errs[w] != nil {
					return
				}
				for h, p := range scores.Heads {
					head := specs[w].Heads[h]
					a := answer{label: head.Answer(p)}
					if a.p = p[a.label]; head.Measures() {
						a.value, _ = model.Mean(head.Values(), p)
					}
					out[i] = append(out[i], a)
				}
				tick()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Answers{out, specs[0].Heads, engines[0]}, nil
}

// headOf adds up one head; h is its place among the answers.
func headOf(head model.Head, h int, all []model.Head, samples []Sample, before, after [][]answer) Head {
	at := model.Index(all, head.Name)
	if head.Measures() {
		return measuredHead(head, at, h, samples, before, after)
	}
	out := Head{Name: head.Name}
	var total tally
	classes := make([]tally, len(head.Labels))
	groups := map[string]*tally{}
	var names []string
	for i, s := range samples {
		f, q := before[i][h], after[i][h]
		if f.label == q.label {
			out.Agreement++
		}
		out.MeanShift += math.Abs(float64(f.p-q.p)) * 100
		if at < 0 || at >= len(s.Labels) || s.Labels[at] < 0 || int(s.Labels[at]) >= len(classes) {
			continue
		}
		want := int(s.Labels[at])
		total.add(f.label == want, q.label == want)
		classes[want].add(f.label == want, q.label == want)
		for k, other := range all {
			if k == at || k >= len(s.Labels) || s.Labels[k] < 0 || int(s.Labels[k]) >= len(other.Labels) {
				continue
			}
			name := other.Name + " " + other.Labels[s.Labels[k]]
			if groups[name] == nil {
				groups[name] = &tally{}
				names = append(names, name)
			}
			groups[name].add(f.label == want, q.label == want)
		}
	}
	out.Agreement /= float64(len(samples))
	out.MeanShift /= float64(len(samples))
	out.All = total.score(head.Name)
	for k, l := range head.Labels {
		if classes[k].n > 0 {
			out.Classes = append(out.Classes, classes[k].score(l))
		}
	}
	slices.Sort(names)
	for _, n := range names {
		out.Groups = append(out.Groups, groups[n].score(n))
	}
	return out
}

// tally counts pairs of answers on the same faces.
type tally struct{ n, float, quant, lost, won int }

func (t *tally) add(float, quant bool) {
	t.n++
	if float {
		t.float++
	}
	if quant {
		t.quant++
	}
	if float && !quant {
		t.lost++
	}
	if quant && !float {
		t.won++
	}
}

// score gives the accuracies and the interval of their difference. The two
// are of the same faces, so only faces on which they differ count: Agresti and
// Min's adjusted interval for matched pairs (2005), half a face added to each
// cell, which also holds when nothing differs.
func (t *tally) score(name string) Score {
	s := Score{Name: name, N: t.n, Lost: t.lost, Won: t.won}
	if t.n == 0 {
		return s
	}
	s.Float, s.Quant = float64(t.float)/float64(t.n), float64(t.quant)/float64(t.n)
	s.Drop = 100 * float64(t.lost-t.won) / float64(t.n)
	b, c, n := float64(t.lost)+0.5, float64(t.won)+0.5, float64(t.n)+2
	d := (b - c) / n
	w := 1.96 * math.Sqrt(max(b+c-(b-c)*(b-c)/n, 0)) / n
	s.Low, s.High = 100*(d-w), 100*(d+w)
	return s
}

// Worst returns the head that lost most, and false when no face has a label.
func (r *Report) Worst() (Head, bool) {
	var worst Head
	for _, h := range r.Heads {
		if h.All.N > 0 && (worst.All.N == 0 || h.All.Drop > worst.All.Drop) {
			worst = h
		}
	}
	return worst, worst.All.N > 0
}

// over says whether a score lost more than the limit. What was measured
// decides, not its interval: a run that says the same each time is worth more
// to those who wait for it than one that is right more often.
func (s Score) over(limit float64) bool { return s.Drop > limit+1e-9 }

// chance says, in words, whether the interval leaves it open on which side of
// the limit the true loss is; "" when it does not.
func (s Score) chance(limit float64) string {
	if s.Low > limit || s.High <= limit {
		return ""
	}
	return fmt.Sprintf("; the limit is inside the 95%% interval, %.2f to %.2f, so only more faces can tell for sure", s.Low, s.High)
}

// layers returns the names of what layers compute.
func layers(g *graph.Graph) map[string]bool {
	out := map[string]bool{}
	for _, o := range g.Ops {
		for _, i := range o.Outputs {
			out[g.Tensors[i].Name] = true
		}
	}
	return out
}
