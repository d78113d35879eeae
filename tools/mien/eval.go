package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"mien/runtime/model"
	"mien/train"
	"mien/train/data"
)

type evalCmd struct {
	Model      string `help:"Model or checkpoint." placeholder:"F.tflite|F.safetensors" required:""`
	Data       string `help:"Data set as KIND:DIR (${kinds})." placeholder:"KIND:DIR" required:""`
	Split      string `help:"train, val, test, private or all. By default the test split, or all images of a set that has none."`
	splitFlags `embed:""`
	Limit      int    `help:"At most that many images of each published split."`
	Engine     string `help:"Engine for a .tflite: tflite, portable, or auto." default:"auto" enum:"auto,tflite,portable"`
	JSON       bool   `help:"Print JSON." name:"json"`
	Threads    int    `help:"Threads; 0 means one for each CPU."`
}

// evalReport is what --json prints.
type evalReport struct {
	Model  string                        `json:"model"`
	Engine string                        `json:"engine"`
	Data   string                        `json:"data"`
	Split  string                        `json:"split"`
	Images int                           `json:"images"`
	Heads  map[string]*train.HeadMetrics `json:"heads"`
	// Groups are the accuracies among the images of one label of another head.
	Groups map[string][]train.Group `json:"groups"`
	// Scaled are the calibration errors after the card's temperatures.
	Scaled map[string]float64 `json:"ece_scaled,omitempty"`
}

func (c *evalCmd) Run(e env) error {
	measure, card, err := c.open(e)
	if err != nil {
		return err
	}
	sets, err := loadSets(e, []string{c.Data}, c.options(c.Limit))
	if err != nil {
		return err
	}
	samples, split, err := sets[0].Select(c.Split)
	if err != nil {
		return err
	}
	b := newBar(e.stderr, "measuring", "images", len(samples))
	engine, m, err := measure(samples, b.set)
	b.end()
	if err != nil {
		return err
	}
	r := evalReport{Model: c.Model, Engine: engine, Data: c.Data, Split: split, Images: len(samples), Heads: m.Heads,
		Groups: map[string][]train.Group{}, Scaled: map[string]float64{}}
	for i, h := range model.Heads() {
		x := m.Heads[h.Name]
		if x == nil || x.N == 0 {
			continue
		}
		r.Groups[h.Name] = train.Groups(samples, m.Said, m.Said, i)
		if t := temperatureOf(card, h.Name); t != 1 {
			r.Scaled[h.Name] = x.ScaledECE(t)
		}
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	return r.print(e.stdout)
}

type measureFunc func([]data.Sample, func(int)) (engine string, m *train.Metrics, err error)

// open reads the model and its card, so that a bad one is told before the
// images are read.
func (c *evalCmd) open(e env) (measureFunc, model.Card, error) {
	if filepath.Ext(c.Model) == ".safetensors" {
		net, err := train.Open(c.Model, 32, threads(c.Threads))
		if err != nil {
			return nil, model.Card{}, err
		}
		return func(s []data.Sample, progress func(int)) (string, *train.Metrics, error) {
			m, err := train.EvalNet(e.ctx, net, s, progress)
			return "train/nn", m, err
		}, model.Card{}, nil
	}
	b, err := os.ReadFile(c.Model)
	if err != nil {
		return nil, model.Card{}, err
	}
	mod, err := openEngine(c.Engine, b, threads(c.Threads))
	if err != nil {
		return nil, model.Card{}, fmt.Errorf("%s: %w", c.Model, err)
	}
	return func(s []data.Sample, progress func(int)) (string, *train.Metrics, error) {
		defer mod.Close()
		m, err := train.EvalModel(e.ctx, mod, s, progress)
		return mod.Engine(), m, err
	}, mod.Spec().Card, nil
}

func (r evalReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s on %s, split %s, %d images (%s)\n", r.Model, r.Data, r.Split, r.Images, r.Engine)
	for _, h := range model.Heads() {
		m := r.Heads[h.Name]
		if m == nil || m.N == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: n %d, accuracy %.4f, loss %.4f, calibration error %.4f", h.Name, m.N, m.Accuracy, m.Loss, m.ECE)
		if scaled, ok := r.Scaled[h.Name]; ok {
			fmt.Fprintf(w, " (%.4f at the card's temperature)", scaled)
		}
		fmt.Fprintln(w)
		if err := printConfusion(w, h, m); err != nil {
			return err
		}
		if err := printGroups(w, r.Groups[h.Name]); err != nil {
			return err
		}
	}
	return nil
}

// printConfusion prints a row for each true label and a column for each
// answer, and how well each label is told.
func printConfusion(w io.Writer, h model.Head, m *train.HeadMetrics) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "true \\ said\t%s\tprecision\trecall\tF1\t\n", strings.Join(h.Labels, "\t"))
	for i, s := range m.Classes(h.Labels) {
		fmt.Fprintf(t, "%s\t", s.Label)
		for _, n := range m.Confusion[i] {
			fmt.Fprintf(t, "%d\t", n)
		}
		if s.N > 0 {
			fmt.Fprintf(t, "%.4f\t%.4f\t%.4f\t\n", s.Precision, s.Recall, s.F1)
		} else {
			fmt.Fprint(t, "\t\t\t\n")
		}
	}
	return t.Flush()
}

// printGroups prints accuracies among the labels of the other heads.
func printGroups(w io.Writer, groups []train.Group) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "among\tn\taccuracy\t\n")
	for _, g := range groups {
		mark := ""
		if g.Said {
			mark = " by its own answer"
		}
		fmt.Fprintf(t, "%s %s%s\t%d\t%.4f\t\n", g.By, g.Label, mark, g.N, g.Accuracy())
	}
	return t.Flush()
}
