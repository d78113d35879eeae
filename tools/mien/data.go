package main

import (
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

type dataCmd struct {
	Check dataCheckCmd `cmd:"" help:"Count a data set, find unreadable images and duplicates, draw a contact sheet."`
}

type dataCheckCmd struct {
	Spec  string `arg:"" name:"kind:dir" help:"Data set as KIND:DIR (${kinds})."`
	Sheet string `help:"Write a contact sheet there, a PNG." placeholder:"F.png" default:"contact-KIND.png"`
	Seed  uint64 `help:"Seed of the split into train and val." default:"1"`
	Limit int    `help:"At most that many images of each published split."`
	List  int    `help:"List at most that many unreadable images and groups of duplicates." default:"20"`
}

func (c *dataCheckCmd) Run(e env) error {
	kind, _, err := data.ParseSpec(c.Spec)
	if err != nil {
		return err
	}
	o := data.Options{Seed: c.Seed, Limit: c.Limit}
	if dir, err := os.UserCacheDir(); err == nil {
		o.CacheDir = filepath.Join(dir, "mien")
	}
	var b *bar
	o.Progress = func(done, total int) {
		if b == nil {
			b = newBar(e.stderr, "reading "+c.Spec, "images", total)
		}
		b.set(done)
	}
	r, err := data.Check(e.ctx, c.Spec, o)
	b.end()
	if err != nil {
		return err
	}
	if err := c.print(e.stdout, r); err != nil {
		return err
	}
	sheet := strings.ReplaceAll(c.Sheet, "KIND", kind)
	err = atomicfile.Replace(sheet, func(w io.Writer) error { return png.Encode(w, r.Set.Sheet()) })
	if err != nil {
		return fmt.Errorf("contact sheet %s: %w", sheet, err)
	}
	fmt.Fprintf(e.stdout, "contact sheet: %s\n", sheet)
	if len(r.Bad) > 0 {
		return fmt.Errorf("%s: %d of %d images are unreadable, the first is %s", c.Spec, len(r.Bad), r.Listed, r.Bad[0].Path)
	}
	return nil
}

func (c *dataCheckCmd) print(w io.Writer, r *data.Report) error {
	fmt.Fprintf(w, "%s: %s\n", c.Spec, r)
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
