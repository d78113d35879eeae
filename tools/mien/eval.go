package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"mien/runtime/model"
	"mien/train"
	cards "mien/train/card"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/review"
)

type evalCmd struct {
	Model      string   `help:"Model or checkpoint." placeholder:"F.tflite|F.safetensors" required:""`
	Data       []string `help:"Data set as KIND:DIR (${kinds}); repeat for several, which are measured together." placeholder:"KIND:DIR" required:"" sep:"none" check:"data"`
	Split      string   `help:"train, val, test, private or all. By default the test split, or all images of a set that has none." placeholder:"NAME" check:"split"`
	splitFlags `embed:""`
	Limit      int    `help:"At most that many images of each published split."`
	Engine     string `help:"Engine for a .tflite: tflite, portable, or auto." default:"auto" enum:"auto,tflite,portable"`
	Mistakes   string `help:"Write a table of all wrong answers there, and for each head a sheet of the worst, with what they rest on; labels that are likely wrong themselves are framed." placeholder:"DIR"`
	JSON       bool   `help:"Print JSON." name:"json"`
	Threads    int    `help:"Threads; 0 means one for each CPU." least:"0"`
}

// evalReport is what --json prints.
type evalReport struct {
	Model  string   `json:"model"`
	Engine string   `json:"engine"`
	Data   []string `json:"data"`
	Split  string   `json:"split"`
	Images int      `json:"images"`
	// Unfound counts the photographs whose face was not found, which are not
	// among the images.
	Unfound int                           `json:"unfound,omitempty"`
	Heads   map[string]*train.HeadMetrics `json:"heads"`
	// Sides are the heads that several of the sets have labels of, set by set:
	// one picture may have a label in each.
	Sides map[string][]side `json:"sides,omitempty"`
	// Groups are the accuracies among the images of one label of another head.
	Groups map[string][]train.Group `json:"groups"`
	// Scaled are the calibration errors after the card's temperatures.
	Scaled map[string]float64 `json:"ece_scaled,omitempty"`
}

// side is a head by the labels of one data set.
type side struct {
	Data     string  `json:"data"`
	N        int     `json:"n"`
	Accuracy float64 `json:"accuracy"`
}

func (c *evalCmd) Run(e env) error {
	of, err := c.open(e)
	if err != nil {
		return err
	}
	defer of.close()
	card := of.card
	o, err := c.options(card.Recipe, card.Heads, c.Limit)
	if err != nil {
		return err
	}
	sets, err := loadSets(e, c.Data, o)
	if err != nil {
		return err
	}
	samples, split, err := together(sets, c.Split)
	if err != nil {
		return err
	}
	b := newBar(e.stderr, "measuring", "images", len(samples))
	engine, m, err := of.measure(samples, b.set)
	b.end()
	if err != nil {
		return err
	}
	maps.DeleteFunc(m.Heads, func(_ string, h *train.HeadMetrics) bool { return h.N == 0 }) // nothing was measured of them
	r := evalReport{Model: c.Model, Engine: engine, Data: c.Data, Split: split, Images: len(samples), Heads: m.Heads,
		Groups: map[string][]train.Group{}, Scaled: map[string]float64{}}
	for _, s := range sets {
		r.Unfound += len(s.Unfound)
	}
	for i, h := range card.Heads {
		x := m.Heads[h.Name]
		if x == nil || x.N == 0 {
			continue
		}
		r.Groups[h.Name] = train.Groups(card.Heads, samples, m.Said, m.Said, i)
		if t := cards.Temperature(card, h.Name); t != 1 {
			r.Scaled[h.Name] = x.ScaledECE(t)
		}
	}
	if r.Sides, err = sideBySide(c.Data, sets, c.Split, card.Heads, m.Said); err != nil {
		return err
	}
	if c.Mistakes != "" {
		if err := writeMistakes(e, c.Mistakes, card.Heads, samples, m, of.ask); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	return r.print(e.stdout, card.Heads)
}

// sideBySide returns how right the answers are by the labels of each set, of the
// heads that several have labels of. Said are those to the samples of together.
func sideBySide(specs []string, sets []*data.Set, split string, heads []model.Head, said []data.Labels) (map[string][]side, error) {
	all := map[string][]side{}
	for i, s := range sets {
		samples, _, err := s.Select(split)
		if err != nil {
			return nil, err
		}
		for k, h := range heads {
			n, right := 0, 0
			for j := range samples {
				if l := samples[j].Labels[k]; l != data.NoLabel {
					n++
					if said[j][k] == l {
						right++
					}
				}
			}
			if n > 0 {
				all[h.Name] = append(all[h.Name], side{specs[i], n, float64(right) / float64(n)})
			}
		}
		said = said[len(samples):]
	}
	maps.DeleteFunc(all, func(_ string, by []side) bool { return len(by) < 2 })
	return all, nil
}

// together returns the samples of a split of all sets. Without a name it is the
// test split of those that have one, and all images when none has.
func together(sets []*data.Set, split string) ([]data.Sample, string, error) {
	var all []data.Sample
	var name string
	for _, s := range sets {
		some, of, err := s.Select(split)
		if err != nil {
			return nil, "", err
		}
		if name != "" && of != name {
			return nil, "", fmt.Errorf("%s has a test split and another of the sets has none: name a --split that all have", cmp.Or(s.Kind, name))
		}
		all, name = append(all, some...), of
	}
	return all, name, nil
}

// measured is a model or a checkpoint that is measured.
type measured struct {
	measure func([]data.Sample, func(done int)) (engine string, m *train.Metrics, err error)
	ask     review.Ask
	card    model.Card
	close   func()
}

// open reads the model and its card, so that a bad one is told before the
// images are read. The card's heads are those that it answers, and that it was
// taught; of a checkpoint it has those and the recipe alone.
func (c *evalCmd) open(e env) (*measured, error) {
	if filepath.Ext(c.Model) == ".safetensors" {
		file, err := checkpoint.Read(c.Model)
		if err != nil {
			return nil, err
		}
		net, err := train.Open(c.Model, 32, threads(c.Threads))
		if err != nil {
			return nil, err
		}
		card := model.Card{Recipe: file.Meta[train.MetaRecipe]}
		untaught, err := train.Untaught(file)
		if err != nil {
			return nil, err
		}
		for _, h := range net.Arch.Heads {
			if !slices.Contains(untaught, h.Name) {
				card.Heads = append(card.Heads, h)
			}
		}
		if len(untaught) > 0 {
			fmt.Fprintf(e.stderr, "nothing has taught %s: not measured\n", strings.Join(untaught, ", "))
		}
		return &measured{func(s []data.Sample, progress func(int)) (string, *train.Metrics, error) {
			m, err := train.EvalNet(e.ctx, net, card.Heads, s, progress)
			return "train/nn", m, err
		}, review.AskNet(net, card.Heads), card, func() {}}, nil
	}
	b, err := os.ReadFile(c.Model)
	if err != nil {
		return nil, err
	}
	mod, err := openEngine(c.Engine, b, threads(c.Threads))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Model, err)
	}
	card := mod.Spec().Card
	card.Heads = mod.Spec().Heads
	return &measured{func(s []data.Sample, progress func(int)) (string, *train.Metrics, error) {
		m, err := train.EvalModel(e.ctx, mod, card.Heads, s, progress)
		return mod.Engine(), m, err
	}, review.AskModel(mod), card, func() { mod.Close() }}, nil
}

