package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"mien/train/data"
)

// Chain is runs one after the other: teachers, and the students that learn from
// them. All that a step needs is in the chain, in the steps before it or in files
// beside it (those of the models lie in chains/, their starts in teachers/), so it
// can be cut at any instant and go on, here or, with its folder, elsewhere.
type Chain struct {
	About string `yaml:"about"`
	Steps []Step `yaml:"steps"`
}

// Step is a run of a chain.
type Step struct {
	Name   string   `yaml:"name"`   // and the folder of the run, in that of the chain
	Recipe string   `yaml:"recipe"` // a name, or a file
	Set    []string `yaml:"set"`    // overrides, as KEY=VALUE
	Data   []string `yaml:"data"`   // kinds of the data sets that it learns from, of those that are given
	// From is a step before whose best weights come first, or a checkpoint
	// beside the chain's file; "" means fresh weights.
	From     string   `yaml:"from"`
	Teachers []string `yaml:"teachers"` // as From, or From=HEAD,... for a teacher of some heads
}

// LoadChain reads a chain. Files that it names are taken from its own folder.
func LoadChain(path string) (*Chain, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("train: chain: %w", err)
	}
	var c Chain
	if err := yaml.UnmarshalWithOptions(b, &c, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("train: chain %s: %s", path, strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	if err := c.Check(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("train: chain %s: %w", path, err)
	}
	return &c, nil
}

// Check refuses a chain that could not run, and finds the files that it names
// in dir.
func (c *Chain) Check(dir string) error {
	if len(c.Steps) == 0 {
		return errors.New("it has no steps")
	}
	for i := range c.Steps {
		if err := c.check(i, dir); err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, c.Steps[i].Name, err)
		}
	}
	return nil
}

// check refuses a step that could not run, and finds the files that it names.
func (c *Chain) check(i int, dir string) error {
	s := &c.Steps[i]
	if s.Name == "" || s.Name != filepath.Base(s.Name) || strings.HasPrefix(s.Name, ".") {
		return fmt.Errorf("name %q is no folder's", s.Name)
	}
	if slices.ContainsFunc(c.Steps[:i], func(x Step) bool { return x.Name == s.Name }) {
		return errors.New("its name is taken")
	}
	if filepath.Ext(s.Recipe) != "" {
		s.Recipe = filepath.Join(dir, s.Recipe)
	}
	r, err := s.recipe()
	if err != nil {
		return err
	}
	if (r.Distill > 0) != (len(s.Teachers) > 0) {
		return fmt.Errorf("the recipe's distill is %g, and the step names %d teachers", r.Distill, len(s.Teachers))
	}
	if len(s.Data) == 0 {
		return errors.New("it names no kind of data")
	}
	for _, kind := range s.Data {
		if _, err := data.KindByName(kind); err != nil {
			return err
		}
	}
	for _, name := range append([]*string{&s.From}, pointers(s.Teachers)...) {
		from, heads := CutTeacher(*name)
		if from == "" || c.before(i, from) {
			continue
		}
		path := filepath.Join(dir, from)
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s is no step before it, and no checkpoint: %w", from, err)
		}
		*name = WithHeads(path, heads)
	}
	return nil
}

func pointers(s []string) []*string {
	var p []*string
	for i := range s {
		p = append(p, &s[i])
	}
	return p
}

func (c *Chain) before(i int, name string) bool {
	return slices.ContainsFunc(c.Steps[:i], func(x Step) bool { return x.Name == name })
}

func (s *Step) recipe() (Recipe, error) { return LoadRecipe(s.Recipe, s.Set) }

// Checkpoint is what a step's From or one of its Teachers means, in a chain whose
// folder is out: a file, and a teacher's heads.
func (c *Chain) Checkpoint(name, out string) string {
	from, heads := CutTeacher(name)
	if c.before(len(c.Steps), from) {
		return WithHeads(filepath.Join(out, from, BestFile), heads)
	}
	return name
}

// Needs are the steps that a step takes weights or answers from: all lie before it.
func (c *Chain) Needs(s *Step) []string {
	var names []string
	for _, name := range append([]string{s.From}, s.Teachers...) {
		if from, _ := CutTeacher(name); c.before(len(c.Steps), from) && !slices.Contains(names, from) {
			names = append(names, from)
		}
	}
	return names
}

// Kinds are the kinds of data sets that the chain needs.
func (c *Chain) Kinds() []string {
	var all []string
	for _, s := range c.Steps {
		all = append(all, s.Data...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Left estimates the time to the chain's end from the logs of its steps, by
// their names: what is left takes as long for each multiply-add as in the last
// epoch of the same network, or of all together where that network has not run.
// It is not known before a first epoch has ended.
func (c *Chain) Left(logs map[string][]Epoch) (time.Duration, bool) {
	var costs []effort // of the steps
	paces, all := map[string]pace{}, pace{}
	images, last := map[string]int{}, 0 // of an epoch, by the sets
	for _, s := range c.Steps {
		e, err := s.effort()
		if err != nil {
			return 0, false
		}
		costs = append(costs, e)
		if log := logs[s.Name]; len(log) > 0 {
			epoch := log[len(log)-1]
			n := float64(epoch.Images)
			p := pace{e.work(epoch.Epoch) * n, n / epoch.ImagesPerS}
			paces[e.recipe.Arch], all = p, pace{all.work + p.work, all.seconds + p.seconds}
			last = epoch.Images
			images[strings.Join(s.Data, " ")] = last
		}
	}
	if all.work == 0 {
		return 0, false
	}
	var left float64 // seconds
	for i, s := range c.Steps {
		e, n := costs[i], last
		if same, ran := images[strings.Join(s.Data, " ")]; ran {
			n = same
		}
		if log := logs[s.Name]; len(log) > 0 {
			n = log[0].Images
		} else if e.recipe.EpochImages > 0 {
			n = e.recipe.EpochImages
		}
		p, ran := paces[e.recipe.Arch]
		if !ran {
			p = all
		}
		for epoch := len(logs[s.Name]) + 1; epoch <= e.recipe.Epochs; epoch++ {
			left += e.work(epoch) * float64(n) / p.work * p.seconds
		}
	}
	return time.Duration(left * float64(time.Second)), true
}

// pace is how long multiply-adds took.
type pace struct{ work, seconds float64 }

// effort is what a step's work depends on.
type effort struct {
	recipe   Recipe
	net      int // multiply-adds of the network
	teachers int
}

func (s *Step) effort() (effort, error) {
	r, err := s.recipe()
	if err != nil {
		return effort{}, err
	}
	net, err := r.Net()
	if err != nil {
		return effort{}, err
	}
	cost, err := net.Cost()
	return effort{r, cost.MultiplyAdds, len(s.Teachers)}, err
}

// work is the multiply-adds of an image in an epoch, which counts from 1: three
// times the network's own, and once that of each teacher who is asked, taken to
// be as large.
func (e effort) work(epoch int) float64 {
	passes := 3
	if e.recipe.Views == 0 || epoch <= e.recipe.Views {
		passes += e.teachers
	}
	return float64(passes * e.net)
}
