package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"mien/quant"
	"mien/train"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/qat"
)

// tune trains the checkpoint on for the integers of the plan, writes the new
// checkpoint beside the output and returns its path. It looks at all training
// faces of --calibrate; none needs a label.
func (c *quantizeCmd) tune(e env, plan *quant.Plan) (string, error) {
	if c.Plan != "" {
		return "", errors.New("--tune makes new weights, for which --plan was not made: leave one out")
	}
	if len(plan.Equal) > 0 {
		return "", errors.New("--tune trains the network as it is, not as --equalise rescales it: leave one out")
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
	var faces []quant.Face
	for _, spec := range c.Calibrate {
		samples, err := loadFaces(e, spec, []string{data.Train, data.All}, -1, c.Seed)
		if err != nil {
			return "", err
		}
		for _, s := range samples {
			faces = append(faces, s.Face)
		}
	}
	b := newBar(e.stderr, "training for integers", "steps", c.Tune)
	weights, err := qat.Tune(e.ctx, net, f.Floats(), plan, faces,
		qat.Options{Steps: c.Tune, Heads: c.Heads, Seed: c.Seed, Threads: threads(c.Threads), Progress: b.set})
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
