// Package experiment compares training runs as a paper does: on the same
// pictures, with several seeds, and with intervals about what is found. An
// experiment is a file; its runs are a chain, so it can be cut at any instant
// and go on.
package experiment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"mien/train"
)

// Experiment is what to train, and what to hold against what.
type Experiment struct {
	Name  string `yaml:"-"` // the file's, without its ending
	About string `yaml:"about"`
	// Limit is the number of images of each published split; 0 means all.
	Limit int `yaml:"limit"`
	// Seeds begin each run anew: fresh weights, order and changes of the
	// pictures. All split the pictures into train and val by the first.
	Seeds []uint64 `yaml:"seeds"`
	// Set is what all runs override in their recipes, as KEY=VALUE, before what
	// each of them does.
	Set []string `yaml:"set"`
	// Runs are steps of a chain: what a run comes from, or is taught by, is the
	// run of the same seed.
	Runs    []train.Step `yaml:"runs"`
	Compare []Pair       `yaml:"compare"`
	// Paper is what was published of the first comparison's head, by the names of
	// runs; text, for it may need a word.
	Paper map[string]string `yaml:"paper"`
}

// Pair is a question: is one run better than another?
type Pair struct {
	Run     string `yaml:"run"`
	Against string `yaml:"against"`
	Head    string `yaml:"head"`
	Data    string `yaml:"data"` // kind of the set whose test images answer
}

// Load reads an experiment. Files that it names are taken from its own folder.
func Load(path string) (*Experiment, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	x := &Experiment{Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))}
	if err := yaml.UnmarshalWithOptions(b, x, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("experiment %s: %s", path, strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	if err := x.check(); err != nil {
		return nil, fmt.Errorf("experiment %s: %w", path, err)
	}
	if _, err := x.Chain(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("experiment %s: %w", path, err)
	}
	return x, nil
}

func (x *Experiment) check() error {
	switch {
	case len(x.Runs) == 0:
		return errors.New("it has no runs")
	case len(x.Seeds) == 0:
		return errors.New("it has no seeds (seeds: [1, 2])")
	case len(x.Paper) > 0 && len(x.Compare) == 0:
		return errors.New("paper has figures of the head of the first comparison, and there is none")
	case x.Limit < 0:
		return fmt.Errorf("limit is %d", x.Limit)
	}
	for i, s := range x.Seeds {
		if s == 0 || slices.Contains(x.Seeds[:i], s) {
			return fmt.Errorf("seeds are %v: want different ones from 1 on", x.Seeds)
		}
	}
	for _, name := range x.named() {
		if x.run(name) == nil {
			return fmt.Errorf("there is no run %q", name)
		}
	}
	for _, p := range x.Compare {
		for _, name := range []string{p.Run, p.Against} {
			if r := x.run(name); !slices.Contains(r.Data, p.Data) {
				return fmt.Errorf("run %s has no data %s to be compared on", name, p.Data)
			}
		}
	}
	return nil
}

// named are the runs that comparisons and the paper's figures name.
func (x *Experiment) named() []string {
	var names []string
	for _, p := range x.Compare {
		names = append(names, p.Run, p.Against)
	}
	for name := range x.Paper {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (x *Experiment) run(name string) *train.Step {
	for i := range x.Runs {
		if x.Runs[i].Name == name {
			return &x.Runs[i]
		}
	}
	return nil
}

// Step is the name of a run with a seed: that of its folder.
func Step(run string, seed uint64) string { return fmt.Sprintf("%s-%d", run, seed) }

// Chain is the experiment's runs, seed after seed, so that an early end leaves
// whole comparisons. Files are taken from dir.
func (x *Experiment) Chain(dir string) (*train.Chain, error) {
	c := &train.Chain{About: x.About}
	for _, seed := range x.Seeds {
		for _, r := range x.Runs {
			s := r
			s.Name = Step(r.Name, seed)
			s.Set = append(slices.Concat(x.Set, r.Set), "seed="+strconv.FormatUint(seed, 10), "split="+strconv.FormatUint(x.Seeds[0], 10))
			if x.run(s.From) != nil {
				s.From = Step(s.From, seed)
			}
			s.Teachers = nil
			for _, t := range r.Teachers {
				name, heads, cut := strings.Cut(t, "=")
				if x.run(name) != nil {
					t = Step(name, seed)
					if cut {
						t += "=" + heads
					}
				}
				s.Teachers = append(s.Teachers, t)
			}
			c.Steps = append(c.Steps, s)
		}
	}
	return c, c.Check(dir)
}
