package main

import (
	"encoding/csv"
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
	"mien/train"
	"mien/train/data"
)

// splitFlags say which training images are val, where nothing else does.
type splitFlags struct {
	Seed       *uint64  `help:"Seed of the split into train and val. By default that of the run that made the model, or 1."`
	Validation *float64 `help:"Part of the training images that is val. By default that of the run that made the model, or 0.1." least:"0" most:"0.9"`
}

// options are those of the run that a recipe is of: models are told from one
// another on images that taught none of them, so another split than the run's
// is refused. An empty recipe is of nothing that is known.
func (s splitFlags) options(recipe string, heads []model.Head, limit int) (data.Options, error) {
	o := data.Options{Heads: heads, Seed: 1, Validation: 0.1, Limit: limit}
	if recipe != "" {
		r, err := train.ParseRecipe("of the model", []byte(recipe), nil)
		if err != nil {
			return o, err
		}
		o = r.Data()
		o.Heads, o.Limit = heads, limit
		if s.Seed != nil && *s.Seed != o.Seed {
			return o, fmt.Errorf("--seed %d: the model's images were split by seed %d, so other images taught it than the flag says (leave it out)", *s.Seed, o.Seed)
		}
		if s.Validation != nil && *s.Validation != o.Validation {
			return o, fmt.Errorf("--validation %g: the model was trained with %g, so other images taught it than the flag says (leave it out)", *s.Validation, o.Validation)
		}
	}
	if s.Seed != nil {
		o.Seed = *s.Seed
	}
	if s.Validation != nil {
		o.Validation = *s.Validation
	}
	return o, nil
}

type dataCmd struct {
	Check   dataCheckCmd   `cmd:"" help:"Count a data set, find unreadable images and duplicates, draw a contact sheet."`
	Filters dataFiltersCmd `cmd:"" help:"Draw what each filter makes of a face."`
}

type dataCheckCmd struct {
	Specs      []string `arg:"" name:"kind:dir" help:"Data sets as KIND:DIR (${kinds}); of several, what they share is counted too." check:"data"`
	Sheet      string   `help:"Write a contact sheet there, a PNG; KIND stands for the kind." placeholder:"F.png" default:"contact-KIND.png"`
	splitFlags `embed:""`
	Limit      int      `help:"At most that many images of each published split."`
	Head       []string `help:"Head of your own, as NAME=LABEL,LABEL, or NAME=FROM..TO UNIT for a number; repeat for several. By default the paper's." placeholder:"NAME=LABEL,..." sep:"none"`
	List       string   `help:"Write all that cannot be used and all duplicates there, a CSV file." placeholder:"F.csv"`
}

func (c *dataCheckCmd) Run(e env) error {
	if err := data.Once(c.Specs); err != nil {
		return err
	}
	heads, err := parseHeads(c.Head)
	if err != nil {
		return err
	}
	var sets []*data.Set
	var errs []error
	var rows [][]string
	for _, spec := range c.Specs {
		r, err := c.check(e, spec, heads)
		if err != nil {
			return err
		}
		sets = append(sets, r.Set)
		rows = append(rows, listed(spec, r)...)
		if bad := r.Set.Bad; len(bad) > 0 {
			errs = append(errs, fmt.Errorf("%s: %d of %d images cannot be used, the first is %s: %w", spec, len(bad), r.Listed, bad[0].Path, bad[0].Err))
		}
	}
	if c.List != "" {
		err := atomicfile.Replace(c.List, func(w io.Writer) error { return csv.NewWriter(w).WriteAll(rows) })
		if err != nil {
			return fmt.Errorf("--list %s: %w", c.List, err)
		}
		fmt.Fprintf(e.stdout, "list: %s\n", c.List)
	}
	if len(sets) > 1 {
		fmt.Fprintf(e.stdout, "together: %d more images left out because they show a held-out image of another set, with a label of the same head\n", data.Separate(sets))
	}
	return errors.Join(errs...)
}

// check prints what there is to say of one set.
func (c *dataCheckCmd) check(e env, spec string, heads []model.Head) (*data.Report, error) {
	kind, _, err := data.ParseSpec(spec)
	if err != nil {
		return nil, err
	}
	o, err := c.options("", heads, c.Limit)
	if err != nil {
		return nil, err
	}
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
	tellSet(w, spec, r.Set)
	splits := []string{data.Train, data.Val, data.Test, data.Private, data.All}
	for h, head := range r.Set.Heads {
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
	return nil
}

// tellSet says what a user should know of a set before trusting it.
func tellSet(w io.Writer, spec string, s *data.Set) {
	if len(s.Skipped) > 0 {
		fmt.Fprintf(w, "%s: passed over %s\n", spec, data.Skips(s.Skipped))
	}
	if n := len(s.Unfound); n > 0 {
		fmt.Fprintf(w, "%s: the face in the middle was found in %d of %d photographs; the others are left out\n", spec, len(s.Samples), len(s.Samples)+n)
		tellFound(w, s)
	}
	if n := s.Marked(data.NoFace); n > 0 {
		fmt.Fprintf(w, "%s: no face was found in %d of %d pictures: these are taken to be framed as the others\n", spec, n, len(s.Samples))
	}
	if n := s.Marked(data.Flattened); n > 0 {
		fmt.Fprintf(w, "%s: %d pictures are transparent in places and lie on grey\n", spec, n)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(w, "%s: %s\n", spec, n)
	}
}

// tellFound says of whom the faces were found.
func tellFound(w io.Writer, s *data.Set) {
	for i, h := range s.Heads {
		if h.Measures() {
			continue
		}
		all, found := s.FoundBy(i)
		var parts []string
		for l, label := range h.Labels {
			if all[l] > 0 {
				parts = append(parts, fmt.Sprintf("%s %d of %d", label, found[l], all[l]))
			}
		}
		if len(parts) > 0 {
			fmt.Fprintf(w, "  found by %s: %s\n", h.Name, strings.Join(parts, ", "))
		}
	}
}

// parseHeads reads --head flags; none of them are the paper's heads.
func parseHeads(flags []string) ([]model.Head, error) {
	if len(flags) == 0 {
		return model.Heads(), nil
	}
	var heads []model.Head
	for _, f := range flags {
		h, err := model.ParseHead(f)
		if err != nil {
			return nil, fmt.Errorf("--head: %w", err)
		}
		heads = append(heads, h)
	}
	return heads, model.CheckHeads(heads)
}

// listed are the rows of --list: what cannot be used, and every picture that
// is there more than once.
func listed(spec string, r *data.Report) [][]string {
	rows := [][]string{{"set", "path", "what", "split"}}
	for _, b := range r.Set.Bad {
		rows = append(rows, []string{spec, b.Path, b.Err.Error(), ""})
	}
	for _, x := range r.Set.Unfound {
		rows = append(rows, []string{spec, x.Path, "no face found in the middle", "left out"})
	}
	for i, g := range r.Duplicates {
		for _, k := range g {
			x := &r.Set.Samples[k]
			split := x.Split
			if split == "" {
				split = "left out"
			}
			rows = append(rows, []string{spec, x.Path, fmt.Sprintf("duplicate, group %d", i+1), split})
		}
	}
	return rows
}

func sum(n []int) int {
	total := 0
	for _, v := range n {
		total += v
	}
	return total
}