func (r evalReport) print(w io.Writer, heads []model.Head) error {
	fmt.Fprintf(w, "%s on %s, split %s, %d images (%s)\n", r.Model, strings.Join(r.Data, " and "), r.Split, r.Images, r.Engine)
	for _, h := range heads {
		m := r.Heads[h.Name]
		if m == nil || m.N == 0 {
			continue
		}
		if h.Measures() {
			fmt.Fprintf(w, "\n%s: n %d, mean absolute error %.4g %s, R2 %.4f, loss %.4f\n", h.Name, m.N, m.MAE, h.Unit, m.R2, m.Loss)
			if err := printGroups(w, h, r.Groups[h.Name]); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "\n%s: n %d, accuracy %.4f, loss %.4f, calibration error %.4f", h.Name, m.N, m.Accuracy, m.Loss, m.ECE)
		if scaled, ok := r.Scaled[h.Name]; ok {
			fmt.Fprintf(w, " (%.4f at the card's temperature)", scaled)
		}
		if data.Ordered(h) {
			fmt.Fprintf(w, ", %.4f labels off in the mean", m.Distance)
		}
		fmt.Fprintln(w)
		for _, by := range r.Sides[h.Name] {
			fmt.Fprintf(w, "by the labels of %s: n %d, accuracy %.4f\n", by.Data, by.N, by.Accuracy)
		}
		if err := printConfusion(w, h, m); err != nil {
			return err
		}
		if err := printGroups(w, h, r.Groups[h.Name]); err != nil {
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

// printGroups prints accuracies among the labels of the other heads, or mean
// errors.
func printGroups(w io.Writer, h model.Head, groups []train.Group) error {
	if len(groups) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	what, figure := "accuracy", func(accuracy float64) string { return fmt.Sprintf("%.4f", accuracy) }
	if h.Measures() {
		from, to := h.Range()
		what, figure = "off by", func(accuracy float64) string { return fmt.Sprintf("%.3g %s", (1-accuracy)*(to-from), h.Unit) }
	}
	fmt.Fprintf(t, "among\tn\t%s\t\n", what)
	for _, g := range groups {
		mark := ""
		if g.Said {
			mark = " by its own answer"
		}
		fmt.Fprintf(t, "%s %s%s\t%d\t%s\t\n", g.By, g.Label, mark, g.N, figure(g.Accuracy()))
	}
	return t.Flush()
}
