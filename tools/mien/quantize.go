package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mien/quant"
	"mien/quant/report"
	"mien/quant/samples"
	"mien/runtime/atomicfile"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/model"
	cards "mien/train/card"
	"mien/train/checkpoint"
	"mien/train/data"
)

type quantizeCmd struct {
	Model      string `arg:"" optional:"" name:"MODEL.tflite" help:"Any float .tflite model. Or, of mien's own networks, --checkpoint."`
	modelFlags `embed:""`
	quantFlags `embed:""`
	Out        string `help:"File to write. The plan goes beside it, as F.plan.json." placeholder:"F.tflite" required:""`
	Plan       string `help:"Carry out this plan (JSON or YAML) instead of making one." placeholder:"F.plan.json" type:"existingfile"`

	recipeFlags `embed:""`
	Tune        int `help:"Before it is quantised, train on for that many steps of 32 faces, with everything rounded as in int8, to answer what the float network does. The new checkpoint goes beside the output, as F.safetensors." placeholder:"STEPS" least:"0"`

	Report  string   `help:"Write report.md, report.json and plots into this folder." placeholder:"DIR"`
	MaxDrop *float64 `help:"Exit with an error when a head loses more than that many points of accuracy on the faces measured, 0.5 by default; where the flag is given also when the faces are too few to tell. The words beside it say whether the 95% interval of the loss includes the limit." placeholder:"0.5" least:"-100" most:"100"`

	Trained []string `help:"For the model card: data sets that it was trained on, and how many images." placeholder:"KIND:N"`
}

func (c *quantizeCmd) Run(e env) error {
	if err := c.which(); err != nil {
		return err
	}
	if err := c.recipeFlags.check(); err != nil {
		return err
	}
	if c.MaxDrop != nil && *c.MaxDrop != *c.MaxDrop {
		return errors.New("--max-drop NaN is no limit")
	}
	// First, so that no minutes are lost for want of a folder.
	if err := os.MkdirAll(filepath.Dir(c.Out), 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if c.Model != "" {
		return c.model(e)
	}
	card, err := c.card()
	if err != nil {
		return err
	}
	n, err := openNetwork(c.Checkpoint, c.Arch)
	if err != nil {
		return err
	}
	start, err := n.graph(c.Heads) // what the file is measured against
	if err != nil {
		return err
	}
	if c.Tune > 0 && c.Equalise == nil {
		c.Equalise = new(bool) // what is trained is the network as it is
	}
	res, err := c.quantise(e, start, &card)
	if err != nil {
		return err
	}
	if c.Tune > 0 {
		if n, res, err = c.tuned(e, n, res, &card); err != nil {
			return err
		}
	}
	n.describe(&card, res.Float)
	file, err := withCard(res.Graph, card)
	if err != nil {
		return err
	}
	rep, err := c.measure(e, n.net.Heads, res, start, file)
	if err != nil {
		return err
	}
	if rep != nil {
		// The figures go into the card; what computes stays as it was measured.
		addAccuracy(&card, rep, strings.Join(kindsOf(c.evalSpecs()), " "))
		if file, err = withCard(res.Graph, card); err != nil {
			return err
		}
		rep.Bytes = len(file)
		if c.Report != "" {
			if err := rep.Save(c.Report); err != nil {
				return err
			}
		}
	}
	if err := c.write(e, res.Result, file); err != nil {
		return err
	}
	if rep == nil {
		return c.mind(e, res)
	}
	fmt.Fprint(e.stdout, rep.Summary())
	if err := rep.Check(); c.MaxDrop != nil || rep.Failed() {
		return err
	}
	return nil
}

// tuned trains the network on for the integers of a result, writes the new
// checkpoint beside the output and quantises that.
func (c *quantizeCmd) tuned(e env, n *network, res *calibratedNetwork, card *model.Card) (*network, *calibratedNetwork, error) {
	if c.Plan != "" {
		return nil, nil, errors.New("--tune makes new weights, for which --plan was not made: leave one out")
	}
	n, err := c.tune(e, n, res.Plan, c.Tune)
	if err != nil {
		return nil, nil, err
	}
	path := strings.TrimSuffix(c.Out, filepath.Ext(c.Out)) + ".safetensors"
	if err := checkpoint.Write(path, n.file); err != nil {
		return nil, nil, err
	}
	if n, err = openNetwork(path, ""); err != nil {
		return nil, nil, err
	}
	g, err := n.graph(c.Heads)
	if err != nil {
		return nil, nil, err
	}
	res, err = c.quantise(e, g, card)
	card.Quantised += fmt.Sprintf(", after %d steps of training for it", c.Tune)
	return n, res, err
}

// calibratedNetwork is a network's graph as it was quantised.
type calibratedNetwork struct {
	*quant.Result
	graph *graph.Graph
	faces quant.Faces // that calibrated it; none where a plan was carried out without
}

// doubts says what makes the faces poor to calibrate with, and unlike those that
// are measured.
func (n *calibratedNetwork) doubts(measured quant.Faces) ([]string, error) {
	if len(n.faces) == 0 {
		return nil, nil
	}
	return samples.Doubts(n.graph, n.faces, measured)
}

// mind prints what a report would doubt, where there is none.
func (c *quantizeCmd) mind(e env, res *calibratedNetwork) error {
	doubts, err := res.doubts(nil)
	for _, d := range doubts {
		fmt.Fprintf(e.stdout, "mind: %s\n", d)
	}
	return err
}

func (c *quantizeCmd) quantise(e env, g *graph.Graph, card *model.Card) (*calibratedNetwork, error) {
	r := c.recipe()
	var plan *quant.Plan
	if c.Plan != "" {
		b, err := os.ReadFile(c.Plan)
		if err != nil {
			return nil, err
		}
		if plan, err = quant.ParsePlan(b); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Plan, err)
		}
		r = plan.Recipe
	}
	card.Quantised = r.String()
	// With a plan to replay no faces are needed; when they are given, their
	// fingerprint still goes into the card.
	var faces quant.Faces
	if r.Calibrated() && (plan == nil || len(c.Calibrate) > 0) {
		var err error
		if faces, err = c.calibration(e); err != nil {
			return nil, err
		}
		card.SHA256.Calibration = fingerprint(faces)
	}
	if plan == nil {
		res, err := c.build(e, g, faces, r, nil)
		return &calibratedNetwork{res, g, faces}, err
	}
	res := &quant.Result{Plan: plan}
	var err error
	if res.Float, err = quant.Equalise(g, plan.Equal); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Plan, err)
	}
	if res.Graph, err = quant.Apply(g, plan); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Plan, err)
	}
	return &calibratedNetwork{res, g, faces}, nil
}

