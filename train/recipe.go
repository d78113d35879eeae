package train

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"mien/runtime/face"
	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/data"
	"mien/train/nn"
)

// Recipe is everything that decides what a training run gives, beside the
// images. Its zero value is no recipe: start from a named one. What each key
// means, with its unit, stands in recipes/paper.yaml and nowhere else.
type Recipe struct {
	Name      string         `yaml:"name"`
	About     string         `yaml:"about"`
	Arch      string         `yaml:"arch"`
	Filter    model.Filter   `yaml:"filter,omitempty"`
	Levelling face.Levelling `yaml:"levelling,omitempty"`
	Freeze    string         `yaml:"freeze,omitempty"`

	Heads     Heads        `yaml:"heads"`
	Losses    Losses       `yaml:"losses"`
	Weighing  string       `yaml:"weighing"`
	Monitor   string       `yaml:"monitor"`
	Precision nn.Precision `yaml:"precision"`

	Seed        uint64  `yaml:"seed"`
	Split       uint64  `yaml:"split,omitempty"`
	Validation  float64 `yaml:"validation"`
	Batch       int     `yaml:"batch"`
	Epochs      int     `yaml:"epochs"`
	Patience    int     `yaml:"patience"`
	EpochImages int     `yaml:"epoch_images"`

	LR          float64  `yaml:"lr"`
	WeightDecay float64  `yaml:"weight_decay"`
	Schedule    Schedule `yaml:"schedule"`

	Augment   Augment   `yaml:"augment"`
	Views     int       `yaml:"views"`
	Spread    Spread    `yaml:"spread,omitempty"`
	Balance   float64   `yaml:"balance"`
	Smoothing float64   `yaml:"smoothing"`
	Distill   float64   `yaml:"distill"`
	Mixup     float64   `yaml:"mixup"`
	EMA       float64   `yaml:"ema"`
	Dropout   float64   `yaml:"dropout"`
	Dropouts  []float64 `yaml:"dropouts,omitempty"`
}

// Data are the options of the data sets that the recipe is trained and measured on.
func (r *Recipe) Data() data.Options {
	return data.Options{Heads: r.Heads, Seed: r.SplitSeed(), Validation: r.Validation, Spread: r.Spread, Levelling: r.Levelling}
}

// SplitSeed is the seed of the split into train and val.
func (r *Recipe) SplitSeed() uint64 { return cmp.Or(r.Split, r.Seed) }

// Losses are the weights of the heads' losses, by head; 0 leaves a head
// untrained.
type Losses map[string]float64

// UnmarshalYAML sets the weights that a document names and keeps the others.
func (l *Losses) UnmarshalYAML(b []byte) error {
	var named map[string]float64
	if err := yaml.Unmarshal(b, &named); err != nil {
		return err
	}
	all := maps.Clone(*l)
	if all == nil {
		all = Losses{}
	}
	maps.Copy(all, named)
	*l = all
	return nil
}

// Heads are what a recipe asks, in the order of the file format. In YAML they
// are a map of labels, or of a scale, by name.
type Heads []model.Head

