package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"mien/quant/tflite"
	"mien/runtime/atomicfile"
	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/runtime/model/confidence"
	"mien/train/data"
)

type calibrateCmd struct {
	Model   string   `arg:"" name:"f.tflite" help:"Model whose confidences shall mean what they say."`
	Data    []string `help:"Data sets as KIND:DIR (${kinds})." placeholder:"KIND:DIR" required:""`
	Split   string   `help:"Split to find the temperatures on; a published test split is measured besides, if there is one." default:"val"`
	Out     string   `help:"File to write, with the temperatures in its card. By default nothing is written." placeholder:"F.tflite"`
	Seed    uint64   `help:"Seed of the split into train and val." default:"1"`
	Limit   int      `help:"At most that many images of each published split."`
	Engine  string   `help:"Engine: tflite, portable, or auto." default:"auto" enum:"auto,tflite,portable"`
	JSON    bool     `help:"Print JSON." name:"json"`
	Threads int      `help:"Threads; 0 means one for each CPU."`
}

// calibration is what was found of one head. ECE is the expected calibration
// error over 15 bins, before and after scaling with the temperature; held-out
// figures are of the published test split, which the temperature never saw.
type calibration struct {
	Head        string      `json:"head"`
	N           int         `json:"n"`
	Temperature float32     `json:"temperature"`
	Before      float64     `json:"ece_before"`
	After       float64     `json:"ece_after"`
	HeldOut     *heldOutECE `json:"held_out,omitempty"`
}

type heldOutECE struct {
	N      int     `json:"n"`
	Before float64 `json:"ece_before"`
	After  float64 `json:"ece_after"`
}

const eceBins = 15

func (c *calibrateCmd) Run(e env) error {
	file, err := os.ReadFile(c.Model)
	if err != nil {
		return err
	}
	mod, err := openEngine(c.Engine, file, threads(c.Threads))
	if err != nil {
		return fmt.Errorf("%s: %w", c.Model, err)
	}
	defer mod.Close()
	sets, err := loadSets(e, c.Data, data.Options{Seed: c.Seed, Limit: c.Limit})
	if err != nil {
		return err
	}
	var fit, test []data.Sample
	for _, s := range sets {
		some, _, err := s.Select(c.Split)
		if err != nil {
			return err
		}
		fit = append(fit, some...)
		if s.Published && c.Split != data.Test && c.Split != data.All {
			if some, _, err := s.Select(data.Test); err == nil {
				test = append(test, some...)
			}
		}
	}
	fitted, err := answersOf(e, mod, fit)
	if err != nil {
		return err
	}
	held, err := answersOf(e, mod, test)
	if err != nil {
		return err
	}
	all, err := calibrateHeads(mod.Spec(), fitted, held)
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := writeTemperatures(c.Out, file, all); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(all)
	}
	return printCalibration(e.stdout, all)
}

// answers are the probabilities that a head gave and the true labels; a
// picture without a label has -1.
type answers struct {
	p      []float32
	labels []int
}

func (a answers) known() (n int) {
	for _, y := range a.labels {
		if y >= 0 {
			n++
		}
	}
	return n
}

// answersOf lets the model look at the samples; one answers for each head.
func answersOf(e env, mod infer.Model, samples []data.Sample) ([]answers, error) {
	spec := mod.Spec()
	out := make([]answers, len(spec.Heads))
	scores := spec.NewScores()
	face := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	b := newBar(e.stderr, "looking", "images", len(samples))
	defer b.end()
	for i := range samples {
		if e.ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
		copy(face.Pix, samples[i].Face)
		if err := mod.Predict(face, scores); err != nil {
			return nil, fmt.Errorf("%s: %w", samples[i].Path, err)
		}
		for k, h := range spec.Heads {
			out[k].p = append(out[k].p, scores.Heads[k]...)
			out[k].labels = append(out[k].labels, trueLabel(&samples[i], h.Name))
		}
		b.set(i + 1)
	}
	return out, nil
}

func trueLabel(s *data.Sample, head string) int {
	for k, h := range model.Heads() {
		if h.Name == head {
			return int(s.Labels[k])
		}
	}
	return data.NoLabel
}

// calibrateHeads finds the temperature of each head. A head that no picture
// has a label for keeps 1.
func calibrateHeads(spec *model.Spec, fit, held []answers) ([]calibration, error) {
	out := make([]calibration, len(spec.Heads))
	for k, h := range spec.Heads {
		c := calibration{Head: h.Name, N: fit[k].known(), Temperature: 1}
		if c.N > 0 {
			var err error
			if c.Temperature, err = confidence.Fit(fit[k].p, len(h.Labels), fit[k].labels); err != nil {
				return nil, fmt.Errorf("head %s: %w", h.Name, err)
			}
			if c.Before, c.After, err = beforeAfter(fit[k], len(h.Labels), c.Temperature); err != nil {
				return nil, fmt.Errorf("head %s: %w", h.Name, err)
			}
		}
		if n := held[k].known(); n > 0 && c.N > 0 {
			before, after, err := beforeAfter(held[k], len(h.Labels), c.Temperature)
			if err != nil {
				return nil, fmt.Errorf("head %s: %w", h.Name, err)
			}
			c.HeldOut = &heldOutECE{n, before, after}
		}
		out[k] = c
	}
	return out, nil
}

// beforeAfter is the calibration error of a as it is, and scaled with t.
func beforeAfter(a answers, classes int, t float32) (before, after float64, err error) {
	if before, err = confidence.ECE(a.p, classes, a.labels, eceBins); err != nil {
		return 0, 0, err
	}
	scaled := append([]float32(nil), a.p...)
	for i := 0; i < len(scaled); i += classes {
		confidence.Scale(scaled[i:i+classes], t)
	}
	after, err = confidence.ECE(scaled, classes, a.labels, eceBins)
	return before, after, err
}

// writeTemperatures writes the model again with the temperatures in its card.
func writeTemperatures(path string, file []byte, all []calibration) error {
	g, err := tflite.Unmarshal(file)
	if err != nil {
		return err
	}
	spec, err := tflite.SpecOf(g)
	if err != nil {
		return err
	}
	card := spec.Card
	card.Heads = spec.Heads // in the order of the temperatures
	card.Temperature = nil
	for _, c := range all {
		card.Temperature = append(card.Temperature, c.Temperature)
	}
	b, err := card.Marshal()
	if err != nil {
		return err
	}
	g.SetMeta(model.CardKey, b)
	if file, err = tflite.Marshal(g); err != nil {
		return err
	}
	if err := atomicfile.Write(path, file); err != nil {
		return fmt.Errorf("%s: %w", filepath.Clean(path), err)
	}
	return nil
}

func printCalibration(w io.Writer, all []calibration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "head\tn\ttemperature\tECE\tscaled\theld out n\tECE\tscaled\t")
	for _, c := range all {
		if c.N == 0 {
			fmt.Fprintf(t, "%s\t0\t1\t\t\t\t\t\t\n", c.Head)
			continue
		}
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.4f\t%.4f\t", c.Head, c.N, c.Temperature, c.Before, c.After)
		if h := c.HeldOut; h != nil {
			fmt.Fprintf(t, "%d\t%.4f\t%.4f\t\n", h.N, h.Before, h.After)
		} else {
			fmt.Fprint(t, "\t\t\t\n")
		}
	}
	return t.Flush()
}
