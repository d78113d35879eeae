package data

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"slices"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"mien/runtime/model"
)

// Report is what Check found.
type Report struct {
	Set    *Set
	Listed int // images listed
	// Groups of samples that show the same picture, by index in Set.Samples.
	Duplicates [][]int
	// Crossing counts the duplicates among training images of held-out ones;
	// they are in no split.
	Crossing int
	// Conflicts counts the groups whose samples have different labels.
	Conflicts int
}

// Check reads a whole data set, and finds its duplicates.
func Check(ctx context.Context, spec string, o Options) (*Report, error) {
	kind, dir, l, err := list(spec, o)
	if err != nil {
		return nil, err
	}
	s, err := prepare(ctx, kind, dir, l, o)
	if err != nil {
		return nil, err
	}
	s.split(kind, o)
	r := &Report{Set: s, Listed: len(l.items)}
	r.duplicates()
	return r, nil
}

func (r *Report) duplicates() {
	groups := map[uint64][]int{}
	for i := range r.Set.Samples {
		x := &r.Set.Samples[i]
		groups[x.group] = append(groups[x.group], i)
		if x.Split == "" {
			r.Crossing++
		}
	}
	for _, g := range groups {
		if len(g) < 2 {
			continue
		}
		r.Duplicates = append(r.Duplicates, g)
		if slices.ContainsFunc(g, func(i int) bool { return !slices.Equal(r.Set.Samples[i].Labels, r.Set.Samples[g[0]].Labels) }) {
			r.Conflicts++
		}
	}
	slices.SortFunc(r.Duplicates, func(a, b []int) int { return a[0] - b[0] })
}

// Counts returns the number of samples of each label of a head in a split,
// All for all of them.
func (s *Set) Counts(head int, split string) []int {
	n := make([]int, len(s.Heads[head].Labels))
	for i := range s.Samples {
		if x := &s.Samples[i]; x.Labels[head] >= 0 && (split == All || x.Split == split) {
			n[x.Labels[head]]++
		}
	}
	return n
}

// FoundBy returns how many photographs have each label of a head, and in how
// many of these the face was found.
func (s *Set) FoundBy(head int) (all, found []int) {
	found = s.Counts(head, All)
	all = slices.Clone(found)
	for i := range s.Unfound {
		if l := s.Unfound[i].Labels[head]; l >= 0 {
			all[l]++
		}
	}
	return all, found
}

// Contact sheet layout, pixels.
const (
	sheetFaces = 12 // of a label
	sheetGap   = 4
	sheetText  = 160 // width of the label
)

// Sheet draws faces of every label that the set has, as the network sees
// them: a row for each label. The same set gives the same sheet.
func (s *Set) Sheet() *image.Gray {
	type row struct {
		name  string
		faces []int
	}
	var rows []row
	for h, head := range s.Heads {
		for l, label := range head.Labels {
			if f := s.some(h, int8(l)); len(f) > 0 {
				rows = append(rows, row{head.Name + " " + label, f})
			}
		}
	}
	const step = model.Side + sheetGap
	img := image.NewGray(image.Rect(0, 0, sheetText+sheetFaces*step, len(rows)*step+sheetGap))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for y, r := range rows {
		top := sheetGap + y*step
		text(img, 4, top+model.Side/2+4, r.name)
		for x, i := range r.faces {
			for k := range model.Side {
				copy(img.Pix[img.PixOffset(sheetText+x*step, top+k):], s.Samples[i].Face[k*model.Side:][:model.Side])
			}
		}
	}
	return img
}

// some returns up to sheetFaces samples of a label, chosen by their IDs.
func (s *Set) some(head int, label int8) []int {
	var all []int
	for i := range s.Samples {
		if s.Samples[i].Labels[head] == label {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b int) int {
		if s.Samples[a].ID < s.Samples[b].ID {
			return -1
		}
		return 1
	})
	return all[:min(len(all), sheetFaces)]
}

func text(img *image.Gray, x, y int, s string) {
	d := font.Drawer{Dst: img, Src: image.NewUniform(color.Gray{}), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(s)
}

// String sums a report up in a line.
func (r *Report) String() string {
	n := 0
	for _, g := range r.Duplicates {
		n += len(g)
	}
	return fmt.Sprintf("%d images, %d that cannot be used, %d in %d groups of duplicates (%d groups with differing labels), %d training images left out because a held-out image is the same",
		r.Listed, len(r.Set.Bad), n, len(r.Duplicates), r.Conflicts, r.Crossing)
}
