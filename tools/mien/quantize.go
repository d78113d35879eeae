package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mien/quant"
	"mien/quant/graph"
	"mien/quant/report"
	"mien/quant/tflite"
	"mien/runtime/atomicfile"
	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/train"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/export"
)

type quantizeCmd struct {
	Checkpoint string   `help:"Checkpoint of the trainer." placeholder:"F.safetensors" required:""`
	Out        string   `help:"File to write. The plan goes beside it, as F.plan.json." placeholder:"F.tflite" required:""`
	Mode       string   `help:"float32, float16, dynamic, int8 or int16x8." default:"int8" enum:"float32,float16,dynamic,int8,int16x8"`
	Heads      []string `help:"Heads that the file shall have; nothing of the others is in it. By default all." placeholder:"emotion,age"`
	IO         string   `help:"Input and output: int8 or float. By default that of the mode." default:"" enum:",int8,float"`

	Calibrate  []string `help:"Faces to calibrate with: KIND:DIR (${kinds}), whose training split is used, or faces:DIR, a folder of crops." placeholder:"KIND:DIR"`
	Faces      int      `help:"How many of them." default:"500"`
	Calibrator string   `help:"minmax, average, percentile, mse or entropy." default:"minmax" enum:"minmax,average,percentile,mse,entropy"`
	Percentile float64  `help:"Part of the values inside the range, for --calibrator percentile." default:"99.99"`

	FloatLayers []string `help:"Layers to compute in float32 (patterns)." placeholder:"NAME"`
	Int16Layers []string `help:"Layers to compute with int16 activations (patterns)." placeholder:"NAME"`
	WeightBits  int      `help:"Bits that integer weights use, 2 to 8. Fewer make nothing faster: they show how much a network has to spare." default:"8" placeholder:"N"`
	Equalise    bool     `help:"Cross-layer equalisation."`
	Adaround    bool     `help:"Choose each weight's rounding by what its layer computes."`
	CorrectBias bool     `help:"Take mean errors out through the biases."`
	Tune        int      `help:"Before it is quantised, train on for that many steps of 32 faces, with everything rounded as in int8, to answer what the float network does. The new checkpoint goes beside the output, as F.safetensors." placeholder:"STEPS"`
	Plan        string   `help:"Carry out this plan (JSON or YAML) instead of making one." placeholder:"F.plan.json" type:"existingfile"`

	Eval    []string `help:"Data sets to measure on: their test split. By default those of --calibrate." placeholder:"KIND:DIR"`
	Measure int      `help:"Faces of each to measure on; 0 measures nothing, --measure=-1 all." default:"500"`
	Report  string   `help:"Write report.md, report.json and plots into this folder." placeholder:"DIR"`
	MaxDrop *float64 `help:"Exit with an error when a head loses more than that many points of accuracy on the faces measured; the words beside it say whether the 95% interval of the loss includes the limit." placeholder:"0.5"`
	Engine  string   `help:"Engine to measure in: tflite, portable or auto." default:"auto" enum:"auto,tflite,portable"`

	Trained []string `help:"For the model card: data sets that it was trained on, and how many images." placeholder:"KIND:N"`
	Seed    uint64   `help:"Seed of the split into train and val." default:"1"`
	Threads int      `help:"Threads; 0 means one for each CPU."`
}