// UnmarshalYAML reads {smile: [yes, no], age: [0-17, 18+], years: 0..100 years}.
func (h *Heads) UnmarshalYAML(unmarshal func(any) error) error {
	var m yaml.MapSlice
	if err := unmarshal(&m); err != nil {
		return err
	}
	*h = nil
	for _, item := range m {
		labels, ok := item.Value.([]any)
		if !ok {
			head, err := model.ParseHead(fmt.Sprintf("%v=%v", item.Key, item.Value))
			if err != nil || !head.Measures() {
				return fmt.Errorf("heads: %v is followed by neither a list of labels, such as {smile: [yes, no]}, nor a scale, such as {years: 0..100 years}", item.Key)
			}
			*h = append(*h, head)
			continue
		}
		head := model.Head{Name: fmt.Sprint(item.Key)}
		for _, l := range labels {
			head.Labels = append(head.Labels, fmt.Sprint(l))
		}
		*h = append(*h, head)
	}
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (h Heads) MarshalYAML() (any, error) {
	var m yaml.MapSlice
	for _, head := range h {
		if head.Measures() {
			m = append(m, yaml.MapItem{Key: head.Name, Value: head.Say()})
			continue
		}
		m = append(m, yaml.MapItem{Key: head.Name, Value: head.Labels})
	}
	return m, nil
}

// Spread is a standard deviation by head.
type Spread map[string]float64

// Schedule says how the learning rate moves (recipes/paper.yaml).
type Schedule struct {
	Kind     string  `yaml:"kind"`
	Warmup   float64 `yaml:"warmup"`
	Factor   float64 `yaml:"factor"`
	Patience int     `yaml:"patience"`
	MinLR    float64 `yaml:"min_lr"`
}

// Augment says how far pictures are changed at random (recipes/paper.yaml). Its
// fields are the one table of changes and of their greatest values.
type Augment struct {
	Flip       float64 `yaml:"flip" most:"1"`
	Shift      float64 `yaml:"shift" most:"50"`
	Rotate     float64 `yaml:"rotate" most:"180"`
	Zoom       float64 `yaml:"zoom" most:"0.9"`
	Brightness float64 `yaml:"brightness" most:"1"`
	Contrast   float64 `yaml:"contrast" most:"1"`
	Erase      float64 `yaml:"erase" most:"1"`

	// What photographs of elsewhere have.
	Cover    float64 `yaml:"cover" most:"1"`
	Shadow   float64 `yaml:"shadow" most:"1"`
	Exposure float64 `yaml:"exposure" most:"4"`
	Gamma    float64 `yaml:"gamma" most:"2"`
	Far      float64 `yaml:"far" most:"0.9"`
	Blur     float64 `yaml:"blur" most:"5"`
	Noise    float64 `yaml:"noise" most:"1"`
	JPEG     float64 `yaml:"jpeg" most:"1"`
}

// check refuses what lies beyond the table.
func (a Augment) check() error {
	var errs []error
	v := reflect.ValueOf(a)
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		most, err := strconv.ParseFloat(tag.Get("most"), 64)
		errs = append(errs, err, within("augment."+tag.Get("yaml"), v.Field(i).Float(), 0, most))
	}
	return errors.Join(errs...)
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
	b, err := RecipeText(name)
	if err != nil {
		return Recipe{}, err
	}
	return ParseRecipe(name, b, set)
}

