package main

import (
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"mien/runtime/atomicfile"
	"mien/runtime/model"
	"mien/train/data"
)

// splitFlags say which training images are val. Models are told from one
// another there, so it has to be the split of the run that made them.
type splitFlags struct {
	Seed       uint64  `help:"Seed of the split into train and val; as in the recipe." default:"1"`
	Validation float64 `help:"Part of the training images that is val; as in the recipe." default:"0.1"`
}

func (s splitFlags) options(limit int) data.Options {
	return data.Options{Seed: s.Seed, Validation: s.Validation, Limit: limit}
}

type dataCmd struct {
	Check dataCheckCmd `cmd:"" help:"Count a data set, find unreadable images and duplicates, draw a contact sheet."`
}

type dataCheckCmd struct {
	Specs      []string `arg:"" name:"kind:dir" help:"Data sets as KIND:DIR (${kinds}); of several, what they share is counted too."`
	Sheet      string   `help:"Write a contact sheet there, a PNG; KIND stands for the kind." placeholder:"F.png" default:"contact-KIND.png"`
	splitFlags `embed:""`
	Limit      int `help:"At most that many images of each published split."`
	List       int `help:"List at most that many unreadable images and groups of duplicates." default:"20"`
}

func (c *dataCheckCmd) Run(e env) error {
	var sets []*data.Set
	var errs []error
	for _, spec := range c.Specs {
		r, err := c.check(e, spec)
		if err != nil {
			return err
		}
		sets = append(sets, r.Set)
		if len(r.Bad) > 0 {
			errs = append(errs, fmt.Errorf("%s: %d of %d images are unreadable, the first is %s", spec, len(r.Bad), r.Listed, r.Bad[0].Path))
		}
	}
	if len(sets) > 1 {
		fmt.Fprintf(e.stdout, "together: %d more images left out because they show a held-out image of another set, with a label of the same head\n", data.Separate(sets))
	}
	return errors.Join(errs...)
}

// check prints what there is to say of one set.
func (c *dataCheckCmd) check(e env, spec string) (*data.Report, error) {
	kind, _, err := data.ParseSpec(spec)
	if err != nil {
		return nil, err
	}
	o := c.options(c.Limit)
	if dir, err := os.UserCacheDir(); err == nil {
		o.CacheDir = filepath.Join(dir, "mien")
	}
	var b *bar
	o.Progress = func(done, total int) {
		if b == nil {
			b = newBar(e.stderr, "reading "+spec, "images", total)
		}
		b.set(done)
	}
	r, err := data.Check(e.ctx, spec, o)
	b.end()
	if err != nil {
		return nil, err
	}
	if err := c.print(e.stdout, spec, r); err != nil {
		return nil, err
	}
	sheet := strings.ReplaceAll(c.Sheet, "KIND", kind)
	err = atomicfile.Replace(sheet, func(w io.Writer) error { return png.Encode(w, r.Set.Sheet()) })
	if err != nil {
		return nil, fmt.Errorf("contact sheet %s: %w", sheet, err)
	}
	_, err = fmt.Fprintf(e.stdout, "contact sheet: %s\n", sheet)
	return r, err
}

func (c *dataCheckCmd) print(w io.Writer, spec string, r *data.Report) error {
	fmt.Fprintf(w, "%s: %s\n", spec, r)
	splits := []string{data.Train, data.Val, data.Test, data.Private, data.All}
	for h, head := range model.Heads() {
		if sum(r.Set.Counts(h, data.All)) == 0 {
			continue
		}
		fmt.Fprintln(w)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(t, "%s\t%s\t\n", head.Name, strings.Join(splits, "\t"))
		for l, label := range head.Labels {
			fmt.Fprintf(t, "%s\t", label)
			for _, s := range splits {
				fmt.Fprintf(t, "%d\t", r.Set.Counts(h, s)[l])
			}
			fmt.Fprintln(t)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	c.list(w, r)
	return nil
}

func (c *dataCheckCmd) list(w io.Writer, r *data.Report) {
	for _, b := range r.Bad[:min(len(r.Bad), c.List)] {
		fmt.Fprintf(w, "unreadable: %s: %v\n", b.Path, b.Err)
	}
	for _, g := range r.Duplicates[:min(len(r.Duplicates), c.List)] {
		fmt.Fprint(w, "same picture:")
		for _, i := range g {
			x := &r.Set.Samples[i]
			split := x.Split
			if split == "" {
				split = "left out"
			}
			fmt.Fprintf(w, " %s (%s)", x.Path, split)
		}
		fmt.Fprintln(w)
	}
	if more := len(r.Duplicates) - c.List; more > 0 {
		fmt.Fprintf(w, "and %d more groups of duplicates\n", more)
	}
}

func sum(n []int) int {
	total := 0
	for _, v := range n {
		total += v
	}
	return total
}
