package train

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/nn"
)

// Recipe is everything that decides what a training run gives, beside the
// images. Its zero value is no recipe: start from a named one.
type Recipe struct {
	Name  string `yaml:"name"`
	About string `yaml:"about"`
	Arch  string `yaml:"arch"` // of train/arch

	Losses Losses `yaml:"losses"` // weight of each head's loss
	// Monitor is the head whose validation accuracy chooses the best epoch, or
	// all: the mean of those with a loss.
	Monitor string `yaml:"monitor"`

	// Precision is float32, or bfloat16: convolutions then multiply values
	// rounded to bfloat16, forward and backward, and sum in float32; weights,
	// the optimiser and all else stay float32. It is several times faster on
	// x86-64 with AMX under Linux, and slower than float32 elsewhere.
	Precision nn.Precision `yaml:"precision"`

	Seed        uint64  `yaml:"seed"`
	Validation  float64 `yaml:"validation"` // part of the training images that validates
	Batch       int     `yaml:"batch"`
	Epochs      int     `yaml:"epochs"`       // at most
	EpochImages int     `yaml:"epoch_images"` // images between validations; 0: all

	LR          float64  `yaml:"lr"`
	WeightDecay float64  `yaml:"weight_decay"`
	Schedule    Schedule `yaml:"schedule"`

	Augment   Augment `yaml:"augment"`
	Views     int     `yaml:"views"`     // changed views of each picture, one a pass in turns, whose teachers are asked once; 0: a new one each pass
	Balance   float64 `yaml:"balance"`   // class weight: frequency to the power -balance; 1 makes classes count alike
	Smoothing float64 `yaml:"smoothing"` // part of the target spread over all labels
	Distill   float64 `yaml:"distill"`   // part of the target that is the teachers' answer, and weight of a picture that has no other; 0: off
	Mixup     float64 `yaml:"mixup"`     // alpha of the Beta distribution; 0: off
	EMA       float64 `yaml:"ema"`       // decay of averaged weights a step; 0: off
	Dropout   float64 `yaml:"dropout"`   // times the network's rates
}

// Losses are the weights of the heads' losses; 0 leaves a head untrained.
type Losses struct {
	Emotion float64 `yaml:"emotion"`
	Gender  float64 `yaml:"gender"`
	Race    float64 `yaml:"race"`
	Age     float64 `yaml:"age"`
}

// Of returns the weight of a head's loss.
func (l Losses) Of(head string) float64 {
	switch head {
	case model.Emotion.Name:
		return l.Emotion
	case model.Gender.Name:
		return l.Gender
	case model.Race.Name:
		return l.Race
	case model.Age.Name:
		return l.Age
	}
	return 0
}

// Schedule says how the learning rate moves.
type Schedule struct {
	// Kind is plateau (times Factor when the monitored accuracy has not
	// improved for Patience epochs; training ends below MinLR), constant,
	// cosine (from LR to MinLR over all epochs) or one-cycle (cosine up from
	// LR/25 over the first 30%, then down to MinLR).
	Kind     string  `yaml:"kind"`
	Warmup   float64 `yaml:"warmup"` // epochs of linear rise from 0
	Factor   float64 `yaml:"factor"`
	Patience int     `yaml:"patience"`
	MinLR    float64 `yaml:"min_lr"`
}

// Augment says how far pictures are changed at random; 0 is off.
type Augment struct {
	Flip       float64 `yaml:"flip"`       // probability of a mirror image
	Shift      float64 `yaml:"shift"`      // pixels of 50, each way
	Rotate     float64 `yaml:"rotate"`     // degrees, each way
	Zoom       float64 `yaml:"zoom"`       // part of the size, each way
	Brightness float64 `yaml:"brightness"` // part of white, each way
	Contrast   float64 `yaml:"contrast"`   // part of the contrast, each way
	Erase      float64 `yaml:"erase"`      // probability of a grey rectangle
}

//go:embed recipes/*.yaml
var recipes embed.FS

// RecipeNames returns the names of the recipes that mien carries.
func RecipeNames() []string {
	files, err := fs.Glob(recipes, "recipes/*.yaml")
	if err != nil {
		return nil // the pattern is right
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".yaml")
	}
	return files
}

// LoadRecipe returns the recipe of that name, or the one in a file whose name
// ends in .yaml, with overrides of the form key=value (schedule.factor=0.5).
func LoadRecipe(name string, set []string) (Recipe, error) {
	b, err := recipeFile(name)
	if err != nil {
		return Recipe{}, err
	}
	return ParseRecipe(name, b, set)
}

func recipeFile(name string) ([]byte, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("train: recipe: %w", err)
		}
		return b, nil
	}
	b, err := recipes.ReadFile("recipes/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("train: no recipe %q (there are %s; a file's name ends in .yaml)", name, strings.Join(RecipeNames(), ", "))
	}
	return b, nil
}

// ParseRecipe reads a recipe; name is for errors, which carry the line and
// the column. What b leaves out is as in the paper.
func ParseRecipe(name string, b []byte, set []string) (Recipe, error) {
	r := paperRecipe()
	if err := decode(b, &r); err != nil {
		return Recipe{}, fmt.Errorf("train: recipe %s: %w", name, err)
	}
	if err := r.check(); err != nil {
		return Recipe{}, fmt.Errorf("train: recipe %s: %w", name, err)
	}
	return r, r.Set(set)
}

