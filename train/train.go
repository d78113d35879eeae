// Package train runs recipes: the loop over epochs with its learning-rate
// schedule, its checkpoints and its exact resume, and the metrics of models.
// A run is a function of recipe, images and starting weights: where and how
// often it was interrupted leaves no trace in the weights.
package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mien/runtime/atomicfile"
	"mien/runtime/lockfile"
	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/nn"
)

// Files of a run, in its folder.
const (
	LastFile   = "last.safetensors" // to resume from
	BestFile   = "best.safetensors" // the weights of the best epoch
	LogFile    = "log.jsonl"        // one Epoch a line
	RecipeFile = "recipe.yaml"
)

// ErrInterrupted is returned when the context ends a run. Its state is saved.
var ErrInterrupted = errors.New("train: interrupted; --resume goes on from here")

// Options of Run.
type Options struct {
	Recipe  Recipe
	Sets    []*data.Set
	Out     string // folder; made when it is not there
	Threads int    // 0 means 1
	Resume  bool   // go on from Out/last.safetensors
	From    string // checkpoint to take the first weights from; "" means fresh ones
	// Teachers are checkpoints whose mean answer makes up Recipe.Distill of the
	// targets, each as FILE, for all heads that it has, or FILE=HEAD,... Train
	// them on the same images and seed, or they know the ones that validate.
	Teachers []string
	// Answers is the folder for what the teachers said of each view, where the
	// recipe has a number of views; runs may share it. "" means Out.
	Answers string
	// SaveEvery is the time between saves within an epoch; 0 means 5 minutes.
	SaveEvery time.Duration
	// StopAfter ends the run after that many epochs in all, as if it were
	// interrupted there; 0 means at the recipe's end.
	StopAfter int
	// Net replaces the recipe's network when its Name is set.
	Net arch.Net
	// Progress is told about every step; it may be nil.
	Progress func(Progress)
}

// Progress is where a run is.
type Progress struct {
	Phase         string // "train" or "validate"
	Epoch, Epochs int    // Epoch counts from 1
	Done, Total   int    // images of this phase
	Step          uint64
	Loss          float64 // running mean of the epoch
	Finished      *Epoch  // set once at the end of each epoch
}

// Epoch is one line of the log.
type Epoch struct {
	Epoch      int                    `json:"epoch"`
	Step       uint64                 `json:"step"`
	LR         float64                `json:"lr"` // of the last step
	Images     int                    `json:"images"`
	Seconds    float64                `json:"seconds"` // of this process's part of the epoch
	ImagesPerS float64                `json:"images_per_s"`
	Loss       float64                `json:"loss"`                   // weighted sum, mean over steps
	Weights    map[string]float64     `json:"loss_weights,omitempty"` // at its end, where they learn
	Train      map[string]HeadSummary `json:"train"`
	Val        map[string]HeadSummary `json:"val"`
	Best       bool                   `json:"best,omitempty"`
	Dropped    bool                   `json:"lr_dropped,omitempty"` // the learning rate falls after this epoch
}

// HeadSummary is a head in the log. In training an answer is right when it is
// the target's largest, which teachers have a say in, and all that they answer
// for count.
type HeadSummary struct {
	N        int     `json:"n"`
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss"`
	MAE      float64 `json:"mae,omitempty"` // of a head that measures, in its unit; not of training
}

// Result is how a run ended.
type Result struct {
	Epochs    int
	BestEpoch int
	Best      float64 // validation accuracy, by Recipe.Accuracy
	Reason    string  // why it ended
	From      string  // checkpoint that the first weights are of; "" for fresh ones
	Log       []Epoch
	Drops     []Drop // heads of the first weights that the run did not train
}

// Run trains until the recipe ends it. The best weights are in Out/BestFile
// afterwards. One process at a time works in a folder: while another does, the
// error is a *lockfile.HeldError.
func Run(ctx context.Context, o Options) (*Result, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.measureStart(ctx); err != nil {
		return nil, err
	}
	for {
		if reason := r.ended(); reason != "" {
			return &Result{r.state.Epoch, r.state.BestEpoch, r.state.Best, reason, r.state.From, r.log, r.drops()}, nil
		}
		if err := r.epoch(ctx); err != nil {
			return nil, err
		}
	}
}

// run is a training run in memory.
type run struct {
	o        Options
	recipe   *Recipe
	net      *nn.Net
	adam     nn.Adam
	heads    []head
	weights  []float64 // of the losses
	batches  *ahead
	teachers *teachers
	train    []data.Sample
	val      []data.Sample
	ema      [][]float32 // nil when the recipe has none
	state    state
	log      []Epoch
	perEpoch int
	saved    time.Time
	x        []float32 // pictures to validate
	lock     *lockfile.Lock
}

