package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mien/device/cmdline"
	"mien/tools/fleet"
)

type fleetRolloutCmd struct {
	hubFlag
	File     string        `arg:"" optional:"" placeholder:"FILE" help:"The model (.tflite) or card image (.img), with its signature beside it as FILE.minisig; without it the roll-outs are listed."`
	Tag      string        `placeholder:"TAG" help:"Only to boards of that tag."`
	Site     string        `placeholder:"SITE" help:"Only to boards there."`
	Stages   string        `default:"1,5%,25%,100%" help:"How many boards have been offered it at the end of each stage (${default})." check:"stages"`
	Within   time.Duration `default:"10m" help:"Within this time each board of a stage has to have proven it (${default})." least:"1s"`
	Hold     time.Duration `default:"2m" help:"How long a stage has to stay well before the next (${default})." least:"0s"`
	Tolerate float64       `default:"1" help:"How many of the boards that were offered it may fail before it halts, in percent, rounded down (${default})." least:"0" most:"100"`
	Canary   string        `placeholder:"KIND:DIR" help:"Of a model: a data set (${kinds}) that its card has figures of. Each board reads 200 of its faces with it first, in memory, and refuses it where they come out worse." check:"data"`
	JSON     bool          `help:"Print the roll-out as JSON when it has ended, or the list."`
}

// Run rolls a file out, or goes on with what the same command began.
func (c fleetRolloutCmd) Run(e env) error {
	h, err := c.open(e)
	if err != nil {
		return err
	}
	defer h.nc.Close()
	if c.File == "" {
		return listRollouts(e, h.js, c.JSON)
	}
	o := fleet.RolloutOptions{File: c.File, Tag: c.Tag, Site: c.Site, Stages: c.Stages, By: by(),
		Rules: fleet.Rules{Within: c.Within, Hold: c.Hold, Tolerate: c.Tolerate}}
	if c.Canary != "" {
		if o.Canary, err = canaryOf(e, c.File, c.Canary); err != nil {
			return err
		}
	}
	name, err := h.Begin(e.ctx, h.js, o)
	if err != nil {
		return err
	}
	return driveRollout(e, h, name, c.JSON, fleet.Done)
}

type fleetRollbackCmd struct {
	hubFlag
	Name string `arg:"" placeholder:"NAME" help:"The roll-out, as mien fleet rollout lists it."`
	JSON bool   `help:"Print the roll-out as JSON when it has ended."`
}

// Run has all boards go back that took a roll-out.
func (c fleetRollbackCmd) Run(e env) error {
	h, err := c.open(e)
	if err != nil {
		return err
	}
	defer h.nc.Close()
	if err := h.Rollback(e.ctx, h.js, c.Name, by()); err != nil {
		return err
	}
	return driveRollout(e, h, c.Name, c.JSON, fleet.Halted)
}

// driveRollout shows how a roll-out goes. What it does not come to want is an error.
func driveRollout(e env, h *opened, name string, asJSON bool, want fleet.RolloutState) error {
	var r *fleet.Rollout
	var progress *bar
	said := ""
	err := h.Drive(e.ctx, h.js, name, fleet.Usual, func(now *fleet.Rollout) {
		if r = now; progress == nil {
			progress = newBar(e.stderr, name, "boards", len(now.Boards))
		}
		if s := stageOf(now); s != said {
			said = s
			fmt.Fprintln(e.stderr, s)
		}
		p := now.Progress
		progress.set(p.Offered - p.Pending)
	})
	if progress != nil {
		progress.end()
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: boards keep what they have; the same command goes on with %s, and mien fleet rollback %s ends it", err, name, name)
	case err != nil:
		return err
	case asJSON:
		err = json.NewEncoder(e.stdout).Encode(r)
	default:
		_, err = fmt.Fprintf(e.stdout, "%s is %s: %s\n", name, r.State, r.Progress)
	}
	if err == nil && r.State != want {
		return fmt.Errorf("%s is %s: %s", name, r.State, r.Why)
	}
	return err
}

// stageOf says what a roll-out is at.
func stageOf(r *fleet.Rollout) string {
	if r.State != fleet.Running {
		s := fmt.Sprintf("%s: %s", r.Name, r.State)
		if r.Why != "" {
			s += ": " + r.Why
		}
		return s
	}
	return fmt.Sprintf("%s: stage %d of %d, %s", r.Name, r.Stage+1, len(r.Stages), cmdline.Count(r.Stages[r.Stage], "board"))
}

func listRollouts(e env, js jetstream.JetStream, asJSON bool) error {
	all, err := fleet.Rollouts(e.ctx, js)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(e.stdout).Encode(all)
	}
	return tableOfRollouts(e.stdout, all)
}

func tableOfRollouts(out io.Writer, all []fleet.Rollout) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "ROLL-OUT\tSTATE\tFILE\tBEGUN\tBY\tBOARDS\tOFFERED\t%s\tWHY\n", strings.ToUpper(strings.Join(fleet.Outcomes(), "\t")))
	for i := range all {
		r := &all[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t", r.Name, r.State, r.File, r.Begun.Format(time.DateTime), r.By, len(r.Boards), r.Progress.Offered)
		for _, n := range r.Progress.Counts() {
			fmt.Fprintf(w, "%d\t", n)
		}
		fmt.Fprintln(w, r.Why)
	}
	return w.Flush()
}
