package main

import (
	"encoding/json"
	"fmt"
	"math"
	"text/tabwriter"

	"mien/quant"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/model"
	"mien/train/data"
)

type diffCmd struct {
	A       string `arg:"" help:"The model that is right." placeholder:"A.tflite"`
	B       string `arg:"" help:"The model to compare with it." placeholder:"B.tflite"`
	Faces   string `help:"Faces to run: KIND:DIR (${kinds}) or faces:DIR, a folder of crops. By default eight made-up pictures." placeholder:"KIND:DIR" check:"faces"`
	N       int    `help:"How many faces." default:"50"`
	JSON    bool   `help:"Print JSON." name:"json"`
	Threads int    `help:"Threads; 0 means one for each CPU." least:"0"`
}

// tensorDiff is what --json prints of a tensor.
type tensorDiff struct {
	Name   string  `json:"name"`
	Type   string  `json:"type"`
	Shape  []int   `json:"shape"`
	SNR    float64 `json:"snr_db"` // 999 where nothing differs
	Cosine float64 `json:"cosine"`
	Max    float64 `json:"max_error"`
}

func (c *diffCmd) Run(e env) error {
	a, err := c.model(c.A)
	if err != nil {
		return err
	}
	b, err := c.model(c.B)
	if err != nil {
		return err
	}
	faces, err := c.faces(e)
	if err != nil {
		return err
	}
	diffs, err := quant.Compare(e.ctx, a, b, nil, faces, quant.Options{Threads: c.Threads})
	if err != nil {
		return err
	}
	var out []tensorDiff
	for _, d := range diffs {
		out = append(out, tensorDiff{d.Name, d.Type, d.Shape, math.Min(d.SNR(), 999), d.Cosine(), d.MaxError})
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(out)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "tensor\ttype\tshape\tSNR dB\tcosine\tlargest difference")
	for _, d := range out {
		snr := "equal"
		if d.SNR < 999 {
			snr = fmt.Sprintf("%.1f", d.SNR)
		}
		fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%.6f\t%.4g\n", d.Name, d.Type, d.Shape, snr, d.Cosine, d.Max)
	}
	return w.Flush()
}

// model reads a face model. One that the instrument does not compute (dynamic
// range, int16) is compared by its weights.
func (c *diffCmd) model(path string) (*graph.Graph, error) {
	g, _, err := readGraph(path)
	if err != nil {
		return nil, err
	}
	if _, err := flatfile.SpecOf(g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p, err := quant.Computable(g)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func (c *diffCmd) faces(e env) (quant.Faces, error) {
	if c.Faces == "" {
		return madeUp(8), nil
	}
	samples, err := loadFaces(e, c.Faces, []string{"test", "val", "all"}, c.N, data.Options{Seed: 1})
	if err != nil {
		return nil, err
	}
	var out quant.Faces
	for _, s := range samples {
		out = append(out, s.Face)
	}
	return out, nil
}

// madeUp returns smooth pictures, for a comparison that needs no data.
func madeUp(n int) quant.Faces {
	out := make(quant.Faces, n)
	for i := range out {
		f := make(quant.Face, model.Side*model.Side)
		for k := range f {
			x, y := float64(k%model.Side), float64(k/model.Side)
			f[k] = uint8(128 + 60*math.Sin(x*(0.05+0.04*float64(i)))*math.Cos(y*(0.2-0.02*float64(i))) + float64(k*(i+7)%23))
		}
		out[i] = f
	}
	return out
}
