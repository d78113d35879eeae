// Package card measures models and says in their cards what was found: how well
// each head does and for whom, its temperature, and what it cannot do. A card's
// page is the same as text.
package card

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/train"
	"mien/train/data"
)

// Of reads a model and its card, whose heads are in the model's order.
func Of(file []byte) (*graph.Graph, *model.Spec, error) {
	g, err := flatfile.Unmarshal(file)
	if err != nil {
		return nil, nil, err
	}
	spec, err := flatfile.SpecOf(g)
	if err != nil {
		return nil, nil, err
	}
	spec.Card.Heads = spec.Heads
	return g, spec, nil
}

// Maker measures what a card tells.
type Maker struct {
	Sets       []*data.Set // split as in the run that trained the model
	Others     []*data.Set // that taught nothing, for figures on photographs or by labels of another origin
	Checkpoint string      // what the model was made from; without it the card's figures in float are kept
	Limits     []string    // what no such model can do
	Threads    int         // for the checkpoint
	// Progress is told of each part of the work, images in all; it returns what
	// is told how many are done, and what is told of the end. Nil tells nobody.
	Progress func(title string, total int) (set func(done int), end func())
}

func (m *Maker) progress(title string, total int) (set func(int), end func()) {
	if m.Progress == nil {
		return func(int) {}, func() {}
	}
	return m.Progress(title, total)
}

// Fill measures everything that the card tells: the temperatures on the val
// splits, the figures on the test splits.
func (m *Maker) Fill(ctx context.Context, mod infer.Model, c model.Card) (_ model.Card, err error) {
	c.Engine, _, _ = strings.Cut(mod.Engine(), " ") // without what is this machine's
	if c.Temperature, err = m.temperatures(ctx, mod); err != nil {
		return c, err
	}
	was := c.Accuracy
	c.Accuracy, c.Training = nil, nil
	for _, s := range m.Sets {
		some, err := m.accuracy(ctx, mod, s, c.Temperature)
		if err != nil {
			return c, err
		}
		c.Accuracy = append(c.Accuracy, some...)
		learned, _, err := s.Select(data.Train)
		if err != nil {
			return c, err
		}
		c.Training = append(c.Training, Source(s.Kind, len(learned)))
	}
	for _, s := range m.Others {
		some, err := m.accuracy(ctx, mod, s, c.Temperature)
		if err != nil {
			return c, err
		}
		for i := range some {
			some[i].Other = true
		}
		c.Accuracy = append(c.Accuracy, some...)
	}
	if m.Checkpoint == "" {
		keepFloat(c.Accuracy, was)
	}
	c.Limits = limits(m.Limits, c, m.Sets)
	return c, nil
}

func (m *Maker) measure(ctx context.Context, mod infer.Model, heads []model.Head, samples []data.Sample, title string) (*train.Metrics, error) {
	set, end := m.progress(title, len(samples))
	defer end()
	return train.EvalModel(ctx, mod, heads, samples, set)
}

// temperatures are found on images that chose the best epoch, not on those
// that are reported.
func (m *Maker) temperatures(ctx context.Context, mod infer.Model) ([]float32, error) {
	var val []data.Sample
	for _, s := range m.Sets {
		some, _, err := s.Select(data.Val)
		if err != nil {
			return nil, err
		}
		val = append(val, some...)
	}
	found, err := m.measure(ctx, mod, m.Sets[0].Heads, val, "finding temperatures")
	if err != nil {
		return nil, err
	}
	return found.Temperatures(mod.Spec())
}

// accuracy measures the heads that a set has labels for.
func (m *Maker) accuracy(ctx context.Context, mod infer.Model, s *data.Set, temperature []float32) ([]model.Accuracy, error) {
	samples, split, err := s.Select(data.Test)
	if err != nil {
		return nil, err
	}
	file, err := m.measure(ctx, mod, s.Heads, samples, "measuring "+s.Kind)
	if err != nil {
		return nil, err
	}
	float, err := m.float(ctx, s.Heads, samples)
	if err != nil {
		return nil, err
	}
	var out []model.Accuracy
	for k, h := range mod.Spec().Heads {
		x := file.Heads[h.Name]
		if x.N == 0 {
			continue
		}
		a := model.Accuracy{Head: h.Name, Data: s.Kind + " " + split, N: x.N, File: x.Accuracy,
			ECE: x.ECE, Scaled: x.ScaledECE(temperature[k]), Confusion: x.Confusion}
		for _, g := range train.Groups(s.Heads, samples, file.Said, file.Said, k) {
			a.Groups = append(a.Groups, model.Group{By: g.By, Label: g.Label, Said: g.Said, N: g.N, File: g.Accuracy()})
		}
		if float != nil {
			a.Float = float.Heads[h.Name].Accuracy
			for i, g := range train.Groups(s.Heads, samples, float.Said, file.Said, k) {
				a.Groups[i].Float = g.Accuracy()
			}
		}
		a.Measured(h)
		out = append(out, a)
	}
	return out, nil
}

