package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mien/train"
	"mien/train/data"
	"mien/train/experiment"
	"mien/train/report"
)

type experimentCmd struct {
	File      string        `arg:"" help:"Experiment: runs, seeds and comparisons (train/experiments has those of the paper)."`
	Data      []string      `help:"Data set as KIND:DIR; repeat for several (${kinds})." placeholder:"KIND:DIR" required:"" sep:"none" check:"data"`
	Out       string        `help:"Folder of the experiment; given again, it goes on." placeholder:"DIR" required:""`
	Threads   int           `help:"Threads; 0 means one for each CPU." least:"0"`
	SaveEvery time.Duration `help:"Time between saves within an epoch." default:"5m" least:"1s"`
	runsOn
}

func (c *experimentCmd) Run(e env) error {
	x, err := experiment.Load(c.File)
	if err != nil {
		return err
	}
	chain, err := x.Chain(filepath.Dir(c.File))
	if err != nil {
		return err
	}
	sets, err := byKind(c.File, c.Data, chain.Kinds())
	if err != nil {
		return err
	}
	t := &trainCmd{Out: c.Out, Limit: x.Limit, Threads: c.Threads, SaveEvery: c.SaveEvery}
	by, end, err := c.trainer(e, here(), c.Out, slices.Collect(maps.Values(sets)))
	if err != nil {
		return err
	}
	err = t.steps(e, chain, sets, by, func(*train.Step) error {
		_, err := c.report(e, x, chain, sets)
		return err
	})
	if err := end(err); err != nil {
		return err
	}
	answers, err := c.report(e, x, chain, sets)
	if err != nil {
		return err
	}
	if err := report.ExperimentRows(e.stdout, x, answers); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "report: %s\n", filepath.Join(c.Out, report.ExperimentTable))
	return nil
}

// report measures what has been trained and not measured, and writes what is
// known so far; it returns the answers of the runs that were measured.
func (c *experimentCmd) report(e env, x *experiment.Experiment, chain *train.Chain, sets map[string]string) (map[string]experiment.Answers, error) {
	logs, answers := map[string][]train.Epoch{}, map[string]experiment.Answers{}
	for i := range chain.Steps {
		s := &chain.Steps[i]
		dir := filepath.Join(c.Out, s.Name)
		if log, err := train.ReadLog(filepath.Join(dir, train.LogFile)); err == nil {
			logs[s.Name] = log
		}
		a, err := experiment.ReadAnswers(dir)
		if err != nil {
			return nil, err
		}
		if _, unfinished := os.Stat(filepath.Join(dir, report.ReportFile)); a == nil && unfinished == nil {
			if a, err = c.measure(e, x, s, dir, sets); err != nil {
				return nil, err
			}
		}
		if a != nil {
			answers[s.Name] = a
		}
	}
	return answers, report.Experiment(c.Out, x, logs, answers)
}

// measure asks a run's best weights about the test images of its sets.
func (c *experimentCmd) measure(e env, x *experiment.Experiment, s *train.Step, dir string, specs map[string]string) (experiment.Answers, error) {
	best := filepath.Join(dir, train.BestFile)
	recipe, err := train.SavedRecipe(best)
	if err != nil {
		return nil, err
	}
	net, err := train.Open(best, 32, threads(c.Threads))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, kind := range s.Data {
		all = append(all, specs[kind])
	}
	options := recipe.Data()
	options.Limit = x.Limit
	loaded, err := loadSets(e, all, options)
	if err != nil {
		return nil, err
	}
	answers := experiment.Answers{}
	for _, set := range loaded {
		samples, _, err := set.Select(data.Test)
		if err != nil {
			return nil, err
		}
		b := newBar(e.stderr, fmt.Sprintf("measuring %s on %s", s.Name, set.Kind), "images", len(samples))
		m, err := train.EvalNet(e.ctx, net, set.Heads, samples, b.set)
		b.end()
		if err != nil {
			return nil, err
		}
		answers.Add(set, samples, m, recipe.Losses)
	}
	return answers, answers.Write(dir)
}
