package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"mien/quant"
	"mien/quant/report"
	"mien/runtime/face"
	"mien/runtime/graph"
	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/tools/internal/crops"
	"mien/train"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/export"
	"mien/train/qat"
)

// quantFlags are what mien quantize and mien compare have in common: a
// network, faces to calibrate with and faces to measure on.
type quantFlags struct {
	Checkpoint string   `help:"Checkpoint of the trainer." placeholder:"F.safetensors"`
	Arch       string   `help:"Network of a checkpoint that does not say it: paper, edge, wide or a .yaml file. Without it the paper's is taken." placeholder:"NAME"`
	Heads      []string `help:"Heads that the file shall have; nothing of the others is in it. By default all." placeholder:"emotion,age"`
	Calibrate  []string `help:"Faces to calibrate with: KIND:DIR (${kinds}), whose training split is used, or faces:DIR, a folder of crops." placeholder:"KIND:DIR" check:"faces" sep:"none"`
	Faces      int      `help:"How many of them." default:"500"`
	Eval       []string `help:"Data sets to measure on: their test split. By default those of --calibrate." placeholder:"KIND:DIR" check:"data" sep:"none"`
	Measure    int      `help:"Faces of each to measure on; 0 measures nothing, --measure=-1 all." default:"500" least:"-1"`
	Engine     string   `help:"Engine to measure in: tflite, portable or auto." default:"auto" enum:"auto,tflite,portable"`
	splitFlags `embed:""`
	Threads    int `help:"Threads; 0 means one for each CPU." least:"0"`
}

// network is a checkpoint and the network that it is of.
type network struct {
	file *checkpoint.File
	net  arch.Net
	sum  string // of the file's bytes
}