// RecipeText is the text of the recipe of that name, or of the file.
func RecipeText(name string) ([]byte, error) {
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
// the column. What b leaves out is as in the paper; where it names heads of its
// own, their losses weigh 1 and all of them choose the best epoch.
func ParseRecipe(name string, b []byte, set []string) (Recipe, error) {
	r, err := paperRecipe()
	if err != nil {
		return Recipe{}, err
	}
	r.About = ""
	var asks struct {
		Heads any `yaml:"heads"`
	}
	if yaml.Unmarshal(b, &asks) == nil && asks.Heads != nil {
		r.Heads, r.Losses, r.Monitor = nil, nil, MonitorAll
	}
	if err := decode(b, &r); err != nil {
		return Recipe{}, fmt.Errorf("train: recipe %s: %w", name, err)
	}
	r.weigh()
	if err := r.check(); err != nil {
		return Recipe{}, fmt.Errorf("train: recipe %s: %w", name, err)
	}
	return r, r.Set(set)
}

// Ask replaces the recipe's heads. Those that it had no loss for weigh 1.
func (r *Recipe) Ask(heads []model.Head) error {
	if err := model.CheckHeads(heads); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	had := r.Losses
	r.Heads, r.Losses = heads, Losses{}
	for _, h := range heads {
		if w, ok := had[h.Name]; ok {
			r.Losses[h.Name] = w
		}
	}
	r.weigh()
	if r.Losses[r.Monitor] == 0 {
		r.Monitor = MonitorAll
	}
	maps.DeleteFunc(r.Spread, func(head string, _ float64) bool { h := r.head(head); return h == nil || !data.Ordered(*h) })
	return r.check()
}

// weigh gives a loss to the heads that have none.
func (r *Recipe) weigh() {
	for _, h := range r.Heads {
		if _, ok := r.Losses[h.Name]; !ok {
			if r.Losses == nil {
				r.Losses = Losses{}
			}
			r.Losses[h.Name] = 1
		}
	}
}

func (r *Recipe) head(name string) *model.Head {
	if i := model.Index(r.Heads, name); i >= 0 {
		return &r.Heads[i]
	}
	return nil
}

// paperRecipe is the recipe of Saroop et al. 2021, section 4, whose file has every
// key. The others are written as what differs from it.
func paperRecipe() (Recipe, error) {
	b, err := RecipeText("paper")
	if err != nil {
		return Recipe{}, err
	}
	var r Recipe
	return r, decode(b, &r)
}

func decode(b []byte, r *Recipe) error {
	if len(strings.TrimSpace(string(b))) == 0 {
		return nil
	}
	if err := typed(b, reflect.TypeOf(*r)); err != nil {
		return err
	}
	err := yaml.UnmarshalWithOptions(b, r, yaml.Strict())
	if err != nil {
		return errors.New(strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	if len(r.Spread) == 0 {
		r.Spread = nil // as where it is left out
	}
	if len(r.Dropouts) == 0 {
		r.Dropouts = nil
	}
	return nil
}

// typed refuses what the YAML library would take for something else: a number
// with a fraction for a whole one, and no value at all for one that is there.
func typed(b []byte, t reflect.Type) error {
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return nil // the decoder says it better
	}
	for _, doc := range file.Docs {
		if err := typedNode(doc.Body, t, ""); err != nil {
			return err
		}
	}
	return nil
}

func typedNode(n ast.Node, t reflect.Type, path string) error {
	fail := func(format string, args ...any) error {
		at := n.GetToken().Position
		return fmt.Errorf("[%d:%d] %s %s", at.Line, at.Column, path, fmt.Sprintf(format, args...))
	}
	switch n := n.(type) {
	case nil:
		return nil
	case *ast.MappingValueNode:
		return typedValue(n, t, path)
	case *ast.MappingNode:
		for _, v := range n.Values {
			if err := typedValue(v, t, path); err != nil {
				return err
			}
		}
	case *ast.NullNode:
		if path != "" {
			return fail("has no value")
		}
	case *ast.FloatNode:
		switch t.Kind() {
		case reflect.Int, reflect.Int64, reflect.Uint64:
			if n.Value != math.Trunc(n.Value) {
				return fail("is %v, want a whole number", n.Value)
			}
		}
	}
	return nil
}

func typedValue(v *ast.MappingValueNode, t reflect.Type, path string) error {
	key := v.Key.GetToken().Value
	if path != "" {
		path += "."
	}
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name == key {
				return typedNode(v.Value, f.Type, path+key)
			}
		}
		return nil // the decoder refuses an unknown key
	case reflect.Map:
		return typedNode(v.Value, t.Elem(), path+key)
	}
	return typedNode(v.Value, t, path+key)
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
	n, err := arch.ByName(r.Arch, r.Heads)
	if err != nil {
		return arch.Net{}, err
	}
	return r.fit(n)
}

// fit sets a network's filter and the rates of its dropout.
func (r Recipe) fit(n arch.Net) (arch.Net, error) {
	n.Filter = r.Filter
	n.Body = slices.Clone(n.Body)
	layers := 0
	for i := range n.Body {
		l := &n.Body[i]
		if l.Op != arch.Dropout {
			continue
		}
		if layers < len(r.Dropouts) {
			l.Rate = r.Dropouts[layers]
		}
		l.Rate *= r.Dropout
		layers++
	}
	if len(r.Dropouts) > 0 && len(r.Dropouts) != layers {
		return n, fmt.Errorf("train: dropouts has %d rates, network %s drops in %d places", len(r.Dropouts), n.Name, layers)
	}
	return n, nil
}

// freezeBody is the Freeze that leaves the heads alone to learn.
const freezeBody = "body"

// freeze says which layers of a network learn nothing.
func (r Recipe) freeze(n arch.Net) (arch.Net, error) {
	if r.Freeze == "" {
		return n, nil
	}
	n.Frozen = len(n.Body)
	if r.Freeze != freezeBody {
		n.Frozen = 1 + slices.IndexFunc(n.Body, func(l arch.Layer) bool { return l.Name == r.Freeze })
	}
	if n.Frozen == 0 {
		return n, fmt.Errorf("train: freeze: network %s has no layer %q (body means all of them)", n.Name, r.Freeze)
	}
	return n, nil
}

// MonitorAll is the Monitor that is every head with a loss.
const MonitorAll = "all"

// monitors tells whether a head has a say in which epoch is best.
func (r Recipe) monitors(head string) bool {
	return head == r.Monitor || r.Monitor == MonitorAll && r.Losses[head] > 0
}

