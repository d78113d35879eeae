package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mien/runtime/atomicfile"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/train"
	"mien/train/data"
)

type cardCmd struct {
	Model      string   `arg:"" name:"f.tflite" help:"Model to measure."`
	Data       []string `help:"Data sets that it was trained on, as KIND:DIR (${kinds}): the temperatures are found on their val split, the figures are of their test split." placeholder:"KIND:DIR" required:"" sep:"none" check:"data"`
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
	g, spec, err := cardOf(file)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Model, err)
	}
	card, err := c.fill(e, file, spec.Card)
	if err != nil {
		return err
	}
	if c.Check {
		if err := sameCard(spec.Card, card, c.Checkpoint != ""); err != nil {
			return fmt.Errorf("%s: %w", c.Model, err)
		}
		_, err = fmt.Fprintf(e.stdout, "%s: its card says what is measured\n", c.Model)
		return err
	}
	if file, err = withCard(g, card); err != nil {
		return err
	}
	page := cardPage(c.Out, file, card)
	if err := atomicfile.Write(c.Out, file); err != nil {
		return err
	}
	if err := atomicfile.Write(pagePath(c.Out), []byte(page)); err != nil {
		return err
	}
	_, err = fmt.Fprint(e.stdout, page)
	return err
}

// cardOf reads a model and its card, whose heads are in the model's order.
func cardOf(file []byte) (*graph.Graph, *model.Spec, error) {
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

// fill measures everything that the card tells.
func (c *cardCmd) fill(e env, file []byte, card model.Card) (model.Card, error) {
	sets, err := c.sets(e, card)
	if err != nil {
		return card, err
	}
	mod, err := openEngine(c.Engine, file, threads(c.Threads))
	if err != nil {
		return card, fmt.Errorf("%s: %w", c.Model, err)
	}
	defer mod.Close()
	card.Engine, _, _ = strings.Cut(mod.Engine(), " ") // without what is this machine's
	if card.Temperature, err = c.temperatures(e, mod, sets); err != nil {
		return card, err
	}
	was := card.Accuracy
	card.Accuracy, card.Training = nil, nil
	for _, s := range sets {
		some, err := c.accuracy(e, mod, s, card.Temperature)
		if err != nil {
			return card, err
		}
		card.Accuracy = append(card.Accuracy, some...)
		learned, _, err := s.Select(data.Train)
		if err != nil {
			return card, err
		}
		card.Training = append(card.Training, source(s.Kind, len(learned)))
	}
	if c.Checkpoint == "" {
		keepFloat(card.Accuracy, was)
	}
	card.Limits = limits(card, sets)
	if c.Reproduce != "" {
		card.Reproduce = c.Reproduce
	}
	return card, nil
}

// sets loads the data sets, split as in the run that trained the model.
func (c *cardCmd) sets(e env, card model.Card) ([]*data.Set, error) {
	o, err := splitFlags{}.options(card.Recipe, card.Heads, 0)
	if err != nil {
		return nil, err
	}
	return loadSets(e, c.Data, o)
}

// temperatures are found on images that chose the best epoch, not on those
// that are reported.
func (c *cardCmd) temperatures(e env, mod infer.Model, sets []*data.Set) ([]float32, error) {
	var val []data.Sample
	for _, s := range sets {
		some, _, err := s.Select(data.Val)
		if err != nil {
			return nil, err
		}
		val = append(val, some...)
	}
	m, err := measureModel(e, mod, sets[0].Heads, val, "finding temperatures")
	if err != nil {
		return nil, err
	}
	var out []float32
	for _, h := range mod.Spec().Heads {
		t, err := m.Heads[h.Name].Temperature()
		if err != nil {
			return nil, fmt.Errorf("head %s: %w", h.Name, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// accuracy measures the heads that a set has labels for.
func (c *cardCmd) accuracy(e env, mod infer.Model, s *data.Set, temperature []float32) ([]model.Accuracy, error) {
	samples, split, err := s.Select(data.Test)
	if err != nil {
		return nil, err
	}
	m, err := measureModel(e, mod, s.Heads, samples, "measuring "+s.Kind)
	if err != nil {
		return nil, err
	}
	float, err := c.float(e, s.Heads, samples)
	if err != nil {
		return nil, err
	}
	var out []model.Accuracy
	for k, h := range mod.Spec().Heads {
		x := m.Heads[h.Name]
		if x.N == 0 {
			continue
		}
		a := model.Accuracy{Head: h.Name, Data: s.Kind + " " + split, N: x.N, File: x.Accuracy,
			ECE: x.ECE, Scaled: x.ScaledECE(temperature[k]), Confusion: x.Confusion}
		for _, g := range train.Groups(s.Heads, samples, m.Said, m.Said, k) {
			a.Groups = append(a.Groups, model.Group{By: g.By, Label: g.Label, Said: g.Said, N: g.N, File: g.Accuracy()})
		}
		if float != nil {
			a.Float = float.Heads[h.Name].Accuracy
			for i, g := range train.Groups(s.Heads, samples, float.Said, m.Said, k) {
				a.Groups[i].Float = g.Accuracy()
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// keepFloat takes over what is known of the checkpoint on the same images.
func keepFloat(is, was []model.Accuracy) {
	for i := range is {
		a := &is[i]
		k := slices.IndexFunc(was, func(b model.Accuracy) bool { return b.Head == a.Head && b.N == a.N })
		if k < 0 {
			continue
		}
		a.Float = was[k].Float
		if len(was[k].Groups) != len(a.Groups) {
			continue
		}
		for j := range a.Groups {
			a.Groups[j].Float = was[k].Groups[j].Float
		}
	}
}

// float measures the checkpoint; nil without one.
func (c *cardCmd) float(e env, heads []model.Head, samples []data.Sample) (*train.Metrics, error) {
	if c.Checkpoint == "" {
		return nil, nil
	}
	net, err := train.Open(c.Checkpoint, 32, threads(c.Threads))
	if err != nil {
		return nil, err
	}
	b := newBar(e.stderr, "measuring the checkpoint", "images", len(samples))
	defer b.end()
	return train.EvalNet(e.ctx, net, heads, samples, b.set)
}

// limits is what the model cannot do: what no such model can, what it never
// saw, and what it mostly misses.
func limits(card model.Card, sets []*data.Set) []string {
	out := append([]string(nil), commonLimits...)
	for i, h := range card.Heads {
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
		for l, row := range a.Confusion {
			n := sum(row)
			if recall := float64(row[l]) / float64(max(n, 1)); n > 0 && recall < 0.5 {
				k := slices.IndexFunc(card.Heads, func(h model.Head) bool { return h.Name == a.Head })
				if k < 0 {
					continue
				}
				out = append(out, fmt.Sprintf("of %d faces with %s %q it recognises %.0f%% (%s)", n, a.Head, card.Heads[k].Labels[l], 100*recall, a.Data))
			}
		}
	}
	return out
}

// slack is how far a figure may be from the card's: processors round floats
// differently, which turns the answer about an image now and then.
const slack = 0.0015

// sameCard says where two cards tell different figures; those of the
// checkpoint only where it was measured.
func sameCard(was, is model.Card, float bool) error {
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

// pagePath is where the card of a model lies as Markdown.
func pagePath(file string) string {
	return strings.TrimSuffix(file, filepath.Ext(file)) + ".md"
}