// openNetwork reads a checkpoint whose weights are those of its network. Named is
// the network of one that does not say it, or "".
func openNetwork(path, named string) (*network, error) {
	n, err := readNetwork(path, named)
	if err != nil {
		return nil, err
	}
	if err := train.CheckWeights(n.net, n.file); err != nil {
		if n.file.Meta[train.MetaArch] == "" {
			return nil, fmt.Errorf("%s: it does not say its network, and as %s %w (--arch NAME names it)", path, n.net.Name, err)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if of := n.file.Meta[train.MetaFaces]; strings.Contains(of, " levelling ") {
		return nil, fmt.Errorf("%s: it was taught on faces as no board makes them (%s): measure it with mien eval", path, of)
	}
	return n, nil
}

// readNetwork reads a checkpoint, whatever its weights.
func readNetwork(path, named string) (*network, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := checkpoint.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if said := f.Meta[train.MetaArch]; named != "" && said != "" && said != named {
		return nil, fmt.Errorf("%s: --arch %s: it says that it is of network %s", path, named, said)
	}
	if named != "" {
		if f.Meta == nil {
			f.Meta = map[string]string{}
		}
		f.Meta[train.MetaArch] = named
	}
	net, err := train.NetOf(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.Sum256(b)
	return &network{f, net, hex.EncodeToString(sum[:])}, nil
}

// graph returns the network with those heads, or with all that were taught.
func (n *network) graph(heads []string) (*graph.Graph, error) {
	heads, err := n.taught(heads)
	if err != nil {
		return nil, err
	}
	g, err := export.Graph(n.net, n.file.Floats(), heads)
	if err != nil {
		return nil, err
	}
	// The file that it is measured against says its heads as the final one does.
	var card model.Card
	n.describe(&card, g)
	b, err := model.Card{Filter: card.Filter, Heads: card.Heads}.Marshal()
	if err != nil {
		return nil, err
	}
	g.SetMeta(model.CardKey, b)
	return g, nil
}

// taught returns the heads that are asked for, or all that were taught. One that
// was not is refused: it answers at random.
func (n *network) taught(heads []string) ([]string, error) {
	untaught, err := train.Untaught(n.file)
	if err != nil {
		return nil, err
	}
	for _, h := range heads {
		if slices.Contains(untaught, h) {
			return nil, fmt.Errorf("nothing has taught head %s: its answers are those of random weights (leave it out of --heads, or train it)", h)
		}
	}
	if len(heads) > 0 {
		return heads, nil
	}
	for _, h := range n.net.Heads {
		if !slices.Contains(untaught, h.Name) {
			heads = append(heads, h.Name)
		}
	}
	return heads, nil
}

// describe puts what the checkpoint says into the card of a graph made of it.
func (n *network) describe(card *model.Card, g *graph.Graph) {
	card.SHA256.Checkpoint = n.sum
	card.Name, card.Arch, card.Heads = "mien "+n.net.Name, n.net.Name, nil
	card.Recipe = n.file.Meta[train.MetaRecipe]
	card.Epochs, _ = strconv.Atoi(n.file.Meta[train.MetaEpoch]) // 0: not told
	for _, i := range g.Outputs {
		for _, h := range n.net.Heads {
			if h.Name == g.Tensors[i].Name {
				card.Heads = append(card.Heads, h)
			}
		}
	}
	card.Description = about(card.Heads)
	if card.Filter = n.net.Filter; card.Filter != model.NoFilter {
		card.Input += "; of the levels the engine makes filter " + string(card.Filter)
	}
	if places(card.Heads) {
		card.Input = "face: one grey picture of 50x50 pixels, a face where the finder sees it, turned by its tilt; float: pixel/255; int8: pixel-128"
		card.Description = "Where the eyes are in a face: four numbers and how sure each is."
	}
}

// places tells whether all heads measure pixels: then no face has been levelled
// yet, for that takes what they say.
func places(heads []model.Head) bool {
	return !slices.ContainsFunc(heads, func(h model.Head) bool { return h.Unit != model.Pixels })
}

// about says what a model with these heads answers, and of whom the network is.
func about(heads []model.Head) string {
	var names []string
	for _, h := range heads {
		names = append(names, h.Name)
	}
	what := strings.Join(names, ", ")
	if i := len(names) - 1; i > 0 {
		what = strings.Join(names[:i], ", ") + " and " + names[i]
	}
	if what != "" {
		what = strings.ToUpper(what[:1]) + what[1:]
	}
	return what + " of a face, after Saroop et al. 2021 (arXiv 2110.15028)."
}

// calibration returns the faces of --calibrate, evenly from all that there
// are.
func (c *quantFlags) calibration(e env) (quant.Faces, error) {
	if len(c.Calibrate) == 0 {
		return nil, errors.New("this recipe needs --calibrate KIND:DIR")
	}
	if c.Faces < 1 {
		return nil, fmt.Errorf("--faces %d: want at least 1", c.Faces)
	}
	var faces quant.Faces
	for i, spec := range c.Calibrate {
		n := c.Faces*(i+1)/len(c.Calibrate) - c.Faces*i/len(c.Calibrate)
		more, err := c.training(e, spec, n)
		if err != nil {
			return nil, err
		}
		faces = append(faces, more...)
	}
	return faces, nil
}

// training returns n of the faces that a network may learn from; all when n is
// below 0.
func (c *quantFlags) training(e env, spec string, n int) (quant.Faces, error) {
	samples, err := c.load(e, spec, []string{data.Train, data.All}, n)
	if err != nil {
		return nil, err
	}
	var faces quant.Faces
	for _, s := range samples {
		faces = append(faces, s.Face)
	}
	return faces, nil
}

func fingerprint(faces quant.Faces) string {
	h := sha256.New()
	for _, f := range faces {
		h.Write(f)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (c *quantFlags) evalSpecs() []string {
	if len(c.Eval) > 0 {
		return c.Eval
	}
	return c.Calibrate
}

// kindsOf says what specs are of, not where it lies.
func kindsOf(specs []string) []string {
	var out []string
	for _, s := range specs {
		kind, _, _ := strings.Cut(s, ":")
		out = append(out, kind)
	}
	return out
}

// samples returns the faces to measure on, of the first of the splits that each
// data set has.
func (c *quantFlags) samples(e env, splits ...string) ([]report.Sample, error) {
	var out []report.Sample
	for _, spec := range c.evalSpecs() {
		more, err := c.load(e, spec, splits, c.Measure)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// build quantises, and shows its progress. Stats are those of the graph and the
// faces, or nil.
func (c *quantFlags) build(e env, g *graph.Graph, faces quant.Faces, r quant.Recipe, stats *quant.Stats) (*quant.Result, error) {
	var b *bar
	defer func() { b.end() }()
	return quant.Build(e.ctx, g, faces, r, quant.Options{Threads: c.Threads, Stats: stats, Progress: func(done, total int) {
		if b == nil || b.total != total {
			b.end()
			b = newBar(e.stderr, "calibrating", "steps", total)
		}
		b.set(done)
	}})
}

// compare measures, and shows its progress.
func (c *quantFlags) compare(e env, in report.Input) (*report.Report, error) {
	end := c.measuring(e, &in)
	defer end()
	return report.Compare(e.ctx, in)
}

// ask has the float file answer, once for several comparisons.
func (c *quantFlags) ask(e env, in report.Input) (*report.Answers, error) {
	end := c.measuring(e, &in)
	defer end()
	return report.Ask(e.ctx, in)
}

// measuring sets how in is measured.
func (c *quantFlags) measuring(e env, in *report.Input) (end func()) {
	var b *bar
	in.Open = func(f []byte) (infer.Model, error) { return openEngine(c.Engine, f, 1) }
	in.Options = quant.Options{Threads: c.Threads, Progress: func(done, total int) {
		if b == nil {
			b = newBar(e.stderr, "measuring", "runs", total)
		}
		b.set(done)
	}}
	return func() { b.end() }
}

// tune trains a network on for the integers of a plan. It looks at all training
// faces of --calibrate; none needs a label.
func (c *quantFlags) tune(e env, n *network, plan *quant.Plan, steps int) (*network, error) {
	if len(plan.Equal) > 0 {
		return nil, errors.New("--tune trains the network as it is, not as --equalise rescales it: leave one out")
	}
	var faces quant.Faces
	for _, spec := range c.Calibrate {
		more, err := c.training(e, spec, -1)
		if err != nil {
			return nil, err
		}
		faces = append(faces, more...)
	}
	b := newBar(e.stderr, "training for integers", "steps", steps)
	weights, err := qat.Tune(e.ctx, n.net, n.file.Floats(), plan, faces,
		qat.Options{Steps: steps, Heads: c.Heads, Seed: 1, Threads: threads(c.Threads), Progress: b.set})
	b.end()
	if err != nil {
		return nil, err
	}
	return &network{net: n.net, file: qat.Checkpoint(n.file, weights, fmt.Sprintf("%d steps for %s", steps, plan.Recipe))}, nil
}

// load is loadFaces with the checkpoint's heads and split.
func (c *quantFlags) load(e env, spec string, splits []string, n int) ([]report.Sample, error) {
	net, err := openNetwork(c.Checkpoint, c.Arch)
	if err != nil {
		return nil, err
	}
	o, err := c.options(net.file.Meta[train.MetaRecipe], net.net.Heads, 0)
	if err != nil {
		return nil, err
	}
	return loadFaces(e, spec, splits, n, o)
}

// readCrops reads n of a folder of pictures that are faces, evenly from all; n < 0
// means all.
func readCrops(dir string, n int) ([]report.Sample, error) {
	paths, err := crops.Files(dir)
	if err != nil {
		return nil, err
	}
	cropper, err := face.NewCropper()
	if err != nil {
		return nil, err
	}
	var out []report.Sample
	for _, p := range evenly(paths, n) {
		f, err := crops.Read(p, cropper)
		if err != nil {
			return nil, err
		}
		out = append(out, report.Sample{Path: p, Face: f, Labels: []int8{-1, -1, -1, -1}})
	}
	return out, nil
}

// loadFaces returns n faces of a spec, evenly from all of the first of the
// splits that it has; n < 0 means all.
func loadFaces(e env, spec string, splits []string, n int, o data.Options) ([]report.Sample, error) {
	if dir, ok := strings.CutPrefix(spec, "faces:"); ok {
		return readCrops(dir, n)
	}
	if n > 0 {
		o.Limit = max(12*n, 2000) // enough for every split, and quick to read
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
		out = append(out, report.Sample{Path: s.Path, Face: quant.Face(s.Face), Labels: slices.Clone(s.Labels), Soft: s.Soft})
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
