package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"mien/train"
	"mien/train/report"
	"mien/train/sweep"
)

type sweepCmd struct {
	Recipe  string   `help:"Recipe that the trials vary: ${recipes}, or a .yaml file." default:"paper" check:"recipe"`
	Try     []string `help:"Recipe key and values to try: key=a,b,c or key=low..high; repeat for several." placeholder:"KEY=VALUES" required:"" sep:"none" check:"try"`
	Set     []string `help:"Override a recipe key in all trials." placeholder:"KEY=VALUE" sep:"none" check:"set"`
	Data    []string `help:"Data set as KIND:DIR; repeat for several (${kinds})." placeholder:"KIND:DIR" required:"" sep:"none" check:"data"`
	Out     string   `help:"Folder of the sweep; given again, the sweep goes on." placeholder:"DIR" required:""`
	Trials  int      `help:"Number of trials." default:"9"`
	First   int      `help:"Epochs of the first round." default:"1"`
	Keep    int      `help:"One trial in that many goes on, for that many times the epochs." default:"3" least:"2"`
	Epochs  int      `help:"Epochs of the last round." default:"9"`
	Limit   int      `help:"At most that many images of each data set and published split."`
	Seed    uint64   `help:"Seed of the settings drawn." default:"1"`
	Threads int      `help:"Threads; 0 means one for each CPU." least:"0"`
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
	err = s.Run(e.ctx, func(ctx context.Context, dir string, set []string, epochs int) ([]train.Epoch, error) {
		return c.trial(ctx, e, dir, set, epochs)
	}, func(round, rounds int, t *sweep.Trial, epochs int) {
		fmt.Fprintf(e.stderr, "round %d of %d: %s to epoch %d, %s\n", round, rounds, t.Dir, epochs, strings.Join(t.Set, " "))
	})
	if err != nil {
		return err
	}
	if err := report.Sweep(c.Out, s); err != nil {
		return err
	}
	report.SweepRows(e.stdout, s)
	fmt.Fprintf(e.stdout, "table and plot: %s, %s\n", filepath.Join(c.Out, report.SweepTable), filepath.Join(c.Out, report.SweepPlot))
	return nil
}

// trial trains in a process of its own: it ends with its memory, and a
// failure is its own.
func (c *sweepCmd) trial(ctx context.Context, e env, dir string, set []string, epochs int) ([]train.Epoch, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"train", "--out", dir, "--threads", strconv.Itoa(c.Threads),
		"--epochs", strconv.Itoa(c.Epochs), "--stop-after", strconv.Itoa(epochs)}
	for _, d := range c.Data {
		args = append(args, "--data", d)
	}
	if c.Limit > 0 {
		args = append(args, "--limit", strconv.Itoa(c.Limit))
	}
	if _, err := os.Stat(filepath.Join(dir, train.LastFile)); err == nil {
		args = append(args, "--resume")
	} else {
		args = append(args, "--recipe", c.Recipe)
		for _, s := range append(append([]string(nil), c.Set...), set...) {
			args = append(args, "--set", s)
		}
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it saves
	var said bytes.Buffer
	cmd.Stderr = &said
	err = cmd.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("interrupted; the same command goes on with the sweep")
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		last := lines[len(lines)-1]
		if exit.ExitCode() != exitDiverged {
			return nil, fmt.Errorf("the sweep pauses at %s, through no fault of its settings: %s (the same command goes on)", dir, last)
		}
		return nil, &sweep.TrialError{Reason: last}
	}
	if err != nil {
		return nil, fmt.Errorf("start a trial: %w", err)
	}
	return train.ReadLog(filepath.Join(dir, train.LogFile))
}
