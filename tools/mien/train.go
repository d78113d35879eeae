package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"mien/runtime/model"
	"mien/train"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/report"
	"mien/train/review"
)

type trainCmd struct {
	Recipe    string        `help:"Recipe: ${recipes}, or a .yaml file. With --resume: the run's own." placeholder:"NAME" check:"recipe"`
	Chain     string        `help:"Train the steps of this file, one after the other; what is done of them in --out is not done again." placeholder:"F.yaml"`
	Data      []string      `help:"Data set as KIND:DIR; repeat for several (${kinds})." placeholder:"KIND:DIR" required:"" sep:"none" check:"data"`
	Out       string        `help:"Folder for checkpoints, log and report." placeholder:"DIR" required:""`
	Epochs    int           `help:"At most that many epochs; overrides the recipe."`
	Limit     int           `help:"At most that many images of each data set and published split."`
	Resume    bool          `help:"Go on with the run in --out."`
	From      string        `help:"Take the first weights from this checkpoint." placeholder:"F.safetensors"`
	Teacher   []string      `help:"Checkpoint whose answers are learned beside the labels (recipe key distill): of all its heads, or of those named after =; repeat for several." placeholder:"F.safetensors[=HEAD,...]" sep:"none"`
	Answers   string        `help:"Folder for what teachers said of each view, which runs may share. By default --out." placeholder:"DIR"`
	Head      []string      `help:"Ask this instead of the recipe's heads, as NAME=LABEL,LABEL, or NAME=FROM..TO UNIT for a number; repeat for several." placeholder:"NAME=LABEL,..." sep:"none"`
	Strict    bool          `help:"A picture that cannot be read is an error; otherwise it is counted and left out."`
	Set       []string      `help:"Override a recipe key, as schedule.factor=0.5 (mien recipe paper has them all)." placeholder:"KEY=VALUE" sep:"none" check:"set"`
	Threads   int           `help:"Threads; 0 means one for each CPU." least:"0"`
	StopAfter int           `help:"Stop after that many epochs in all; the schedule stays the recipe's."`
	SaveEvery time.Duration `help:"Time between saves within an epoch." default:"5m"`

	inChain func() string // how long the chain will take from here on; nil: there is none
}

func (c *trainCmd) Run(e env) error {
	if c.Chain != "" {
		return c.chain(e)
	}
	recipe, err := c.recipe()
	if err != nil {
		return err
	}
	options := recipe.Data()
	options.Limit, options.Strict = c.Limit, c.Strict
	sets, err := loadSets(e, c.Data, options)
	if err != nil {
		return err
	}
	if p := recipe.Precision; !p.Fast() {
		fmt.Fprintf(e.stderr, "warning: precision %s is slower than float32 here: it is for x86-64 processors with AMX under Linux\n", p)
	}
	show := &trainView{e: e, out: c.Out, heads: recipe.Heads, inChain: c.inChain}
	o := train.Options{
		Recipe: recipe, Sets: sets, Out: c.Out, Threads: threads(c.Threads), Resume: c.Resume, From: c.From, Teachers: c.Teacher, Answers: c.Answers,
		SaveEvery: c.SaveEvery, StopAfter: c.StopAfter, Progress: show.progress,
	}
	silent, err := train.Silent(&o)
	if err != nil {
		return err
	}
	if len(silent) > 0 {
		fmt.Fprintf(e.stderr, "warning: no training image has a label of %s: untaught heads are left out of files made from this run\n", strings.Join(silent, ", "))
	}
	res, err := train.Run(e.ctx, o)
	show.end()
	if err = errors.Join(err, show.err); err != nil {
		return freeSpace(err, c.Out)
	}
	fmt.Fprintf(e.stdout, "ended: %s; best validation accuracy (%s) %.4f in epoch %d\n", res.Reason, recipe.Monitor, res.Best, res.BestEpoch)
	for _, d := range res.Drops {
		fmt.Fprintf(e.stdout, "%s was not trained on: its validation accuracy went from %.4f to %.4f\n", d.Head, d.Before, d.After)
	}
	fmt.Fprintf(e.stdout, "best weights: %s\n", filepath.Join(c.Out, train.BestFile))
	return c.report(e, recipe, sets, res)
}

// freeSpace adds to a full disk's error what to do.
func freeSpace(err error, out string) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w (what %s holds is whole: free some space, then --resume goes on from its last save)", err, out)
	}
	return err
}

// report measures the best weights on what did not teach them and writes the
// report.
func (c *trainCmd) report(e env, recipe train.Recipe, sets []*data.Set, res *train.Result) error {
	best := filepath.Join(c.Out, train.BestFile)
	file, err := checkpoint.Read(best)
	if err != nil {
		return err
	}
	net, err := train.Open(best, 32, threads(c.Threads))
	if err != nil {
		return err
	}
	r := report.Run{Recipe: recipe, Log: res.Log, BestEpoch: res.BestEpoch, From: res.From, Drops: res.Drops}
	r.Ask = review.AskNet(net, recipe.Heads)
	if r.Untaught, err = train.Untaught(file); err != nil {
		return err
	}
	for _, s := range sets {
		for _, split := range []string{data.Val, data.Test, data.Private} {
			samples, _, err := s.Select(split)
			if err != nil {
				continue // the set has no such split
			}
			b := newBar(e.stderr, fmt.Sprintf("measuring %s %s", s.Kind, split), "images", len(samples))
			m, err := train.EvalNet(e.ctx, net, s.Heads, samples, b.set)
			b.end()
			if err != nil {
				return err
			}
			r.Measured = append(r.Measured, report.Measured{Data: s.Kind, Split: split, Samples: samples, Metrics: m})
		}
	}
	if err := report.Write(c.Out, r); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "report: %s\n", filepath.Join(c.Out, report.ReportFile))
	return nil
}

