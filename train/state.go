package train

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"mien/runtime/atomicfile"
	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/nn"
)

// state is the place in a run. Together with the weights, Adam's moments and
// the averaged weights it is all that a run remembers.
type state struct {
	Images    string       `json:"images"`   // fingerprint of the samples and their splits
	Teachers  string       `json:"teachers"` // fingerprint of their files
	Precision nn.Precision `json:"precision"`
	Monitor   string       `json:"monitor"`
	From      string       `json:"from,omitempty"` // checkpoint of the first weights
	Epoch     int          `json:"epoch"`          // epochs done
	At        int          `json:"at"`             // images done in the current one
	Step      uint64       `json:"step"`           // steps done in all
	Scale     float64      `json:"scale"`          // of the learning rate, by plateaus
	Wait      int          `json:"wait"`           // epochs without improvement
	Best      float64      `json:"best"`
	BestEpoch int          `json:"best_epoch"`
	Stopped   bool         `json:"stopped"`

	// Before is what had taught the first weights, and Start how well they did
	// on the images that validate; nil for fresh ones.
	Before map[string]Taught  `json:"before,omitempty"`
	Start  map[string]float64 `json:"start,omitempty"`

	Weighing *weighing `json:"weighing,omitempty"` // nil where it is fixed

	// Sums over the current epoch.
	Steps int     `json:"steps"`
	Loss  float64 `json:"loss"`
	LR    float64 `json:"lr"` // of the last step
	Sums  []sums  `json:"sums"`
}

type sums struct {
	N     int     `json:"n"`
	Right float64 `json:"right"` // of a head that measures the parts of its scale that were not missed
	Loss  float64 `json:"loss"`
}

// Keys of a checkpoint's metadata.
const (
	MetaArch   = "arch"
	MetaNet    = "network"  // the layers, JSON, where mien does not carry the network
	MetaFilter = "filter"   // of the faces that the network sees, where it has one
	MetaHeads  = "heads"    // those of the network, JSON
	MetaTaught = "taught"   // Taught by head, JSON
	MetaRecipe = "recipe"   // the whole recipe, YAML
	MetaFaces  = "geometry" // data.Geometry of the faces that taught it
	MetaEpoch  = "epoch"
	MetaSeed   = "seed"
	MetaVal    = "validation" // Metrics of the best epoch, JSON
	metaState  = "state"
)

