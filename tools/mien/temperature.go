package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"mien/runtime/atomicfile"
	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/train"
	cards "mien/train/card"
	"mien/train/data"
)

type temperatureCmd struct {
	Model      string   `arg:"" name:"f.tflite" help:"Model whose confidences shall mean what they say."`
	Data       []string `help:"Data sets as KIND:DIR (${kinds})." placeholder:"KIND:DIR" required:"" check:"data" sep:"none"`
	Split      string   `help:"Split to find the temperatures on; the test split is measured besides, where there is one." default:"val" check:"split"`
	Out        string   `help:"File to write, with the temperatures in its card. By default nothing is written." placeholder:"F.tflite"`
	splitFlags `embed:""`
	Limit      int    `help:"At most that many images of each published split."`
	Engine     string `help:"Engine: tflite, portable, or auto." default:"auto" enum:"auto,tflite,portable"`
	JSON       bool   `help:"Print JSON." name:"json"`
	Threads    int    `help:"Threads; 0 means one for each CPU." least:"0"`
}

// temperature is what was found of one head. ECE is the expected calibration
// error over 15 bins, before and after scaling with the temperature; held-out
// figures are of the test split, which the temperature never saw.
type temperature struct {
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

func (c *temperatureCmd) Run(e env) error {
	file, err := os.ReadFile(c.Model)
	if err != nil {
		return err
	}
	mod, err := openEngine(c.Engine, file, threads(c.Threads))
	if err != nil {
		return fmt.Errorf("%s: %w", c.Model, err)
	}
	defer mod.Close()
	o, err := c.options(mod.Spec().Card.Recipe, mod.Spec().Heads, c.Limit)
	if err != nil {
		return err
	}
	sets, err := loadSets(e, c.Data, o)
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
		if c.Split != data.Test && c.Split != data.All {
			if some, _, err := s.Select(data.Test); err == nil {
				test = append(test, some...)
			}
		}
	}
	fitted, err := measureModel(e, mod, mod.Spec().Heads, fit, "looking")
	if err != nil {
		return err
	}
	held, err := measureModel(e, mod, mod.Spec().Heads, test, "looking")
	if err != nil {
		return err
	}
	all, err := fitHeads(mod.Spec(), fitted, held)
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
	return printTemperatures(e.stdout, all)
}

// measureModel lets a model look at the samples.
func measureModel(e env, mod infer.Model, heads []model.Head, samples []data.Sample, title string) (*train.Metrics, error) {
	b := newBar(e.stderr, title, "images", len(samples))
	defer b.end()
	return train.EvalModel(e.ctx, mod, heads, samples, b.set)
}

// fitHeads finds the temperature of each head.
func fitHeads(spec *model.Spec, fit, held *train.Metrics) ([]temperature, error) {
	found, err := fit.Temperatures(spec)
	if err != nil {
		return nil, err
	}
	out := make([]temperature, len(spec.Heads))
	for k, h := range spec.Heads {
		m, t := fit.Heads[h.Name], found[k]
		out[k] = temperature{Head: h.Name, N: m.N, Temperature: t, Before: m.ECE, After: m.ScaledECE(t)}
		if m := held.Heads[h.Name]; m.N > 0 && out[k].N > 0 {
			out[k].HeldOut = &heldOutECE{m.N, m.ECE, m.ScaledECE(t)}
		}
	}
	return out, nil
}

// writeTemperatures writes the model again with the temperatures in its card.
func writeTemperatures(path string, file []byte, all []temperature) error {
	g, spec, err := cards.Of(file)
	if err != nil {
		return err
	}
	card := spec.Card
	card.Temperature = nil
	for _, c := range all {
		card.Temperature = append(card.Temperature, c.Temperature)
	}
	if file, err = withCard(g, card); err != nil {
		return err
	}
	if err := atomicfile.Write(path, file); err != nil {
		return fmt.Errorf("%s: %w", filepath.Clean(path), err)
	}
	return nil
}

func printTemperatures(w io.Writer, all []temperature) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "head\tn\ttemperature\tECE\tscaled\theld out n\tECE\tscaled\t")
	for _, c := range all {
		if c.N == 0 {
			fmt.Fprintf(t, "%s\t0\t%.3f\tkept\t\t\t\t\t\n", c.Head, c.Temperature)
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