// Accuracy is what chooses the best epoch: the monitored head's validation
// accuracy, or the mean of several.
func (r Recipe) Accuracy(e *Epoch) float64 {
	var sum float64
	n := 0
	for _, h := range r.Heads {
		if v, ok := e.Val[h.Name]; ok && r.monitors(h.Name) {
			sum += v.Accuracy
			n++
		}
	}
	return sum / float64(max(n, 1))
}

func within(key string, v, lo, hi float64) error {
	if !(v >= lo && v <= hi) {
		return fmt.Errorf("%s is %g, want %g to %g", key, v, lo, hi)
	}
	return nil
}

// checkHeads says what is wrong with the heads and with what is said of them.
func (r Recipe) checkHeads() error {
	if err := model.CheckHeads(r.Heads); err != nil {
		return fmt.Errorf("heads: %w", err)
	}
	names := model.Names(r.Heads)
	none := func(key, head string) error {
		return fmt.Errorf("%s: there is no head %q (there are %s)", key, head, strings.Join(names, ", "))
	}
	var sum float64
	for _, head := range slices.Sorted(maps.Keys(r.Losses)) {
		if r.head(head) == nil {
			return none("losses", head)
		}
		if err := within("losses."+head, r.Losses[head], 0, 1e9); err != nil {
			return err
		}
		sum += r.Losses[head]
	}
	if sum == 0 {
		return errors.New("losses are all 0: nothing would be learned")
	}
	for _, head := range slices.Sorted(maps.Keys(r.Spread)) {
		h := r.head(head)
		if h == nil {
			return none("spread", head)
		}
		if !data.Ordered(*h) {
			return fmt.Errorf("spread.%s: its labels (%s) are no numbers in order", head, strings.Join(h.Labels, ", "))
		}
		if err := within("spread."+head, r.Spread[head], 0, 1e3); err != nil {
			return err
		}
	}
	switch {
	case r.Monitor == MonitorAll:
	case r.head(r.Monitor) == nil:
		return fmt.Errorf("monitor: there is no head %q (there are %s, and all)", r.Monitor, strings.Join(names, ", "))
	case r.Losses[r.Monitor] == 0:
		return fmt.Errorf("monitor is %s, whose loss is 0: what is not taught cannot choose the best epoch", r.Monitor)
	}
	return nil
}

func (r Recipe) check() error {
	kinds := []string{"plateau", "constant", "cosine", "one-cycle"}
	if !slices.Contains(kinds, r.Schedule.Kind) {
		return fmt.Errorf("schedule.kind %q is none of %s", r.Schedule.Kind, strings.Join(kinds, ", "))
	}
	if err := r.checkHeads(); err != nil {
		return err
	}
	if err := r.Filter.Check(); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	if err := r.Levelling.Check(); err != nil {
		return fmt.Errorf("levelling: %w", err)
	}
	if !slices.Contains(weighings, r.Weighing) {
		return fmt.Errorf("weighing %q is none of %s", r.Weighing, strings.Join(weighings, ", "))
	}
	const most = 1e9
	s := r.Schedule
	for _, rate := range r.Dropouts {
		if err := within("dropouts", rate, 0, 0.95); err != nil {
			return err
		}
	}
	return errors.Join(
		within("validation", r.Validation, 0.001, 0.9), within("batch", float64(r.Batch), 2, 65536),
		within("epochs", float64(r.Epochs), 1, most), within("patience", float64(r.Patience), 0, most), within("epoch_images", float64(r.EpochImages), 0, most),
		within("lr", r.LR, 1e-12, 1e12), within("weight_decay", r.WeightDecay, 0, 1),
		within("schedule.warmup", s.Warmup, 0, most), within("schedule.factor", s.Factor, 1e-6, 1),
		within("schedule.patience", float64(s.Patience), 1, most), within("schedule.min_lr", s.MinLR, 0, most),
		r.Augment.check(), within("balance", r.Balance, 0, 2),
		within("smoothing", r.Smoothing, 0, 0.9), within("distill", r.Distill, 0, 1), within("views", float64(r.Views), 0, 100), within("mixup", r.Mixup, 0, 100),
		within("ema", r.EMA, 0, 0.999999), within("dropout", r.Dropout, 0, 1.6))
}
