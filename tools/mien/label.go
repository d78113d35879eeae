package main

import (
	"bytes"
	"fmt"
	"path/filepath"

	"mien/runtime/atomicfile"
	"mien/runtime/model"
	"mien/train/data"
	"mien/train/label"
)

type labelCmd struct {
	Model   string   `help:"Model or checkpoint that is asked." placeholder:"F.tflite|F.safetensors" required:""`
	Data    string   `help:"Data set as KIND:DIR (${kinds}), of picture files." placeholder:"KIND:DIR" required:"" check:"data"`
	Head    []string `help:"Head to fill in where a picture has no label of it; repeat for several. By default all that the model answers." placeholder:"NAME" sep:"none"`
	Least   float64  `help:"Leave an answer that is less likely empty." default:"0" least:"0" most:"1"`
	Out     string   `help:"Manifest to write, in the set's folder or one above it." placeholder:"F.csv" required:""`
	Limit   int      `help:"At most that many images of each published split."`
	Engine  string   `help:"Engine for a .tflite: tflite, portable, or auto." default:"auto" enum:"auto,tflite,portable"`
	Threads int      `help:"Threads; 0 means one for each CPU." least:"0"`
}

func (c *labelCmd) Run(e env) error {
	of, err := (&evalCmd{Model: c.Model, Engine: c.Engine, Threads: c.Threads}).open(e)
	if err != nil {
		return err
	}
	defer of.close()
	o := label.Options{Heads: c.Head, Least: c.Least}
	if o.Dir, err = filepath.Abs(filepath.Dir(c.Out)); err != nil {
		return err
	}
	if len(o.Heads) == 0 {
		o.Heads = model.Names(of.card.Heads)
	}
	for _, name := range o.Heads {
		if model.Index(of.card.Heads, name) < 0 {
			return fmt.Errorf("%s: no head %q", c.Model, name)
		}
	}
	sets, err := loadSets(e, []string{c.Data}, data.Options{Heads: of.card.Heads, Seed: 1, Validation: 0.1, Limit: c.Limit})
	if err != nil {
		return err
	}
	samples := sets[0].Samples
	for i := range samples {
		if samples[i].Path, err = filepath.Abs(samples[i].Path); err != nil {
			return err
		}
	}
	b := newBar(e.stderr, "labelling", "images", len(samples))
	var out bytes.Buffer
	counts, err := label.Write(&out, of.card.Heads, samples, of.ask, o, b.set)
	b.end()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(c.Out, out.Bytes()); err != nil {
		return err
	}
	for _, name := range o.Heads {
		n := counts[name]
		fmt.Fprintf(e.stdout, "%s: %d labels said, %d were there, %d left empty\n", name, n.Said, n.Had, n.Unsure)
	}
	fmt.Fprintf(e.stdout, "manifest: %s (learn from it with --data manifest:%s)\n", c.Out, c.Out)
	return nil
}