// recipe is the one named, or the run's own on resume, with the overrides.
func (c *trainCmd) recipe() (train.Recipe, error) {
	set := c.Set
	if c.Epochs > 0 {
		set = append(set, fmt.Sprintf("epochs=%d", c.Epochs))
	}
	if !c.Resume {
		name := c.Recipe
		if name == "" {
			name = "paper"
		}
		r, err := train.LoadRecipe(name, nil)
		if err != nil {
			return r, err
		}
		if len(c.Head) > 0 {
			heads, err := parseHeads(c.Head)
			if err != nil {
				return r, err
			}
			if err := r.Ask(heads); err != nil {
				return r, err
			}
		}
		return r, r.Set(set)
	}
	path := filepath.Join(c.Out, train.LastFile)
	r, err := train.SavedRecipe(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, fmt.Errorf("no run to resume in %s: %w", c.Out, err)
	}
	if err != nil {
		return r, err
	}
	if c.Recipe != "" {
		want, err := train.LoadRecipe(c.Recipe, nil)
		if err != nil {
			return r, err
		}
		if want.Name != r.Name {
			return r, fmt.Errorf("the run in %s has recipe %s, not %s (leave --recipe out, or choose another --out)", c.Out, r.Name, want.Name)
		}
	}
	if heads, err := parseHeads(c.Head); err != nil {
		return r, err
	} else if len(c.Head) > 0 && !slices.EqualFunc(heads, r.Heads, model.Head.Equal) {
		return r, fmt.Errorf("the run in %s asks other heads than --head says (leave it out)", c.Out)
	}
	return r, r.Set(set)
}

func threads(n int) int {
	if n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}

// loadSets reads the data sets, with a bar while faces are prepared.
func loadSets(e env, specs []string, o data.Options) ([]*data.Set, error) {
	if dir, err := os.UserCacheDir(); err == nil {
		o.CacheDir = filepath.Join(dir, "mien")
	}
	if err := data.Once(specs); err != nil {
		return nil, err
	}
	var sets []*data.Set
	for _, spec := range specs {
		var b *bar
		o.Progress = func(done, total int) {
			if b == nil {
				b = newBar(e.stderr, "preparing faces of "+spec, "images", total)
			}
			b.set(done)
		}
		s, err := data.Load(e.ctx, spec, o)
		b.end()
		if err != nil {
			return nil, err
		}
		if !e.told[spec] { // a set is loaded again for another split
			e.told[spec] = true
			if n := len(s.Bad); n > 0 {
				fmt.Fprintf(e.stderr, "%s: left out %d that cannot be used, the first is %s: %v (mien data check --list F.csv lists them)\n", spec, n, s.Bad[0].Path, s.Bad[0].Err)
			}
			tellSet(e.stderr, spec, s)
		}
		sets = append(sets, s)
	}
	if n := data.Separate(sets); n > 0 {
		fmt.Fprintf(e.stderr, "left out %d images that show a held-out image of another set\n", n)
	}
	return sets, nil
}

// trainView shows a run.
type trainView struct {
	e     env
	out   string
	heads []model.Head
	err   error // of the curves
	bar   *bar

	inChain func() string

	epoch int
	phase string
}

func (v *trainView) progress(p train.Progress) {
	if p.Finished != nil {
		v.end()
		v.printEpoch(p)
		v.curves()
		return
	}
	if v.bar == nil || v.epoch != p.Epoch || v.phase != p.Phase {
		v.end()
		v.epoch, v.phase = p.Epoch, p.Phase
		v.bar = newBar(v.e.stderr, "", "images", p.Total)
	}
	v.bar.title = fmt.Sprintf("epoch %d/%d %s loss %.3f", p.Epoch, p.Epochs, p.Phase, p.Loss)
	if p.Phase == "validate" {
		v.bar.title = fmt.Sprintf("epoch %d/%d validate", p.Epoch, p.Epochs)
	}
	v.bar.set(p.Done)
}

// curves draws what the log has so far; a run goes on without.
func (v *trainView) curves() {
	log, err := train.ReadLog(filepath.Join(v.out, train.LogFile))
	if err == nil {
		err = report.Curves(v.out, v.heads, log)
	}
	v.err = err
}

func (v *trainView) end() {
	v.bar.end()
	v.bar = nil
}

func (v *trainView) printEpoch(p train.Progress) {
	var b strings.Builder
	x := p.Finished
	fmt.Fprintf(&b, "epoch %d/%d: loss %.4f, lr %.3g, %.1f images/s; validation", x.Epoch, p.Epochs, x.Loss, x.LR, x.ImagesPerS)
	for _, h := range v.heads {
		if s, ok := x.Val[h.Name]; ok {
			if h.Measures() {
				fmt.Fprintf(&b, " %s off by %.3g %s", h.Name, s.MAE, h.Unit)
				continue
			}
			fmt.Fprintf(&b, " %s %.4f", h.Name, s.Accuracy)
		}
	}
	if x.Best {
		b.WriteString(" (best)")
	}
	if v.inChain != nil {
		b.WriteString("; " + v.inChain())
	}
	fmt.Fprintln(v.e.stdout, b.String())
}
