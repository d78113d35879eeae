package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mien/train"
	"mien/train/data"
	"mien/train/report"
)

// chain trains the steps of a file. Each is a run of its own, which is done when
// its report is there.
func (c *trainCmd) chain(e env) error {
	if c.Recipe != "" || c.From != "" || len(c.Teacher)+len(c.Head)+len(c.Set) > 0 || c.Epochs > 0 || c.StopAfter > 0 || c.Resume || c.Answers != "" {
		return errors.New("--chain: recipe, weights, teachers and their numbers are the file's; give --data and --out beside it, and the same again to go on")
	}
	chain, err := train.LoadChain(c.Chain)
	if err != nil {
		return err
	}
	sets, err := byKind(c.Data, chain.Kinds())
	if err != nil {
		return err
	}
	if err := c.steps(e, chain, sets, nil); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "all %d steps are done: %s\n", len(chain.Steps), filepath.Join(c.Out, chain.Steps[len(chain.Steps)-1].Name, train.BestFile))
	return nil
}

// steps runs what is left of a chain. After each step that ran, done is told of
// it, when it is not nil.
func (c *trainCmd) steps(e env, chain *train.Chain, sets map[string]string, done func(*train.Step) error) error {
	for i := range chain.Steps {
		s := &chain.Steps[i]
		if _, err := os.Stat(filepath.Join(c.Out, s.Name, report.ReportFile)); err == nil {
			continue
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		fmt.Fprintf(e.stdout, "step %d of %d, %s, %s\n", i+1, len(chain.Steps), s.Name, timeLeft(chain, c.Out))
		step := c.step(chain, s, sets)
		if err := step.Run(e); err != nil {
			return fmt.Errorf("step %s: %w", s.Name, err)
		}
		if done != nil {
			if err := done(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// step is the call that a step of the chain stands for.
func (c *trainCmd) step(chain *train.Chain, s *train.Step, sets map[string]string) *trainCmd {
	out := filepath.Join(c.Out, s.Name)
	step := &trainCmd{Recipe: s.Recipe, Set: s.Set, Out: out, Answers: filepath.Join(c.Out, "answers"),
		Limit: c.Limit, Strict: c.Strict, Threads: c.Threads, SaveEvery: c.SaveEvery}
	for _, kind := range s.Data {
		step.Data = append(step.Data, sets[kind])
	}
	if s.From != "" {
		step.From = chain.Checkpoint(s.From, c.Out)
	}
	for _, t := range s.Teachers {
		step.Teacher = append(step.Teacher, chain.Checkpoint(t, c.Out))
	}
	step.inChain = func() string { return timeLeft(chain, c.Out) }
	if _, err := os.Stat(filepath.Join(out, train.LastFile)); err == nil {
		step.Resume, step.Recipe = true, ""
	}
	return step
}

// byKind returns the data sets of a chain, one a kind.
func byKind(specs, kinds []string) (map[string]string, error) {
	sets := map[string]string{}
	for _, spec := range specs {
		kind, _, err := data.ParseSpec(spec)
		switch {
		case err != nil:
			return nil, err
		case sets[kind] != "":
			return nil, fmt.Errorf("%s and %s: a chain takes one set of a kind", sets[kind], spec)
		case !slices.Contains(kinds, kind):
			return nil, fmt.Errorf("%s: the chain learns from %s alone", spec, strings.Join(kinds, ", "))
		}
		sets[kind] = spec
	}
	for _, kind := range kinds {
		if sets[kind] == "" {
			return nil, fmt.Errorf("the chain needs --data %s:DIR", kind)
		}
	}
	return sets, nil
}

// timeLeft says how long the chain will take from here on.
func timeLeft(chain *train.Chain, out string) string {
	logs := map[string][]train.Epoch{}
	for _, s := range chain.Steps {
		// A step that has not begun has no log, and one that cannot be read is
		// told of when its run goes on.
		if log, err := train.ReadLog(filepath.Join(out, s.Name, train.LogFile)); err == nil {
			logs[s.Name] = log
		}
	}
	left, known := chain.Left(logs)
	if !known {
		return "time left not known before an epoch has ended"
	}
	return fmt.Sprintf("about %s left of the chain", left.Round(time.Minute))
}