// close gives back what newRun took.
func (r *run) close() {
	if r.batches != nil {
		r.batches.stop()
	}
	if r.teachers != nil {
		_ = r.teachers.close() // their files are read again before they are believed
	}
	_ = r.lock.Release() // closing a file that only names its owner
}

func newRun(o Options) (*run, error) {
	o.Threads = max(o.Threads, 1)
	if o.SaveEvery == 0 {
		o.SaveEvery = 5 * time.Minute
	}
	o.Answers = cmp.Or(o.Answers, o.Out)
	r := &run{o: o, recipe: &o.Recipe}
	if err := r.recipe.check(); err != nil {
		return nil, fmt.Errorf("train: recipe %s: %w", r.recipe.Name, err)
	}
	if err := r.network(); err != nil {
		return nil, err
	}
	if err := r.images(); err != nil {
		return nil, err
	}
	var err error
	if r.teachers, err = newTeachers(&r.o, r.heads, r.train); err != nil {
		return nil, err
	}
	if err := r.monitored(); err != nil {
		return nil, errors.Join(err, r.teachers.close())
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("train: %w", err), r.teachers.close())
	}
	if r.lock, err = lockfile.Take(filepath.Join(o.Out, lockfile.Name), 0); err != nil {
		return nil, errors.Join(fmt.Errorf("train: %w", err), r.teachers.close())
	}
	if err := r.start(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// start begins the run, or takes it up.
func (r *run) start() error {
	if err := r.clean(); err != nil {
		return err
	}
	if r.o.Resume {
		return r.resume()
	}
	return r.begin()
}

// clean removes what a run that was killed has left half written.
func (r *run) clean() error {
	for _, name := range []string{LastFile, BestFile, LogFile, RecipeFile} {
		if err := atomicfile.Clean(filepath.Join(r.o.Out, name)); err != nil {
			return err
		}
	}
	return nil
}

// layers are those of the network.
func (r *run) layers() (arch.Net, error) {
	n, err := r.unfrozen()
	if err != nil {
		return n, err
	}
	return r.recipe.freeze(n)
}

// unfrozen is the network with all its layers to learn. A run that goes on keeps
// those of a file as they were when it began.
func (r *run) unfrozen() (arch.Net, error) {
	switch {
	case r.o.Net.Name != "":
		return r.recipe.fit(r.o.Net)
	case r.o.Resume && !arch.Carried(r.recipe.Arch):
		return savedNet(filepath.Join(r.o.Out, LastFile))
	}
	return r.recipe.Net()
}

func (r *run) network() error {
	net, err := r.layers()
	if err != nil {
		return err
	}
	if r.net, err = nn.NewIn(r.recipe.Precision, net, r.recipe.Batch, r.o.Threads); err != nil {
		return err
	}
	r.adam = nn.Adam{LR: r.recipe.LR, WeightDecay: r.recipe.WeightDecay}
	monitored := false
	for _, h := range net.Heads {
		at, err := r.place(h)
		if err != nil {
			return err
		}
		r.heads = append(r.heads, head{h, at})
		r.weights = append(r.weights, r.recipe.Losses[h.Name])
		monitored = monitored || r.recipe.monitors(h.Name)
	}
	if !monitored {
		return fmt.Errorf("train: network %s has no head to monitor (the recipe says %s)", net.Name, r.recipe.Monitor)
	}
	return nil
}

// place returns a head's place in the labels of the sets, which have to be
// loaded for the same heads.
func (r *run) place(h model.Head) (int, error) {
	at := -1
	for i, s := range r.o.Sets {
		k := model.IndexEqual(s.Heads, h)
		if k < 0 || i > 0 && k != at {
			return -1, fmt.Errorf("train: %s:%s was not loaded for head %s (%s)", s.Kind, s.Dir, h.Name, strings.Join(h.Labels, ", "))
		}
		at = k
	}
	return at, nil
}

// images collects the splits and refuses a run that cannot be judged. Images
// that no trained head has a label for are left out.
func (r *run) images() error {
	for _, s := range r.o.Sets {
		for _, x := range s.Samples {
			switch {
			case x.Split == data.Train && r.teaches(&x):
				r.train = append(r.train, x)
			case x.Split == data.Val:
				r.val = append(r.val, x)
			}
		}
	}
	if len(r.train) < 2 {
		return fmt.Errorf("train: %d images to learn from, of heads whose loss weight is not 0", len(r.train))
	}
	if !slices.ContainsFunc(r.val, r.judges) {
		return fmt.Errorf("train: no validation image has a label of what the recipe monitors, %s (add a data set that has, or --set monitor=HEAD)", r.recipe.Monitor)
	}
	r.batches = newAhead(r.recipe, r.heads, r.train)
	r.perEpoch = len(r.train)
	if r.recipe.EpochImages > 0 {
		r.perEpoch = r.recipe.EpochImages
	}
	// Batch norm has no variance to learn from in a batch of one: that image
	// waits for the next pass.
	if r.perEpoch > 1 && r.perEpoch%r.recipe.Batch == 1 {
		r.perEpoch--
	}
	r.x = make([]float32, r.recipe.Batch*data.Pixels)
	return nil
}

// monitored refuses a run whose best epoch a head would choose that nothing
// teaches.
func (r *run) monitored() error {
	for i, h := range r.heads {
		if h.Name == r.recipe.Monitor && !r.teachers.answers(i) && !slices.ContainsFunc(r.train, func(x data.Sample) bool { return x.Answers(h.at) }) {
			return fmt.Errorf("train: monitor is %s, of which no training image has a label: what is not taught cannot choose the best epoch", h.Name)
		}
	}
	return nil
}

// judges tells whether an image has a say in which epoch is best.
func (r *run) judges(x data.Sample) bool {
	return slices.ContainsFunc(r.heads, func(h head) bool { return r.recipe.monitors(h.Name) && x.Labels[h.at] != data.NoLabel })
}

func (r *run) teaches(x *data.Sample) bool {
	for i, h := range r.heads {
		if r.weights[i] > 0 && x.Answers(h.at) {
			return true
		}
	}
	return false
}

// begin starts a new run.
func (r *run) begin() error {
	last := filepath.Join(r.o.Out, LastFile)
	if _, err := os.Stat(last); err == nil {
		return fmt.Errorf("train: %s holds a run already (--resume goes on with it; otherwise choose another folder)", r.o.Out)
	}
	r.net.Init(r.recipe.Seed)
	var before map[string]Taught
	if r.o.From != "" {
		f, err := checkpoint.Read(r.o.From)
		if err != nil {
			return err
		}
		if err := SetWeights(r.net, f); err != nil {
			return fmt.Errorf("train: %s: %w", r.o.From, err)
		}
		if before, err = TaughtBy(f); err != nil {
			return fmt.Errorf("train: %s: %w", r.o.From, err)
		}
	}
	r.state = state{Before: before, Images: r.fingerprint(), Teachers: r.teachers.hash,
		Precision: r.recipe.Precision, Monitor: r.recipe.Monitor, From: r.o.From, Scale: 1, Best: -1, Sums: make([]sums, len(r.heads)),
		Weighing: newWeighing(r.recipe.Weighing, r.weights)}
	if r.recipe.EMA > 0 {
		for _, p := range r.net.Params() {
			r.ema = append(r.ema, append([]float32(nil), p.Value...))
		}
	}
	if err := r.writeRecipe(); err != nil {
		return err
	}
	if err := r.writeLog(); err != nil {
		return err
	}
	return r.save()
}

func (r *run) ended() string {
	switch {
	case r.state.Stopped:
		return fmt.Sprintf("the learning rate fell below %g", r.recipe.Schedule.MinLR)
	case r.recipe.Patience > 0 && r.state.Epoch-r.state.BestEpoch >= r.recipe.Patience:
		return fmt.Sprintf("no epoch was better in %d", r.recipe.Patience)
	case r.state.Epoch >= r.recipe.Epochs:
		return fmt.Sprintf("epoch %d, the last, is done", r.state.Epoch)
	case r.o.StopAfter > 0 && r.state.Epoch >= r.o.StopAfter:
		return fmt.Sprintf("stopped after epoch %d as asked", r.state.Epoch)
	}
	return ""
}

// epoch does what is left of the current epoch.
func (r *run) epoch(ctx context.Context) error {
	begun, first := time.Now(), r.state.At
	r.saved = begun
	for r.state.At < r.perEpoch {
		if ctx.Err() != nil {
			if err := r.save(); err != nil {
				return err
			}
			return ErrInterrupted
		}
		if time.Since(r.saved) >= r.o.SaveEvery && r.state.At > first {
			if err := r.save(); err != nil {
				return err
			}
		}
		if err := r.step(); err != nil {
			return err
		}
	}
	e := r.summary(time.Since(begun).Seconds(), r.state.At-first)
	return r.finish(ctx, e)
}

// step learns from one batch.
func (r *run) step() error {
	n := min(r.recipe.Batch, r.perEpoch-r.state.At)
	next := min(r.recipe.Batch, r.perEpoch-(r.state.At+n)%r.perEpoch)
	b := r.batches.at(uint64(r.state.Epoch)*uint64(r.perEpoch)+uint64(r.state.At), n, next)
	if err := r.teachers.teach(b); err != nil {
		return err
	}
	l, err := r.net.Step(&b.Batch, r.weights, r.recipe.Seed<<40^r.state.Step)
	if err != nil {
		return err
	}
	if !l.Finite() {
		return r.diverged("the loss", r.net.NonFinite())
	}
	r.state.LR = r.rate()
	r.adam.LR = r.state.LR
	if err := r.adam.Step(r.net); err != nil {
		return err
	}
	if r.state.Weighing != nil {
		r.state.Weighing.learn(r.recipe.Weighing, r.weights, l, r.net.Pull)
	}
	r.state.Step++
	r.average()
	r.count(l, n)
	if r.o.Progress != nil {
		r.o.Progress(Progress{Phase: "train", Epoch: r.state.Epoch + 1, Epochs: r.recipe.Epochs, Done: r.state.At,
			Total: r.perEpoch, Step: r.state.Step, Loss: r.state.Loss / float64(r.state.Steps)})
	}
	return nil
}

// Diverged says where a run stopped being finite.
type Diverged struct {
	What  string // what was not finite
	Layer string // the first layer, or the parameter
	Step  uint64
	Epoch int
	Kept  string // the checkpoint that is still good
}

func (d *Diverged) Error() string {
	return fmt.Sprintf("train: %s is not finite at step %d (epoch %d), first in layer %s; %s is from before and good (a lower lr may help)",
		d.What, d.Step, d.Epoch, d.Layer, d.Kept)
}

func (r *run) diverged(what, layer string) error {
	return &Diverged{what, layer, r.state.Step + 1, r.state.Epoch + 1, filepath.Join(r.o.Out, LastFile)}
}

// rate is the learning rate of the next step.
func (r *run) rate() float64 {
	s := r.recipe.Schedule
	perEpoch := float64(r.perEpoch)
	at := float64(r.state.Epoch) + float64(r.state.At)/perEpoch // in epochs
	if at < s.Warmup {
		step := float64(r.recipe.Batch) / perEpoch
		return r.recipe.LR * min((at+step)/s.Warmup, 1)
	}
	end := float64(r.recipe.Epochs)
	down := func(from, t float64) float64 {
		return s.MinLR + (from-s.MinLR)*0.5*(1+math.Cos(math.Pi*min(max(t, 0), 1)))
	}
	switch s.Kind {
	case "plateau":
		return r.recipe.LR * r.state.Scale
	case "cosine":
		return down(r.recipe.LR, (at-s.Warmup)/max(end-s.Warmup, 1e-9))
	case "one-cycle":
		rise := 0.3 * end
		if at < rise {
			low := r.recipe.LR / 25
			return low + (r.recipe.LR-low)*0.5*(1-math.Cos(math.Pi*at/rise))
		}
		return down(r.recipe.LR, (at-rise)/max(end-rise, 1e-9))
	}
	return r.recipe.LR
}

// average moves the averaged weights; early on they follow faster (as in
// TensorFlow's ExponentialMovingAverage with num_updates).
func (r *run) average() {
	if r.ema == nil {
		return
	}
	t := float64(r.state.Step)
	keep := float32(min(r.recipe.EMA, (1+t)/(10+t)))
	for i, p := range r.net.Params() {
		avg := r.ema[i]
		for k, v := range p.Value {
			avg[k] += (1 - keep) * (v - avg[k])
		}
	}
}

func (r *run) count(l nn.Losses, n int) {
	r.state.At += n
	r.state.Steps++
	r.state.Loss += l.Total
	for i, h := range l.Heads {
		s := &r.state.Sums[i]
		s.N += h.Count
		s.Right += h.Correct
		s.Loss += h.Loss * float64(h.Count)
	}
}

func (r *run) summary(seconds float64, images int) Epoch {
	e := Epoch{Epoch: r.state.Epoch + 1, Step: r.state.Step, LR: r.state.LR, Images: r.perEpoch, Seconds: seconds,
		Loss: r.state.Loss / float64(r.state.Steps), Train: map[string]HeadSummary{}, Val: map[string]HeadSummary{}}
	if r.state.Weighing != nil {
		e.Weights = map[string]float64{}
	}
	if seconds > 0 {
		e.ImagesPerS = float64(images) / seconds
	}
	for i, h := range r.heads {
		if r.state.Weighing != nil {
			e.Weights[h.Name] = r.weights[i]
		}
		if s := r.state.Sums[i]; s.N > 0 {
			e.Train[h.Name] = HeadSummary{s.N, s.Right / float64(s.N), s.Loss / float64(s.N), 0}
		}
	}
	return e
}

// finish validates, keeps the best weights, logs the epoch and saves. The
// order makes a kill between any two of them harmless: until the last save
// the epoch's end is done again, with the same result.
func (r *run) finish(ctx context.Context, e Epoch) error {
	m, err := r.validate(ctx)
	if errors.Is(err, ErrInterrupted) {
		return errors.Join(r.save(), err)
	}
	if err != nil {
		return err
	}
	for name, h := range m.Heads {
		if math.IsNaN(h.Loss) || math.IsInf(h.Loss, 0) {
			return r.diverged("the validation loss of "+name, r.net.NonFinite())
		}
		if h.N > 0 {
			e.Val[name] = HeadSummary{h.N, h.Accuracy, h.Loss, h.MAE}
		}
	}
	r.state.Epoch, r.state.At, r.state.Steps, r.state.Loss = e.Epoch, 0, 0, 0
	clear(r.state.Sums)
	r.judge(&e, r.recipe.Accuracy(&e))
	if e.Best {
		if err := r.saveBest(m); err != nil {
			return err
		}
	}
	r.log = append(r.log, e)
	if err := r.writeLog(); err != nil {
		return err
	}
	if r.o.Progress != nil {
		r.o.Progress(Progress{Phase: "train", Epoch: e.Epoch, Epochs: r.recipe.Epochs, Done: r.perEpoch, Total: r.perEpoch,
			Step: r.state.Step, Loss: e.Loss, Finished: &e})
	}
	return r.save()
}

// judge applies the two callbacks of the paper: the learning rate falls when
// the accuracy has not improved for Patience epochs, and the run ends when it
// is below MinLR.
func (r *run) judge(e *Epoch, accuracy float64) {
	if accuracy > r.state.Best {
		e.Best = true
		r.state.Best, r.state.BestEpoch, r.state.Wait = accuracy, e.Epoch, 0
		return
	}
	r.state.Wait++
	s := r.recipe.Schedule
	if s.Kind == "plateau" && r.state.Wait >= s.Patience {
		e.Dropped = true
		r.state.Wait = 0
		r.state.Scale *= s.Factor
		r.state.Stopped = r.recipe.LR*r.state.Scale < s.MinLR
	}
}

// validate measures the weights that would be kept: the averaged ones where
// the recipe has them.
func (r *run) validate(ctx context.Context) (*Metrics, error) {
	defer r.swap()
	r.swap()
	m := NewMetrics(r.net.Arch.Heads)
	err := predict(ctx, r.net, r.recipe.Batch, r.o.Sets[0].Heads, r.val, r.x, m, func(done int) {
		if r.o.Progress != nil {
			r.o.Progress(Progress{Phase: "validate", Epoch: r.state.Epoch + 1, Epochs: r.recipe.Epochs, Done: done, Total: len(r.val), Step: r.state.Step})
		}
	})
	return m, err
}

// predict adds the network's answers about samples, whose labels go by heads,
// to m and finishes it.
func predict(ctx context.Context, net *nn.Net, batch int, heads []model.Head, samples []data.Sample, x []float32, m *Metrics, progress func(done int)) error {
	for lo := 0; lo < len(samples); lo += batch {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		part := samples[lo:min(lo+batch, len(samples))]
		for i := range part {
			pixels(x[i*data.Pixels:][:data.Pixels], part[i].Face)
		}
		logits := net.Predict(x, len(part))
		for range part {
			m.Said = append(m.Said, data.Unlabelled(heads))
		}
		for k, h := range net.Arch.Heads {
			at, n := model.IndexEqual(heads, h), len(h.Labels)
			if at < 0 {
				continue
			}
			for i := range part {
				p := logits[k][i*n:][:n]
				Softmax(p)
				m.Said[lo+i][at] = int8(h.Answer(p))
				m.Heads[h.Name].count(p, &part[i], at)
			}
		}
		progress(lo + len(part))
	}
	m.Finish()
	return nil
}

// swap exchanges the weights and their average.
func (r *run) swap() {
	if r.ema == nil {
		return
	}
	for i, p := range r.net.Params() {
		for k, v := range r.ema[i] {
			r.ema[i][k], p.Value[k] = p.Value[k], v
		}
	}
}