func (c *quantizeCmd) Run(e env) error {
	card, err := c.card()
	if err != nil {
		return err
	}
	g, err := c.load(&card)
	if err != nil {
		return err
	}
	start := g // what the file is measured against
	res, err := c.quantise(e, g, &card)
	if err != nil {
		return err
	}
	if c.Tune > 0 {
		if c.Checkpoint, err = c.tune(e, res.Plan); err != nil {
			return err
		}
		if g, err = c.load(&card); err != nil {
			return err
		}
		if res, err = c.quantise(e, g, &card); err != nil {
			return err
		}
		card.Quantised += fmt.Sprintf(", after %d steps of training for it", c.Tune)
	}
	file, err := withCard(res.Graph, card)
	if err != nil {
		return err
	}
	rep, err := c.measure(e, res, start, file)
	if err != nil {
		return err
	}
	if rep != nil {
		// The figures go into the card; what computes stays as it was measured.
		addAccuracy(&card, rep, strings.Join(c.evalSpecs(), " "))
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
	if err := c.write(e, res, file); err != nil {
		return err
	}
	if rep == nil {
		return nil
	}
	fmt.Fprint(e.stdout, rep.Summary())
	if c.MaxDrop != nil {
		return rep.Check()
	}
	return nil
}

// recipe is what the flags ask for.
func (c *quantizeCmd) recipe() quant.Recipe {
	r := quant.Recipe{Mode: quant.Mode(c.Mode), Float: c.FloatLayers, Int16: c.Int16Layers,
		Equalise: c.Equalise, AdaRound: c.Adaround, CorrectBias: c.CorrectBias, FloatIO: c.IO == "float"}
	if c.WeightBits != 8 {
		r.WeightBits = c.WeightBits
	}
	if r.Calibrated() {
		r.Calibrator = quant.Calibrator(c.Calibrator)
		if r.Calibrator == quant.Percentile {
			r.Percentile = c.Percentile
		}
	}
	return r
}

// load reads the checkpoint and exports it.
func (c *quantizeCmd) load(card *model.Card) (*graph.Graph, error) {
	b, err := os.ReadFile(c.Checkpoint)
	if err != nil {
		return nil, err
	}
	f, err := checkpoint.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Checkpoint, err)
	}
	name := f.Meta[train.MetaArch]
	if name == "" {
		name = "paper" // written by others, who have no metadata
	}
	net, err := arch.ByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Checkpoint, err)
	}
	g, err := export.Graph(net, f.Floats(), c.Heads)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Checkpoint, err)
	}
	sum := sha256.Sum256(b)
	card.SHA256.Checkpoint = hex.EncodeToString(sum[:])
	card.Name, card.Arch, card.Heads = "mien "+name, name, nil
	card.Recipe = f.Meta[train.MetaRecipe]
	card.Epochs, _ = strconv.Atoi(f.Meta[train.MetaEpoch]) // 0: not told
	for _, i := range g.Outputs {
		for _, h := range net.Heads {
			if h.Name == g.Tensors[i].Name {
				card.Heads = append(card.Heads, h)
			}
		}
	}
	return g, nil
}

func (c *quantizeCmd) quantise(e env, g *graph.Graph, card *model.Card) (*quant.Result, error) {
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
	faces, err := c.calibration(e, r, card)
	if err != nil {
		return nil, err
	}
	var b *bar
	o := quant.Options{Threads: c.Threads, Progress: func(done, total int) {
		if b == nil || b.total != total {
			b.end()
			b = newBar(e.stderr, "calibrating", "steps", total)
		}
		b.set(done)
	}}
	defer func() { b.end() }()
	if plan == nil {
		return quant.Build(e.ctx, g, faces, r, o)
	}
	res := &quant.Result{Plan: plan}
	if res.Float, err = quant.Equalise(g, plan.Equal); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Plan, err)
	}
	if res.Graph, err = quant.Apply(g, plan); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Plan, err)
	}
	return res, nil
}

// calibration returns the faces of --calibrate, evenly from all that there
// are. With a plan to replay none are needed; when they are given, their
// fingerprint still goes into the card.
func (c *quantizeCmd) calibration(e env, r quant.Recipe, card *model.Card) ([]quant.Face, error) {
	if !r.Calibrated() || c.Plan != "" && len(c.Calibrate) == 0 {
		return nil, nil
	}
	if len(c.Calibrate) == 0 {
		return nil, fmt.Errorf("mode %s needs --calibrate KIND:DIR", r)
	}
	if c.Faces < 1 {
		return nil, fmt.Errorf("--faces %d: want at least 1", c.Faces)
	}
	var faces []quant.Face
	for i, spec := range c.Calibrate {
		n := c.Faces*(i+1)/len(c.Calibrate) - c.Faces*i/len(c.Calibrate)
		samples, err := loadFaces(e, spec, []string{data.Train, data.All}, n, c.Seed)
		if err != nil {
			return nil, err
		}
		for _, s := range samples {
			faces = append(faces, s.Face)
		}
	}
	h := sha256.New()
	for _, f := range faces {
		h.Write(f)
	}
	card.SHA256.Calibration = hex.EncodeToString(h.Sum(nil))
	return faces, nil
}

// maxDrop is the loss that the report calls a pass.
func (c *quantizeCmd) maxDrop() float64 {
	if c.MaxDrop == nil {
		return 0.5
	}
	return *c.MaxDrop
}

