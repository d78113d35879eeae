package main

import (
	"errors"
	"fmt"
	"os"

	"mien/runtime/atomicfile"
	"mien/runtime/model"
	"mien/train/card"
	"mien/train/data"
)

type cardCmd struct {
	Model      string   `arg:"" name:"f.tflite" help:"Model to measure."`
	Data       []string `help:"Data sets that it was trained on, as KIND:DIR (${kinds}): the temperatures are found on their val split, the figures are of their test split." placeholder:"KIND:DIR" required:"" sep:"none" check:"data"`
	Other      []string `help:"Data sets that taught nothing, for figures on photographs or by labels of another origin." placeholder:"KIND:DIR" sep:"none" check:"data"`
	Checkpoint string   `help:"The checkpoint that it was made from, for the figures in float; without it those of the card are kept." placeholder:"F.safetensors"`
	Out        string   `help:"Write the model there with its card filled in, and the card as Markdown beside it." placeholder:"F.tflite"`
	Reproduce  string   `help:"The commands that make this file, for the card." placeholder:"TEXT"`
	Check      bool     `help:"Fail when a figure in the card is not what is measured now."`
	Engine     string   `help:"Engine: portable answers alike on every machine; tflite or auto." default:"portable" enum:"auto,tflite,portable"`
	Threads    int      `help:"Threads; 0 means one for each CPU." least:"0"`
}

func (c *cardCmd) Run(e env) error {
	if c.Check == (c.Out != "") {
		return errors.New("card: want either --out F.tflite or --check")
	}
	file, err := os.ReadFile(c.Model)
	if err != nil {
		return err
	}
	g, spec, err := card.Of(file)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Model, err)
	}
	filled, err := c.fill(e, file, spec.Card)
	if err != nil {
		return err
	}
	if c.Check {
		if err := card.Same(spec.Card, filled, c.Checkpoint != ""); err != nil {
			return fmt.Errorf("%s: %w", c.Model, err)
		}
		_, err = fmt.Fprintf(e.stdout, "%s: its card says what is measured\n", c.Model)
		return err
	}
	if file, err = withCard(g, filled); err != nil {
		return err
	}
	page := card.Page(c.Out, file, filled)
	if err := atomicfile.Write(c.Out, file); err != nil {
		return err
	}
	if err := atomicfile.Write(card.PagePath(c.Out), []byte(page)); err != nil {
		return err
	}
	_, err = fmt.Fprint(e.stdout, page)
	return err
}

// sets loads data sets, split as in the run that trained the model.
func (c *cardCmd) sets(e env, specs []string, is model.Card) ([]*data.Set, error) {
	if len(specs) == 0 {
		return nil, nil
	}
	o, err := splitFlags{}.options(is.Recipe, is.Heads, 0)
	if err != nil {
		return nil, err
	}
	return loadSets(e, specs, o)
}

// fill measures everything that the card tells.
func (c *cardCmd) fill(e env, file []byte, is model.Card) (model.Card, error) {
	sets, err := c.sets(e, c.Data, is)
	if err != nil {
		return is, err
	}
	others, err := c.sets(e, c.Other, is)
	if err != nil {
		return is, err
	}
	mod, err := openEngine(c.Engine, file, threads(c.Threads))
	if err != nil {
		return is, fmt.Errorf("%s: %w", c.Model, err)
	}
	defer mod.Close()
	m := card.Maker{Sets: sets, Others: others, Checkpoint: c.Checkpoint, Limits: commonLimits, Threads: threads(c.Threads),
		Progress: func(title string, total int) (func(int), func()) {
			b := newBar(e.stderr, title, "images", total)
			return b.set, b.end
		}}
	if is, err = m.Fill(e.ctx, mod, is); err == nil && c.Reproduce != "" {
		is.Reproduce = c.Reproduce
	}
	return is, err
}
