package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mien/train"
	"mien/train/report"
	"mien/train/sweep"
)

type sweepCmd struct {
	Recipe    string        `help:"Recipe that the trials vary: ${recipes}, or a .yaml file." default:"paper" check:"recipe"`
	Try       []string      `help:"Recipe key and values to try: key=a,b,c or key=low..high; repeat for several." placeholder:"KEY=VALUES" required:"" sep:"none" check:"try"`
	Set       []string      `help:"Override a recipe key in all trials." placeholder:"KEY=VALUE" sep:"none" check:"set"`
	Data      []string      `help:"Data set as KIND:DIR; repeat for several (${kinds})." placeholder:"KIND:DIR" required:"" sep:"none" check:"data"`
	Out       string        `help:"Folder of the sweep; given again, the sweep goes on." placeholder:"DIR" required:""`
	Trials    int           `help:"Number of trials." default:"9"`
	First     int           `help:"Epochs of the first round." default:"1"`
	Keep      int           `help:"One trial in that many goes on, for that many times the epochs." default:"3" least:"2"`
	Epochs    int           `help:"Epochs of the last round." default:"9"`
	Limit     int           `help:"At most that many images of each data set and published split."`
	Seed      uint64        `help:"Seed of the settings drawn." default:"1"`
	Threads   int           `help:"Threads; 0 means one for each CPU." least:"0"`
	SaveEvery time.Duration `help:"Time between saves within an epoch; what a worker's end costs at most." default:"5m" least:"1s"`
	runsOn
}

func (c *sweepCmd) Run(e env) error {
	p := sweep.Plan{Recipe: c.Recipe, Set: c.Set, Data: c.Data, Limit: c.Limit, Trials: c.Trials,
		First: c.First, Keep: c.Keep, Epochs: c.Epochs, Seed: c.Seed}
	for _, t := range c.Try {
		a, err := sweep.ParseAxis(t)
		if err != nil {
			return err
		}
		p.Axes = append(p.Axes, a)
	}
	s, err := sweep.Open(c.Out, p)
	if err != nil {
		return err
	}
	by, end, err := c.trainer(e, inChild(), c.Out, c.Data)
	if err != nil {
		return err
	}
	var telling sync.Mutex
	err = s.Run(e.ctx, by.atOnce, func(ctx context.Context, dir string, set []string, epochs int) ([]train.Epoch, error) {
		return c.trial(ctx, e, by, dir, set, epochs)
	}, func(round, rounds int, t *sweep.Trial, epochs int) {
		telling.Lock()
		defer telling.Unlock()
		fmt.Fprintf(e.stderr, "round %d of %d: %s to epoch %d, %s\n", round, rounds, t.Dir, epochs, strings.Join(t.Set, " "))
	})
	if err := end(err); err != nil {
		return err
	}
	if err := report.Sweep(c.Out, s); err != nil {
		return err
	}
	report.SweepRows(e.stdout, s)
	fmt.Fprintf(e.stdout, "table and plot: %s, %s\n", filepath.Join(c.Out, report.SweepTable), filepath.Join(c.Out, report.SweepPlot))
	return nil
}

// trial trains in a process of its own, here or on a worker.
func (c *sweepCmd) trial(ctx context.Context, e env, by trainer, dir string, set []string, epochs int) ([]train.Epoch, error) {
	e.ctx = ctx
	err := by.train(e, &trainCmd{Recipe: c.Recipe, Set: slices.Concat(c.Set, set), Data: c.Data, Out: dir, Epochs: c.Epochs,
		StopAfter: epochs, Limit: c.Limit, Threads: c.Threads, SaveEvery: c.SaveEvery})
	var failed *failedRun
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("interrupted; the same command goes on with the sweep")
	case errors.As(err, &failed) && failed.status == exitDiverged:
		return nil, &sweep.TrialError{Reason: failed.said}
	case errors.As(err, &failed):
		return nil, fmt.Errorf("the sweep pauses at %s, through no fault of its settings: %w (the same command goes on)", dir, err)
	case err != nil:
		return nil, err
	}
	return train.ReadLog(filepath.Join(dir, train.LogFile))
}
