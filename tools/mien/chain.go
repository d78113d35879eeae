package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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
	sets, err := byKind(c.Chain, c.Data, chain.Kinds())
	if err != nil {
		return err
	}
	if err := c.steps(e, chain, sets, here(), nil); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "all %d steps are done: %s\n", len(chain.Steps), filepath.Join(c.Out, chain.Steps[len(chain.Steps)-1].Name, train.BestFile))
	return nil
}

// steps runs what is left of a chain, as many steps at once as the trainer does
// that need none of each other. After each step that ran, done is told of it, when
// it is not nil.
func (c *trainCmd) steps(e env, chain *train.Chain, sets map[string]string, by trainer, done func(*train.Step) error) error {
	var telling sync.Mutex
	finished := map[string]chan struct{}{}
	for _, s := range chain.Steps {
		finished[s.Name] = make(chan struct{})
	}
	steps, ctx := errgroup.WithContext(e.ctx)
	steps.SetLimit(by.atOnce)
	e.ctx = ctx
	for i := range chain.Steps {
		s := &chain.Steps[i]
		steps.Go(func() error {
			defer close(finished[s.Name])
			for _, need := range chain.Needs(s) {
				<-finished[need]
			}
			if ctx.Err() != nil {
				return nil // another one has failed, and says why
			}
			if _, err := os.Stat(filepath.Join(c.Out, s.Name, report.ReportFile)); !errors.Is(err, os.ErrNotExist) {
				return err
			}
			telling.Lock()
			fmt.Fprintf(e.stdout, "step %d of %d, %s, %s\n", i+1, len(chain.Steps), s.Name, timeLeft(chain, c.Out))
			telling.Unlock()
			if err := by.train(e, c.step(chain, s, sets)); err != nil {
				return fmt.Errorf("step %s: %w", s.Name, err)
			}
			if done == nil {
				return nil
			}
			telling.Lock()
			defer telling.Unlock()
			return done(s)
		})
	}
	return steps.Wait()
}

// step is the call that a step of the chain stands for.
func (c *trainCmd) step(chain *train.Chain, s *train.Step, sets map[string]string) *trainCmd {
	step := &trainCmd{Recipe: s.Recipe, Set: s.Set, Out: filepath.Join(c.Out, s.Name), Answers: filepath.Join(c.Out, "answers"),
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
	return step
}

// byKind returns the data sets of a chain's or experiment's file, one of each kind.
func byKind(file string, specs, kinds []string) (map[string]string, error) {
	sets := map[string]string{}
	for _, spec := range specs {
		kind, _, err := data.ParseSpec(spec)
		switch {
		case err != nil:
			return nil, err
		case sets[kind] != "":
			return nil, fmt.Errorf("%s and %s: %s takes one set of a kind", sets[kind], spec, file)
		case !slices.Contains(kinds, kind):
			return nil, fmt.Errorf("%s: %s has use for %s alone", spec, file, strings.Join(kinds, ", "))
		}
		sets[kind] = spec
	}
	for _, kind := range kinds {
		if sets[kind] == "" {
			return nil, fmt.Errorf("%s needs --data %s:DIR", file, kind)
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