// fingerprint tells whether a run is resumed with the images it began with.
func (r *run) fingerprint() string {
	h := sha256.New()
	fmt.Fprintln(h, data.GeometryOf(r.recipe.Levelling))
	for _, part := range [][]data.Sample{r.train, r.val} {
		fmt.Fprintln(h, len(part))
		for i := range part {
			fmt.Fprintln(h, part[i].ID, part[i].Labels)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

// save writes last.safetensors, unless a weight is not finite.
func (r *run) save() error {
	f, err := r.file()
	if err != nil {
		return err
	}
	for i, p := range r.net.Params() {
		if !finite(p.Value) {
			return r.diverged("a weight", p.Name)
		}
		f.Tensors = append(f.Tensors, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
		if r.ema != nil {
			f.Tensors = append(f.Tensors, checkpoint.Tensor{Name: "ema." + p.Name, Shape: p.Shape, Data: r.ema[i]})
		}
		if p.Grad != nil && r.adam.M != nil {
			f.Tensors = append(f.Tensors,
				checkpoint.Tensor{Name: "adam.m." + p.Name, Shape: p.Shape, Data: r.adam.M[i]},
				checkpoint.Tensor{Name: "adam.v." + p.Name, Shape: p.Shape, Data: r.adam.V[i]})
		}
	}
	f.Tensors = append(f.Tensors, checkpoint.Tensor{Name: "adam.t", Shape: []int{1}, I64: []int64{r.adam.T}})
	st, err := json.Marshal(r.state)
	if err != nil {
		return fmt.Errorf("train: state: %w", err)
	}
	f.Meta[metaState] = string(st)
	if err := checkpoint.Write(filepath.Join(r.o.Out, LastFile), f); err != nil {
		return err
	}
	return nil
}

// saveBest writes best.safetensors: the weights that were validated.
func (r *run) saveBest(m *Metrics) error {
	f, err := r.file()
	if err != nil {
		return err
	}
	val, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	f.Meta[MetaVal] = string(val)
	for i, p := range r.net.Params() {
		value := p.Value
		if r.ema != nil {
			value = r.ema[i]
		}
		f.Tensors = append(f.Tensors, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, Data: value})
	}
	return checkpoint.Write(filepath.Join(r.o.Out, BestFile), f)
}

// file is a checkpoint with the metadata of the run and no tensors.
func (r *run) file() (*checkpoint.File, error) {
	recipe, err := r.recipe.YAML()
	if err != nil {
		return nil, err
	}
	heads, err := json.Marshal(r.net.Arch.Heads)
	if err != nil {
		return nil, fmt.Errorf("train: heads: %w", err)
	}
	taught, err := json.Marshal(r.taught())
	if err != nil {
		return nil, fmt.Errorf("train: what taught the heads: %w", err)
	}
	f := &checkpoint.File{Meta: map[string]string{
		MetaHeads: string(heads), MetaTaught: string(taught), MetaRecipe: string(recipe),
		MetaFaces: data.GeometryOf(r.recipe.Levelling), MetaEpoch: strconv.Itoa(r.state.Epoch), MetaSeed: strconv.FormatUint(r.recipe.Seed, 10),
	}}
	return f, nameNet(f, r.net.Arch)
}

// resume takes up the run in Out.
func (r *run) resume() error {
	path := filepath.Join(r.o.Out, LastFile)
	f, err := checkpoint.Read(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("train: no run to resume in %s: %w", r.o.Out, err)
		}
		return err
	}
	if err := r.restore(f); err != nil {
		return fmt.Errorf("train: resume from %s: %w", path, err)
	}
	if err := r.readLog(); err != nil {
		return err
	}
	if best := filepath.Join(r.o.Out, BestFile); r.state.BestEpoch > 0 {
		if _, err := os.Stat(best); err != nil {
			return fmt.Errorf("train: the weights of the best epoch, %d, are missing: %w (put %s back, or begin again in another folder)", r.state.BestEpoch, err, BestFile)
		}
	}
	return r.writeRecipe() // it may have new overrides
}

func (r *run) restore(f *checkpoint.File) error {
	if err := SetWeights(r.net, f); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(f.Meta[metaState]), &r.state); err != nil {
		return fmt.Errorf("no state to resume from (is it a %s?): %w", LastFile, err)
	}
	if len(r.state.Sums) != len(r.heads) || r.state.At < 0 || r.state.Epoch < 0 {
		return errors.New("its state is damaged")
	}
	if r.state.Images != r.fingerprint() {
		return errors.New("the run began with other images (give the same --data, --limit, seed and validation)")
	}
	if r.state.Teachers != r.teachers.hash {
		return errors.New("the run began with other teachers (give the same --teacher files)")
	}
	if had := r.state.Precision; had != r.recipe.Precision {
		return fmt.Errorf("the run began with precision %s, the recipe says %s (--set precision=%s goes on as it began)", had, r.recipe.Precision, had)
	}
	// Runs begun before this was kept are taken at the recipe's word.
	r.state.Monitor = cmp.Or(r.state.Monitor, r.recipe.Monitor)
	if had := r.state.Monitor; had != r.recipe.Monitor {
		return fmt.Errorf("the run's best epoch is by %s, the recipe's by %s (--set monitor=%s goes on as it began)", had, r.recipe.Monitor, had)
	}
	if err := r.restoreWeights(); err != nil {
		return err
	}
	if r.recipe.EMA > 0 {
		r.ema = make([][]float32, len(r.net.Params()))
	}
	for i, p := range r.net.Params() {
		if r.ema == nil {
			break
		}
		r.ema[i] = make([]float32, len(p.Value))
		if err := fill(r.ema[i], f, "ema."+p.Name); err != nil {
			return err
		}
	}
	return r.restoreAdam(f)
}

// restoreWeights takes up loss weights that learn.
func (r *run) restoreWeights() error {
	w := r.state.Weighing
	if (w != nil) != (r.recipe.Weighing != Fixed) {
		return fmt.Errorf("the run began with another weighing of the losses than the recipe's, %s", r.recipe.Weighing)
	}
	if w == nil {
		return nil
	}
	for _, part := range [][]float64{w.Log, w.First, w.M, w.V, w.T} {
		if len(part) != len(r.weights) {
			return errors.New("its state is damaged")
		}
	}
	w.apply(r.weights)
	return nil
}

func (r *run) restoreAdam(f *checkpoint.File) error {
	t := f.Find("adam.t")
	if t == nil || len(t.I64) != 1 {
		return errors.New("no optimiser state (adam.t)")
	}
	if r.adam.T = t.I64[0]; r.adam.T == 0 {
		return nil
	}
	params := r.net.Params()
	r.adam.M, r.adam.V = make([][]float32, len(params)), make([][]float32, len(params))
	for i, p := range params {
		r.adam.M[i], r.adam.V[i] = make([]float32, len(p.Grad)), make([]float32, len(p.Grad))
		if p.Grad == nil {
			continue
		}
		if err := errors.Join(fill(r.adam.M[i], f, "adam.m."+p.Name), fill(r.adam.V[i], f, "adam.v."+p.Name)); err != nil {
			return err
		}
	}
	return nil
}

func fill(dst []float32, f *checkpoint.File, name string) error {
	t := f.Find(name)
	if t == nil {
		return fmt.Errorf("no tensor %s", name)
	}
	if len(t.Data) != len(dst) {
		return fmt.Errorf("tensor %s has %d values, not %d", name, len(t.Data), len(dst))
	}
	copy(dst, t.Data)
	return nil
}

// savedNet is the network of a checkpoint, with the rates of dropout that it had.
func savedNet(path string) (arch.Net, error) {
	f, err := checkpoint.Read(path)
	if err != nil {
		return arch.Net{}, err
	}
	return NetOf(f)
}

// SetWeights puts a checkpoint's weights into a network of the same
// architecture.
func SetWeights(net *nn.Net, f *checkpoint.File) error {
	if a := f.Meta[MetaArch]; a != "" && a != net.Arch.Name {
		return fmt.Errorf("the checkpoint is of network %q, not %q", a, net.Arch.Name)
	}
	if a := f.Meta[MetaFilter]; f.Meta[MetaArch] != "" && a != string(net.Arch.Filter) {
		return fmt.Errorf("the checkpoint was taught with filter %q, not %q", a, net.Arch.Filter)
	}
	had, err := headsOf(f)
	if err != nil {
		return err
	}
	for _, h := range net.Arch.Heads {
		if k := slices.IndexFunc(had, func(x model.Head) bool { return x.Name == h.Name }); k >= 0 && !had[k].Equal(h) {
			return fmt.Errorf("head %s of the checkpoint answers %s, not %s", h.Name, had[k].Say(), h.Say())
		}
	}
	for _, p := range net.Params() {
		t := f.Find(p.Name)
		if t == nil {
			return fmt.Errorf("the checkpoint is of another network: it has no tensor %s", p.Name)
		}
		if len(t.Data) != len(p.Value) || !sameShape(t.Shape, p.Shape) {
			return fmt.Errorf("the checkpoint is of another network: tensor %s has shape %v, not %v", p.Name, t.Shape, p.Shape)
		}
		copy(p.Value, t.Data)
	}
	return nil
}

func sameShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func finite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

func (r *run) writeRecipe() error {
	b, err := r.recipe.YAML()
	if err != nil {
		return err
	}
	return replace(filepath.Join(r.o.Out, RecipeFile), b)
}

func (r *run) writeLog() error {
	var b bytes.Buffer
	for _, e := range r.log {
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("train: log: %w", err)
		}
		b.Write(append(line, '\n'))
	}
	return replace(filepath.Join(r.o.Out, LogFile), b.Bytes())
}