// maxDrop is the loss that the report calls a pass.
func (c *quantizeCmd) maxDrop() float64 {
	if c.MaxDrop == nil {
		return 0.5
	}
	return *c.MaxDrop
}

// measure compares the file with the float one on held-out faces.
func (c *quantizeCmd) measure(e env, heads []model.Head, res *calibratedNetwork, g *graph.Graph, file []byte) (*report.Report, error) {
	if c.Measure == 0 || len(c.evalSpecs()) == 0 {
		if c.Report != "" || c.MaxDrop != nil {
			return nil, errors.New("a report needs faces: name a data set with --eval")
		}
		return nil, nil
	}
	measured, err := c.samples(e, data.Test, data.Val, data.All)
	if err != nil {
		return nil, err
	}
	float, err := flatfile.Marshal(g)
	if err != nil {
		return nil, err
	}
	in := report.Input{Result: res.Result, File: file, Float: float, Heads: heads, Samples: measured, MaxDrop: c.maxDrop(), Graph: res.graph}
	if len(res.faces) > 0 {
		in.Calibration = res.faces
	}
	if in.Doubts, err = res.doubts(report.Faces(measured)); err != nil {
		return nil, err
	}
	return c.compare(e, in)
}

func (c *quantizeCmd) write(e env, res *quant.Result, file []byte) error {
	plan, err := res.Plan.JSON()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(c.Out, file); err != nil {
		return err
	}
	if c.Plan == "" {
		name := strings.TrimSuffix(c.Out, filepath.Ext(c.Out)) + ".plan.json"
		if err := atomicfile.Write(name, plan); err != nil {
			return err
		}
	}
	fmt.Fprintf(e.stdout, "%s: %s, %d bytes\n", c.Out, res.Plan.Recipe, len(file))
	for _, n := range res.Plan.Notes {
		fmt.Fprintf(e.stdout, "note: %s\n", n)
	}
	return nil
}

// commonLimits holds for every model that this package makes.
var commonLimits = []string{
	"it tells what a face looks like to it, not what a person feels or is",
	"it was trained on small sets with known biases; accuracy differs between groups of people",
	"it saw faces from the front, upright within ten degrees; profiles, masks and hands before the face are guesses",
	"it always answers one of its labels, also about people who are none of them",
}

// card begins the model card with what does not depend on the checkpoint.
func (c *quantizeCmd) card() (model.Card, error) {
	card := model.Card{
		Input:  "face: one grey picture of 50x50 pixels, the eyes level; float: pixel/255; int8: pixel-128",
		Limits: commonLimits,
	}
	for _, s := range c.Trained {
		kind, n, _ := strings.Cut(s, ":")
		_, unknown := data.KindByName(kind)
		images, err := strconv.Atoi(n)
		if unknown != nil || err != nil || images < 1 {
			return card, fmt.Errorf("--trained %s: want KIND:N, such as fer2013:28709 (kinds: %s)", s, strings.Join(data.Kinds(), ", "))
		}
		card.Training = append(card.Training, cards.Source(kind, images))
	}
	return card, nil
}

func addAccuracy(card *model.Card, r *report.Report, data string) {
	for _, h := range r.Heads {
		if h.All.N > 0 {
			a := model.Accuracy{Head: h.Name, Data: data + " (held out)", N: h.All.N, Float: h.All.Float, File: h.All.Quant}
			if k := model.Index(card.Heads, h.Name); k >= 0 {
				a.Measured(card.Heads[k])
			}
			card.Accuracy = append(card.Accuracy, a)
		}
	}
}

// withCard returns the file with the card in its metadata.
func withCard(g *graph.Graph, card model.Card) ([]byte, error) {
	b, err := card.Marshal()
	if err != nil {
		return nil, err
	}
	g = g.Clone()
	g.Description = card.Name
	g.SetMeta(model.CardKey, b)
	g.SetMeta("min_runtime_version", append([]byte("2.9.0"), make([]byte, 11)...)) // 16 bytes, as converters write it
	return flatfile.Marshal(g)
}
