package report

import (
	"context"
	"fmt"
	"math"
	"slices"

	"mien/quant"
	"mien/runtime/graph"
)

// Output is how far one output of the file is from the float model's.
type Output struct {
	Name  string  `json:"name"`
	Type  string  `json:"type"`
	Shape []int   `json:"shape"`
	SNR   float64 `json:"snr_db"`
	// MedianSNR is that of the sample in the middle, and Worst that which is
	// farthest from float: SNR counts all samples together, and a few of large
	// values rule it.
	MedianSNR float64 `json:"median_snr_db"`
	Worst     string  `json:"worst_sample"`
	WorstSNR  float64 `json:"worst_sample_snr_db"`
	Cosine    float64 `json:"cosine"`
	MaxError  float64 `json:"max_error"`
	Largest   float64 `json:"largest"` // magnitude that the float model gave
	// NotFinite counts the values of the file that are NaN or infinite.
	NotFinite int `json:"not_finite,omitempty"`
	// Top1 is, of a distribution, on which part of its rows the largest value is
	// in the same place; absent of others.
	Top1 *float64 `json:"top1_agreement,omitempty"`
	// Steps is the largest difference between the two engines, in steps of the
	// output's integers; absent where only one engine runs the file.
	Steps *float64 `json:"engines_differ_steps,omitempty"`
}

// Limits are what the outputs of a file may cost. The zero value has none.
type Limits struct {
	MinSNR   *float64 `json:"min_snr_db,omitempty"` // of every output
	MaxError *float64 `json:"max_error,omitempty"`  // of every value
}

// Outputs compares the outputs of in.File with those of in.Float on in.Data, one
// by one in the files' order: what Compare says of a model without heads, and no
// more. Any two files of the same inputs and outputs can be compared so.
func Outputs(ctx context.Context, in Input) ([]Output, error) {
	var r Report
	err := r.outputs(ctx, in)
	return r.Outputs, err
}

// outputs measures every output of the file in the engine that runs it.
func (r *Report) outputs(ctx context.Context, in Input) error {
	before, err := fileAnswers(ctx, in.Engine, in.Float, in.Data, in.Threads)
	if err != nil {
		return fmt.Errorf("report: the float model: %w", err)
	}
	after, err := fileAnswers(ctx, in.Engine, in.File, in.Data, in.Threads)
	if err != nil {
		return fmt.Errorf("report: the quantised model: %w", err)
	}
	r.FloatEngine, r.Engine = before.engine, after.engine
	if len(before.graph.Outputs) != len(after.graph.Outputs) {
		return fmt.Errorf("report: %d outputs in float, %d quantised", len(before.graph.Outputs), len(after.graph.Outputs))
	}
	for k, d := range quant.CompareAnswers(before.graph, after.graph, before.Answers, after.Answers) {
		o := Output{Name: d.Name, Type: d.Type, Shape: d.Shape, SNR: min(d.SNR(), maxSNR), Cosine: d.Cosine(), MaxError: d.MaxError, NotFinite: d.NotFinite}
		o.eachSample(d.Samples(), in.Data)
		for _, sample := range before.Answers {
			for _, x := range sample[k] {
				o.Largest = max(o.Largest, math.Abs(float64(x)))
			}
		}
		if distribution(before.graph, before.graph.Outputs[k]) && d.Rows > 0 {
			part := float64(d.Same) / float64(d.Rows)
			o.Top1 = &part
		}
		r.Outputs = append(r.Outputs, o)
	}
	return r.engines(ctx, in, after)
}

// eachSample says how near to float samples are by themselves.
func (o *Output) eachSample(snr []float64, samples quant.Samples) {
	var known []float64
	for i, v := range snr {
		if math.IsNaN(v) {
			continue
		}
		if len(known) == 0 || v < o.WorstSNR {
			o.Worst, o.WorstSNR = quant.NameOf(samples, i), v
		}
		known = append(known, v)
	}
	if len(known) > 0 {
		slices.Sort(known)
		o.MedianSNR = known[len(known)/2]
	}
}

// engines runs the file in the other engine, too, where there are two.
func (r *Report) engines(ctx context.Context, in Input, first *answers) error {
	if in.Engine == "tflite" || in.Engine == "portable" {
		return nil
	}
	name := "portable"
	if first.engine == "portable" {
		return nil // it is the last that was tried
	}
	few := quant.Spread(in.Data, 16)
	one, err := fileAnswers(ctx, first.engine, in.File, few, in.Threads)
	if err != nil {
		return err
	}
	two, err := fileAnswers(ctx, name, in.File, few, in.Threads)
	if err != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("the %s engine does not run the file: %v", name, err))
		return nil
	}
	for k, at := range first.graph.Outputs {
		t := first.graph.Tensors[at]
		if t.Quant == nil || len(t.Quant.Scale) != 1 {
			continue
		}
		steps := 0.0
		for i := range one.Answers {
			for j, x := range one.Answers[i][k] {
				steps = max(steps, math.Round(math.Abs(float64(x-two.Answers[i][k][j]))/float64(t.Quant.Scale[0])))
			}
		}
		r.Outputs[k].Steps = &steps
	}
	return nil
}

// distribution says whether an output is what a softmax gives.
func distribution(g *graph.Graph, tensor int) bool {
	for {
		i := slices.IndexFunc(g.Ops, func(o *graph.Op) bool { return slices.Contains(o.Outputs, tensor) })
		switch {
		case i < 0:
			return false
		case g.Ops[i].Kind == graph.Softmax:
			return true
		case g.Ops[i].Kind == graph.Reshape || g.Ops[i].Kind == graph.Dequantize || g.Ops[i].Kind == graph.Quantize:
			tensor = g.Ops[i].Inputs[0]
		default:
			return false
		}
	}
}

// worstOutput is the one of least SNR.
func (r *Report) worstOutput() Output {
	return slices.MinFunc(r.Outputs, func(a, b Output) int {
		switch {
		case a.SNR < b.SNR:
			return -1
		case a.SNR > b.SNR:
			return 1
		}
		return 0
	})
}

// broken names the limit that an output breaks, or is "".
func (l Limits) broken(o Output) string {
	switch {
	case l.MinSNR != nil && !(o.SNR >= *l.MinSNR):
		return fmt.Sprintf("output %s has an SNR of %.2f dB, and --min-snr is %g", o.Name, o.SNR, *l.MinSNR)
	case l.MaxError != nil && !(o.MaxError <= *l.MaxError):
		return fmt.Sprintf("output %s is off by up to %.4g, and --max-error is %g", o.Name, o.MaxError, *l.MaxError)
	}
	return ""
}

// Check says what is wrong with limits.
func (l Limits) Check() error {
	for flag, v := range map[string]*float64{"--min-snr": l.MinSNR, "--max-error": l.MaxError} {
		if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
			return fmt.Errorf("%s %v is no limit", flag, *v)
		}
	}
	if l.MaxError != nil && *l.MaxError < 0 {
		return fmt.Errorf("--max-error %g: an error is not below 0", *l.MaxError)
	}
	return nil
}