func (c *quantizeCmd) evalSpecs() []string {
	specs := c.Eval
	if len(specs) == 0 {
		specs = c.Calibrate
	}
	var out []string
	for _, s := range specs { // the card tells what, not where
		kind, _, _ := strings.Cut(s, ":")
		out = append(out, kind)
	}
	return out
}

// measure compares the file with the float one on held-out faces.
func (c *quantizeCmd) measure(e env, res *quant.Result, g *graph.Graph, file []byte) (*report.Report, error) {
	specs := c.Eval
	if len(specs) == 0 {
		specs = c.Calibrate
	}
	if c.Measure == 0 || len(specs) == 0 {
		if c.Report != "" || c.MaxDrop != nil {
			return nil, errors.New("a report needs faces: name a data set with --eval")
		}
		return nil, nil
	}
	var samples []report.Sample
	for _, spec := range specs {
		more, err := loadFaces(e, spec, []string{data.Test, data.Val, data.All}, c.Measure, c.Seed)
		if err != nil {
			return nil, err
		}
		samples = append(samples, more...)
	}
	float, err := tflite.Marshal(g)
	if err != nil {
		return nil, err
	}
	var b *bar
	defer func() { b.end() }()
	return report.Compare(e.ctx, report.Input{Result: res, File: file, Float: float, Samples: samples,
		MaxDrop: c.maxDrop(),
		Open:    func(f []byte) (infer.Model, error) { return openEngine(c.Engine, f, 1) },
		Options: quant.Options{Threads: c.Threads, Progress: func(done, total int) {
			if b == nil {
				b = newBar(e.stderr, "measuring", "runs", total)
			}
			b.set(done)
		}}})
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

// terms are what the known data sets were published under.
var terms = map[string]model.DataSet{
	"fer2013":  {Name: "FER-2013", Terms: "public research competition (Goodfellow et al. 2013)"},
	"utkface":  {Name: "UTKFace", Terms: "non-commercial research only (Zhang, Song, Qi 2017)"},
	"rafdb":    {Name: "RAF-DB", Terms: "non-commercial research, by agreement with its authors (Li, Deng, Du 2017)"},
	"fairface": {Name: "FairFace", Terms: "CC BY 4.0 (Karkkainen, Joo 2021)"},
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
		Description: "Emotion, gender, race and age of a face, after Saroop et al. 2021 (arXiv 2110.15028).",
		Input:       "face: one grey picture of 50x50 pixels, the eyes level; float: pixel/255; int8: pixel-128",
		Limits:      commonLimits,
	}
	for _, s := range c.Trained {
		kind, n, _ := strings.Cut(s, ":")
		set, ok := terms[kind]
		images, err := strconv.Atoi(n)
		if !ok || err != nil || images < 1 {
			return card, fmt.Errorf("--trained %s: want KIND:N, such as fer2013:28709 (kinds: %s)", s, strings.Join(data.Kinds(), ", "))
		}
		set.Images = images
		card.Training = append(card.Training, set)
	}
	return card, nil
}

func addAccuracy(card *model.Card, r *report.Report, data string) {
	for _, h := range r.Heads {
		if h.All.N > 0 {
			card.Accuracy = append(card.Accuracy, model.Accuracy{Head: h.Name, Data: data + " (held out)", N: h.All.N, Float: h.All.Float, File: h.All.Quant})
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
	return tflite.Marshal(g)
}

// loadFaces returns n faces of a spec, evenly from all of the first of the
// splits that it has; n < 0 means all.
func loadFaces(e env, spec string, splits []string, n int, seed uint64) ([]report.Sample, error) {
	if dir, ok := strings.CutPrefix(spec, "faces:"); ok {
		return crops(dir, n)
	}
	o := data.Options{Seed: seed}
	if n > 0 {
		o.Limit = max(6*n, 2000) // enough for every split, and quick to read
	}
	sets, err := loadSets(e, []string{spec}, o)
	if err != nil {
		return nil, err
	}
	var samples []data.Sample
	for _, split := range splits {
		if samples, _, err = sets[0].Select(split); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	var out []report.Sample
	for _, s := range samples {
		out = append(out, report.Sample{Path: s.Path, Face: quant.Face(s.Face), Labels: slices.Clone(s.Labels[:])})
	}
	return evenly(out, n), nil
}

func evenly[T any](v []T, n int) []T {
	if n < 0 || len(v) <= n {
		return v
	}
	out := make([]T, n)
	for i := range out {
		out[i] = v[i*len(v)/n]
	}
	return out
}
