// Package data reads sets of labelled pictures as 50x50 grey faces: published
// ones, in the layouts that people have them in, and folders and tables of
// one's own (see kinds.go). A set answers some of the heads that it is asked
// for; what it does not answer is masked.
//
// Splits are called train, val (chooses the learning rate and the best
// epoch), test (nothing is chosen by it) and private (FER-2013's PrivateTest).
package data

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"mien/runtime/face"
	"mien/runtime/model"
)

// Pixels is the size of a prepared face.
const Pixels = model.Side * model.Side

// Names of the splits.
const (
	Train   = "train"
	Val     = "val"
	Test    = "test"
	Private = "private"
	All     = "all" // every image, for evaluation
)

// Sample is one labelled face.
type Sample struct {
	Path   string  // the file, or file:line of a row
	Face   []uint8 // Pixels grey levels, row by row; shared, read only
	Labels Labels
	// Soft holds, head by head, how likely each label is, where the set says
	// more than one label; nil for a head of which it does not, and nil when
	// it does of none.
	Soft  [][]float32
	Marks Marks
	Split string // Train, Val, Test or Private; "" is in none: a duplicate of a held-out image
	ID    uint64 // hash of the image file

	published string
	thumb     []uint8
	group     uint64 // the least ID among its duplicates
}

// Answers tells whether a sample teaches a head, by its place.
func (x *Sample) Answers(head int) bool {
	return x.Labels[head] != NoLabel || x.Soft != nil && x.Soft[head] != nil
}

// Number returns what a sample says for a head that measures, by its place.
func (x *Sample) Number(head int, scale []float64) float64 {
	v, _ := model.Mean(scale, x.Soft[head])
	return v
}

// Set is a data set.
type Set struct {
	Kind, Dir string
	Heads     []model.Head // that Labels and Soft go by
	Samples   []Sample
	Published bool           // it came with a split of its own
	Bad       []Bad          // pictures and rows that were left out
	Unfound   []Sample       // photographs whose face was not found, and that were left out: Path, Labels and Soft alone
	Skipped   map[string]int // files that are no pictures of the set, by the reason
	Notes     []string       // what the user should know, a sentence each
}

// Options of Load.
type Options struct {
	Heads      []model.Head // nil means those of the paper
	Seed       uint64       // of the split into train and val
	Validation float64      // the part of the training images that is val; 0 means 0.1
	// Spread is, by head, the standard deviation of a soft target about a
	// number: a face of 39 years then teaches a little of the label from 40 on.
	Spread map[string]float64
	// Levelling is how faces are levelled, where not as on a board. Photographs have
	// no other way.
	Levelling face.Levelling
	// Limit keeps at most that many images of each published split, chosen
	// by their names; 0 keeps all.
	Limit int
	// Strict makes a picture or a row that cannot be used an error.
	Strict bool
	// CacheDir keeps prepared faces between runs; "" means none are kept.
	CacheDir string
	// Progress is told how many images are prepared; it may be nil.
	Progress func(done, total int)
}

// Load reads a data set named KIND:DIR, prepares its faces and splits it. What
// cannot be read is left out and listed in Set.Bad, or an error when it is
// everything.
func Load(ctx context.Context, spec string, o Options) (*Set, error) {
	kind, dir, l, err := list(spec, o)
	if err != nil {
		return nil, err
	}
	s, err := prepare(ctx, kind, dir, l, o)
	if err != nil {
		return nil, err
	}
	if len(s.Bad) > 0 && (o.Strict || len(s.Samples)+len(s.Unfound) == 0) {
		return nil, unreadable(kind.Name, dir, s.Bad)
	}
	if len(s.Samples) == 0 {
		return nil, fmt.Errorf("data: %s: no face was found in any of the %d photographs of %s", kind.Name, len(s.Unfound), dir)
	}
	s.split(kind, o)
	return s, nil
}

