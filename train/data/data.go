// Package data reads the published face sets as labelled 50x50 grey faces:
// FER-2013, UTKFace, RAF-DB and FairFace. Every set answers some of the
// model's heads; what it does not answer is masked.
//
// Splits are called train, val (chooses the learning rate and the best
// epoch), test (nothing is chosen by it) and private (FER-2013's PrivateTest).
package data

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mien/runtime/model"
)

// Pixels is the size of a prepared face.
const Pixels = model.Side * model.Side

// NoLabel marks a head that a sample has no answer for.
const NoLabel = -1

// Positions of the heads in Labels; the order of model.Heads.
const (
	Emotion = iota
	Gender
	Race
	Age
	Heads
)

// Labels holds the label of each head, or NoLabel.
type Labels [Heads]int8

// None is a sample without any label.
var None = Labels{NoLabel, NoLabel, NoLabel, NoLabel}

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
	Split  string // Train, Val, Test or Private; "" is in none: a duplicate of a held-out image
	ID     uint64 // hash of the image file

	published string
	thumb     []uint8
	group     uint64 // the least ID among its duplicates
}

// Set is a data set.
type Set struct {
	Kind, Dir string
	Samples   []Sample
	Published bool // it came with a split of its own
}

// Options of Load.
type Options struct {
	Seed       uint64  // of the split into train and val
	Validation float64 // the part of the training images that is val; 0 means 0.1
	// Limit keeps at most that many images of each published split, chosen
	// by their names; 0 keeps all.
	Limit int
	// CacheDir keeps prepared faces between runs; "" means none are kept.
	CacheDir string
	// Progress is told how many images are prepared; it may be nil.
	Progress func(done, total int)
}

// item is a listed image that is not read yet.
type item struct {
	path      string // relative to the set's folder
	labels    Labels
	published string
	row       []uint8 // 48x48 pixels of a CSV row; nil: the image is in a file
}

var lists = map[string]func(dir string) ([]item, error){
	"fer2013": listFER, "utkface": listUTK, "rafdb": listRAF, "fairface": listFairFace,
}

// ParseSpec splits "KIND:DIR".
func ParseSpec(spec string) (kind, dir string, err error) {
	kind, dir, ok := strings.Cut(spec, ":")
	if !ok || dir == "" {
		return "", "", fmt.Errorf("data: %q is not KIND:DIR (kinds: %s)", spec, strings.Join(Kinds(), ", "))
	}
	if lists[kind] == nil {
		return "", "", fmt.Errorf("data: no kind %q of data set (there are %s)", kind, strings.Join(Kinds(), ", "))
	}
	return kind, dir, nil
}

// Kinds returns the kinds of data sets.
func Kinds() []string { return []string{"fairface", "fer2013", "rafdb", "utkface"} }

// Load reads a data set named KIND:DIR, prepares its faces and splits it. An
// image that cannot be read is an error that names it.
func Load(ctx context.Context, spec string, o Options) (*Set, error) {
	kind, dir, items, err := list(spec, o)
	if err != nil {
		return nil, err
	}
	some := limit(items, o.Limit)
	s, bad, err := prepare(ctx, kind, dir, some, items, o)
	if err != nil {
		return nil, err
	}
	if len(bad) > 0 {
		return nil, unreadable(kind, dir, bad)
	}
	s.split(o)
	return s, nil
}

func list(spec string, o Options) (kind, dir string, items []item, err error) {
	if v := o.Validation; !(v >= 0 && v < 1) {
		return "", "", nil, fmt.Errorf("data: %g of the training images as validation: want less than 1 and not below 0", v)
	}
	kind, dir, err = ParseSpec(spec)
	if err != nil {
		return "", "", nil, err
	}
	items, err = lists[kind](dir)
	if err != nil {
		return "", "", nil, fmt.Errorf("data: %s: %w", kind, err)
	}
	if len(items) == 0 {
		return "", "", nil, fmt.Errorf("data: %s: no images in %s (%s)", kind, dir, layouts[kind])
	}
	slices.SortStableFunc(items, func(a, b item) int { return strings.Compare(a.path, b.path) })
	return kind, dir, items, nil
}

var layouts = map[string]string{
	"fer2013":  "want fer2013.csv, <emotion>/*.jpg or train/<emotion>/*.jpg and test/<emotion>/*.jpg",
	"utkface":  "want <age>_<gender>_<race>_<stamp>.jpg",
	"rafdb":    "want basic/EmoLabel/list_patition_label.txt and basic/Image/aligned/*_aligned.jpg",
	"fairface": "want fairface_label_train.csv or fairface_label_val.csv beside train/ and val/",
}

// Bad is an image that cannot be used.
type Bad struct {
	Path string
	Err  error
}

func unreadable(kind, dir string, bad []Bad) error {
	err := fmt.Errorf("data: %s: %s: %w", kind, bad[0].Path, bad[0].Err)
	if len(bad) > 1 {
		return fmt.Errorf("%w, and %d more unreadable images (mien data check %s:%s lists them)", err, len(bad)-1, kind, dir)
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