// readLog takes over the lines of the epochs that are done.
func (r *run) readLog() error {
	log, err := ReadLog(filepath.Join(r.o.Out, LogFile))
	if err != nil {
		return err
	}
	for _, e := range log {
		if e.Epoch <= r.state.Epoch {
			r.log = append(r.log, e)
		}
	}
	return r.writeLog()
}

// ReadLog reads the log of a run.
func ReadLog(path string) ([]Epoch, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("train: log: %w", err)
	}
	var log []Epoch
	dec := json.NewDecoder(bytes.NewReader(b))
	for {
		var e Epoch
		switch err := dec.Decode(&e); err {
		case nil:
			log = append(log, e)
		case io.EOF:
			return log, nil
		default:
			return nil, fmt.Errorf("train: %s: line %d: %w", path, len(log)+1, err)
		}
	}
}

func replace(path string, b []byte) error {
	err := atomicfile.Replace(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return fmt.Errorf("train: write %s: %w", path, err)
	}
	return nil
}

// SavedRecipe returns the recipe that a checkpoint was trained with.
func SavedRecipe(path string) (Recipe, error) {
	f, err := checkpoint.Read(path)
	if err != nil {
		return Recipe{}, err
	}
	if f.Meta[MetaRecipe] == "" {
		return Recipe{}, fmt.Errorf("train: %s carries no recipe", path)
	}
	return ParseRecipe("in "+path, []byte(f.Meta[MetaRecipe]), nil)
}
