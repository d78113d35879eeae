package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"mien/runtime/model"
	"mien/train"
	"mien/train/data"
)

type evalCmd struct {
	Model   string `help:"Model or checkpoint." placeholder:"F.tflite|F.safetensors" required:""`
	Data    string `help:"Data set as KIND:DIR (${kinds})." placeholder:"KIND:DIR" required:""`
	Split   string `help:"train, val, test, private or all. By default the published test split, or all images of a set that has none."`
	Seed    uint64 `help:"Seed of the split into train and val." default:"1"`
	Limit   int    `help:"At most that many images of each published split."`
	Engine  string `help:"Engine for a .tflite: tflite, portable, or auto." default:"auto" enum:"auto,tflite,portable"`
	JSON    bool   `help:"Print JSON." name:"json"`
	Threads int    `help:"Threads; 0 means one for each CPU."`
}

// evalReport is what --json prints.
type evalReport struct {
	Model  string                        `json:"model"`
	Engine string                        `json:"engine"`
	Data   string                        `json:"data"`
	Split  string                        `json:"split"`
	Images int                           `json:"images"`
	Heads  map[string]*train.HeadMetrics `json:"heads"`
}

func (c *evalCmd) Run(e env) error {
	measure, err := c.open(e)
	if err != nil {
		return err
	}
	sets, err := loadSets(e, []string{c.Data}, data.Options{Seed: c.Seed, Limit: c.Limit})
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
	r := evalReport{c.Model, engine, c.Data, split, len(samples), m.Heads}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	return r.print(e.stdout)
}

type measureFunc func([]data.Sample, func(int)) (engine string, m *train.Metrics, err error)

// open reads the model, so that a bad one is told before the images are read.
func (c *evalCmd) open(e env) (measureFunc, error) {
	if filepath.Ext(c.Model) == ".safetensors" {
		net, err := train.Open(c.Model, 32, threads(c.Threads))
		if err != nil {
			return nil, err
		}
		return func(s []data.Sample, progress func(int)) (string, *train.Metrics, error) {
			m, err := train.EvalNet(e.ctx, net, s, progress)
			return "train/nn", m, err
		}, nil
	}
	b, err := os.ReadFile(c.Model)
	if err != nil {
		return nil, err
	}
	mod, err := openEngine(c.Engine, b, threads(c.Threads))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Model, err)
	}
	return func(s []data.Sample, progress func(int)) (string, *train.Metrics, error) {
		defer mod.Close()
		m, err := train.EvalModel(e.ctx, mod, s, progress)
		return mod.Engine(), m, err
	}, nil
}

func (r evalReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s on %s, split %s, %d images (%s)\n", r.Model, r.Data, r.Split, r.Images, r.Engine)
	for _, h := range model.Heads() {
		m := r.Heads[h.Name]
		if m == nil || m.N == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: n %d, accuracy %.4f, loss %.4f\n", h.Name, m.N, m.Accuracy, m.Loss)
		if err := printConfusion(w, h, m.Confusion); err != nil {
			return err
		}
	}
	return nil
}

// printConfusion prints a row for each true label and a column for each
// answer.
func printConfusion(w io.Writer, h model.Head, confusion [][]int) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "true \\ said\t")
	for _, l := range h.Labels {
		fmt.Fprintf(t, "%s\t", l)
	}
	fmt.Fprintln(t)
	for i, row := range confusion {
		fmt.Fprintf(t, "%s\t", h.Labels[i])
		for _, n := range row {
			fmt.Fprintf(t, "%d\t", n)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