func list(spec string, o Options) (k Kind, dir string, l *listing, err error) {
	if v := o.Validation; !(v >= 0 && v < 1) {
		return k, "", nil, fmt.Errorf("data: %g of the training images as validation: want less than 1 and not below 0", v)
	}
	name, dir, err := ParseSpec(spec)
	if err != nil {
		return k, "", nil, err
	}
	if k, err = KindByName(name); err != nil {
		return k, "", nil, err
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return k, "", nil, fmt.Errorf("data: %s: %s is missing", name, dir)
	}
	if l, err = k.list(dir, o.heads()); err != nil {
		return k, "", nil, fmt.Errorf("data: %s: %w (want %s)", name, err, k.Layout)
	}
	if len(l.items) == 0 {
		if len(l.bad) > 0 {
			return k, "", nil, unreadable(name, dir, l.bad)
		}
		return k, "", nil, fmt.Errorf("data: %s: no images in %s%s (want %s)", name, dir, l.without(), k.Layout)
	}
	slices.SortStableFunc(l.items, func(a, b item) int { return strings.Compare(a.path, b.path) })
	l.items = limit(l.items, o.Limit)
	return k, dir, l, nil
}

// without says what lay there instead.
func (l *listing) without() string {
	if len(l.skipped) == 0 {
		return ""
	}
	return ", only " + Skips(l.skipped)
}

// Skips says in words what was passed over: "3 .txt files, 1 hidden files".
func Skips(by map[string]int) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%d %s", by[reason], reason))
	}
	return strings.Join(parts, ", ")
}

func (o *Options) heads() []model.Head {
	if o.Heads == nil {
		return model.Heads()
	}
	return o.Heads
}

// Bad is a picture or a row that cannot be used.
type Bad struct {
	Path string
	Err  error
}

func unreadable(kind, dir string, bad []Bad) error {
	err := fmt.Errorf("data: %s: %s: %w", kind, bad[0].Path, bad[0].Err)
	if len(bad) > 1 {
		return fmt.Errorf("%w, and %d more that cannot be used (mien data check %s:%s lists them)", err, len(bad)-1, kind, dir)
	}
	return err
}

// limit keeps n items of each published split, chosen by a hash of the name
// so that every label has its share.
func limit(items []item, n int) []item {
	if n <= 0 {
		return items
	}
	type ranked struct {
		hash uint64
		i    int
	}
	by := map[string][]ranked{}
	for i, it := range items {
		by[it.published] = append(by[it.published], ranked{mix(hashString(it.path)), i})
	}
	var keep []int
	for _, r := range by {
		slices.SortFunc(r, func(a, b ranked) int {
			if a.hash != b.hash {
				if a.hash < b.hash {
					return -1
				}
				return 1
			}
			return a.i - b.i
		})
		for _, x := range r[:min(n, len(r))] {
			keep = append(keep, x.i)
		}
	}
	slices.Sort(keep)
	out := make([]item, len(keep))
	for k, i := range keep {
		out[k] = items[i]
	}
	return out
}

// Select returns the samples of a split. All selects every image. The empty
// name selects the test split where the set has one, and everything otherwise;
// the name that it stood for is returned.
func (s *Set) Select(split string) ([]Sample, string, error) {
	if split == "" {
		split = All
		if s.count(Test) > 0 {
			split = Test
		}
	}
	if split == All {
		return s.Samples, All, nil
	}
	if !slices.Contains([]string{Train, Val, Test, Private}, split) {
		return nil, "", fmt.Errorf("data: no split %q (there are train, val, test, private and all)", split)
	}
	var out []Sample
	for _, x := range s.Samples {
		if x.Split == split {
			out = append(out, x)
		}
	}
	if len(out) == 0 {
		return nil, "", fmt.Errorf("data: %s:%s has no image in split %s", s.Kind, s.Dir, split)
	}
	return out, split, nil
}

func (s *Set) count(split string) int {
	n := 0
	for i := range s.Samples {
		if s.Samples[i].Split == split {
			n++
		}
	}
	return n
}
