package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"mien/quant"
	"mien/train"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/qat"
)

// tune trains the checkpoint on for the integers of the plan, writes the new
// checkpoint beside the output and returns its path. It learns from the
// training splits of --calibrate, with the losses of the recipe that the
// checkpoint was trained by.
func (c *quantizeCmd) tune(e env, plan *quant.Plan) (string, error) {
	if c.Plan != "" {
		return "", errors.New("--tune makes new weights, for which --plan was not made: leave one out")
	}
	f, err := checkpoint.Read(c.Checkpoint)
	if err != nil {
		return "", err
	}
	name := f.Meta[train.MetaArch]
	if name == "" {
		name = "paper"
	}
	net, err := arch.ByName(name)
	if err != nil {
		return "", err
	}
	var weigh []float64
	recipe, err := train.LoadRecipe("paper", nil)
	if text := f.Meta[train.MetaRecipe]; text != "" {
		recipe, err = train.ParseRecipe(c.Checkpoint, []byte(text), nil)
	}
	if err != nil {
		return "", err
	}
	for _, h := range net.Heads {
		if len(c.Heads) > 0 && !slices.Contains(c.Heads, h.Name) {
			weigh = append(weigh, 0)
			continue
		}
		weigh = append(weigh, recipe.Losses.Of(h.Name))
	}
	samples, err := c.labelled(e)
	if err != nil {
		return "", err
	}
	b := newBar(e.stderr, "training for integers", "steps", c.Tune)
	weights, err := qat.Tune(e.ctx, net, f.Floats(), plan, samples, qat.Options{Steps: c.Tune, Seed: c.Seed,
		Threads: threads(c.Threads), LossWeights: weigh, Progress: b.set})
	b.end()
	if err != nil {
		return "", err
	}
	out := &checkpoint.File{Meta: map[string]string{}}
	for k, v := range f.Meta {
		if k != "state" { // of a run that can be resumed, which this is not
			out.Meta[k] = v
		}
	}
	out.Meta["tuned"] = fmt.Sprintf("%d steps for %s", c.Tune, plan.Recipe)
	for _, t := range f.Tensors {
		if w, ok := weights[t.Name]; ok {
			out.Tensors = append(out.Tensors, checkpoint.Tensor{Name: t.Name, Shape: t.Shape, Data: w})
		}
	}
	path := strings.TrimSuffix(c.Out, filepath.Ext(c.Out)) + ".safetensors"
	return path, checkpoint.Write(path, out)
}

// labelled returns the training splits of --calibrate.
func (c *quantizeCmd) labelled(e env) ([]data.Sample, error) {
	var out []data.Sample
	for _, spec := range c.Calibrate {
		if strings.HasPrefix(spec, "faces:") {
			continue // nobody has labelled those
		}
		sets, err := loadSets(e, []string{spec}, data.Options{Seed: c.Seed})
		if err != nil {
			return nil, err
		}
		s, _, err := sets[0].Select(data.Train)
		if err != nil {
			return nil, err
		}
		out = append(out, s...)
	}
	if len(out) == 0 {
		return nil, errors.New("--tune needs a data set with labels in --calibrate")
	}
	return out, nil
}