// keepFloat takes over what is known of the checkpoint on the same images.
func keepFloat(is, was []model.Accuracy) {
	for i := range is {
		a := &is[i]
		k := slices.IndexFunc(was, func(b model.Accuracy) bool { return b.Head == a.Head && b.Data == a.Data && b.N == a.N })
		if k < 0 {
			continue
		}
		a.Float, a.MAEFloat = was[k].Float, was[k].MAEFloat
		if len(was[k].Groups) != len(a.Groups) {
			continue
		}
		for j := range a.Groups {
			a.Groups[j].Float = was[k].Groups[j].Float
		}
	}
}

// float measures the checkpoint; nil without one.
func (m *Maker) float(ctx context.Context, heads []model.Head, samples []data.Sample) (*train.Metrics, error) {
	if m.Checkpoint == "" {
		return nil, nil
	}
	net, err := train.Open(m.Checkpoint, 32, m.Threads)
	if err != nil {
		return nil, err
	}
	set, end := m.progress("measuring the checkpoint", len(samples))
	defer end()
	return train.EvalNet(ctx, net, heads, samples, set)
}

// limits is what the model cannot do: what no such model can, what it never
// saw, and what it mostly misses.
func limits(common []string, card model.Card, sets []*data.Set) []string {
	out := slices.Clone(common)
	for i, h := range card.Heads {
		if h.Measures() {
			continue // a step without an image lies between others
		}
		for l, label := range h.Labels {
			n := 0
			for _, s := range sets {
				n += s.Counts(i, data.Train)[l]
			}
			if n == 0 {
				out = append(out, fmt.Sprintf("%s %q has no training image: it is as good as never the answer", h.Name, label))
			}
		}
	}
	for _, a := range card.Accuracy {
		if a.Unit != "" {
			continue
		}
		for l, row := range a.Confusion {
			n := sum(row)
			if recall := float64(row[l]) / float64(max(n, 1)); n > 0 && recall < 0.5 {
				k := slices.IndexFunc(card.Heads, func(h model.Head) bool { return h.Name == a.Head })
				if k < 0 {
					continue
				}
				faces := "faces"
				if n == 1 {
					faces = "face"
				}
				out = append(out, fmt.Sprintf("of %d %s with %s %q it recognises %.0f%% (%s)", n, faces, a.Head, card.Heads[k].Labels[l], 100*recall, a.Data))
			}
		}
	}
	return out
}

// Source is a data set as a card names it: its title, how many of its images
// taught, its terms.
func Source(kind string, images int) model.DataSet {
	k, err := data.KindByName(kind)
	if err != nil {
		return model.DataSet{Name: kind, Images: images} // sets are loaded by kinds that there are
	}
	return model.DataSet{Name: cmp.Or(k.Title, k.Name), Images: images, Terms: k.Terms}
}

// slack is how far a figure may be from the card's: processors round floats
// differently, which turns the answer about an image now and then.
const slack = 0.0015

// Same says where two cards tell different figures; those of the
// checkpoint only where it was measured.
func Same(was, is model.Card, float bool) error {
	var errs []error
	differ := func(what string, a, b float64) {
		if !(math.Abs(a-b) <= slack) {
			errs = append(errs, fmt.Errorf("%s: the card says %.4f, measured %.4f", what, a, b))
		}
	}
	if len(was.Accuracy) != len(is.Accuracy) || len(was.Temperature) != len(is.Temperature) {
		return fmt.Errorf("the card has %d figures and %d temperatures, measured %d and %d (mien card --out fills it in)",
			len(was.Accuracy), len(was.Temperature), len(is.Accuracy), len(is.Temperature))
	}
	for i := range was.Temperature {
		differ("temperature of "+is.Heads[i].Name, float64(was.Temperature[i]), float64(is.Temperature[i]))
	}
	for i, a := range was.Accuracy {
		b := is.Accuracy[i]
		what := a.Head + " on " + a.Data
		if a.Head != b.Head || a.Data != b.Data || a.N != b.N || len(a.Groups) != len(b.Groups) {
			errs = append(errs, fmt.Errorf("%s: %d images in %d groups, measured %s on %s: %d in %d", what, a.N, len(a.Groups), b.Head, b.Data, b.N, len(b.Groups)))
			continue
		}
		differ(what, a.File, b.File)
		differ(what+", calibration error", a.ECE, b.ECE)
		differ(what+", calibration error scaled", a.Scaled, b.Scaled)
		if float {
			differ(what+", float", a.Float, b.Float)
		}
	}
	return errors.Join(errs...)
}

// PagePath is where the card of a model lies as Markdown.
func PagePath(file string) string {
	return strings.TrimSuffix(file, filepath.Ext(file)) + ".md"
}

func sum(n []int) int {
	total := 0
	for _, v := range n {
		total += v
	}
	return total
}