// paperRecipe is the recipe of Saroop et al. 2021, section 4.
func paperRecipe() Recipe {
	return Recipe{
		Name: "paper", Arch: "paper", Losses: Losses{Emotion: 2, Gender: 0.1, Race: 1.5, Age: 4}, Monitor: "emotion",
		Precision: nn.Float32, Seed: 1, Validation: 0.1, Batch: 32, Epochs: 100, LR: 3e-4, Dropout: 1,
		Schedule: Schedule{Kind: "plateau", Factor: 0.2, Patience: 5, MinLR: 1e-6},
	}
}

func decode(b []byte, r *Recipe) error {
	if len(strings.TrimSpace(string(b))) == 0 {
		return nil
	}
	err := yaml.UnmarshalWithOptions(b, r, yaml.Strict())
	if err != nil {
		return errors.New(strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	return nil
}

// Set applies overrides of the form key=value.
func (r *Recipe) Set(set []string) error {
	for _, s := range set {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return fmt.Errorf("train: --set %q is not key=value", s)
		}
		var doc strings.Builder
		parts := strings.Split(key, ".")
		for i, p := range parts {
			doc.WriteString("\n" + strings.Repeat("  ", i) + p + ":")
		}
		doc.WriteString(" " + value + "\n")
		if err := decode([]byte(strings.TrimPrefix(doc.String(), "\n")), r); err != nil {
			return fmt.Errorf("train: --set %s: %w", s, err)
		}
	}
	if err := r.check(); err != nil {
		return fmt.Errorf("train: --set %s: %w", strings.Join(set, ", "), err)
	}
	return nil
}

// YAML returns the whole recipe as a file.
func (r Recipe) YAML() ([]byte, error) {
	b, err := yaml.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("train: recipe %s: %w", r.Name, err)
	}
	return b, nil
}

// Net returns the network that the recipe trains.
func (r Recipe) Net() (arch.Net, error) {
	n, err := arch.ByName(r.Arch)
	if err != nil {
		return arch.Net{}, err
	}
	return r.scaleDropout(n), nil
}

func (r Recipe) scaleDropout(n arch.Net) arch.Net {
	n.Body = slices.Clone(n.Body)
	for i := range n.Body {
		n.Body[i].Rate *= r.Dropout
	}
	return n
}

// MonitorAll is the Monitor that is every head with a loss.
const MonitorAll = "all"

// monitors tells whether a head has a say in which epoch is best.
func (r Recipe) monitors(head string) bool {
	return head == r.Monitor || r.Monitor == MonitorAll && r.Losses.Of(head) > 0
}

// Accuracy is what chooses the best epoch: the monitored head's validation
// accuracy, or the mean of several.
func (r Recipe) Accuracy(e *Epoch) float64 {
	var sum float64
	n := 0
	for _, h := range model.Heads() {
		if v, ok := e.Val[h.Name]; ok && r.monitors(h.Name) {
			sum += v.Accuracy
			n++
		}
	}
	return sum / float64(max(n, 1))
}

func (r Recipe) check() error {
	within := func(key string, v, lo, hi float64) error {
		if !(v >= lo && v <= hi) {
			return fmt.Errorf("%s is %g, want %g to %g", key, v, lo, hi)
		}
		return nil
	}
	kinds := []string{"plateau", "constant", "cosine", "one-cycle"}
	if !slices.Contains(kinds, r.Schedule.Kind) {
		return fmt.Errorf("schedule.kind %q is none of %s", r.Schedule.Kind, strings.Join(kinds, ", "))
	}
	if _, err := model.HeadByName(r.Monitor); err != nil && r.Monitor != MonitorAll {
		return fmt.Errorf("monitor: %w, or all", err)
	}
	const most = 1e9
	a, l, s := r.Augment, r.Losses, r.Schedule
	return errors.Join(
		within("losses.emotion", l.Emotion, 0, most), within("losses.gender", l.Gender, 0, most),
		within("losses.race", l.Race, 0, most), within("losses.age", l.Age, 0, most),
		within("losses, all together,", l.Emotion+l.Gender+l.Race+l.Age, 1e-9, most),
		within("validation", r.Validation, 0.001, 0.9), within("batch", float64(r.Batch), 2, 65536),
		within("epochs", float64(r.Epochs), 1, most), within("epoch_images", float64(r.EpochImages), 0, most),
		within("lr", r.LR, 1e-12, 1e12), within("weight_decay", r.WeightDecay, 0, 1),
		within("schedule.warmup", s.Warmup, 0, most), within("schedule.factor", s.Factor, 1e-6, 1),
		within("schedule.patience", float64(s.Patience), 1, most), within("schedule.min_lr", s.MinLR, 0, most),
		within("augment.flip", a.Flip, 0, 1), within("augment.shift", a.Shift, 0, model.Side),
		within("augment.rotate", a.Rotate, 0, 180), within("augment.zoom", a.Zoom, 0, 0.9),
		within("augment.brightness", a.Brightness, 0, 1), within("augment.contrast", a.Contrast, 0, 1),
		within("augment.erase", a.Erase, 0, 1), within("balance", r.Balance, 0, 2),
		within("smoothing", r.Smoothing, 0, 0.9), within("distill", r.Distill, 0, 1), within("views", float64(r.Views), 0, 100), within("mixup", r.Mixup, 0, 100),
		within("ema", r.EMA, 0, 0.999999), within("dropout", r.Dropout, 0, 1.6))
}
