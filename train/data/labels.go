package data

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"mien/runtime/model"
)

// NoLabel marks a head that a sample has no answer for.
const NoLabel = -1

// Labels holds the index of a sample's label, or NoLabel, for each head of its
// set.
type Labels []int8

// Unlabelled returns the labels of a sample without any.
func Unlabelled(heads []model.Head) Labels {
	l := make(Labels, len(heads))
	for i := range l {
		l[i] = NoLabel
	}
	return l
}

// said is what a set says of a picture for one head: the name of a label, or a
// number of which only the bounds may be known, or how many annotators chose
// each label.
type said struct {
	head  string
	label string
	from  float64
	to    float64
	votes []vote
}

type vote struct {
	label string
	n     float64
}

// named says a label by its name.
func named(head, label string) said { return said{head: head, label: label} }

// number says a number, such as an age in years.
func number(head string, v float64) said { return said{head: head, from: v, to: v} }

// synonyms are other names of labels, as the published sets and their copies
// use them.
var synonyms = map[string]string{
	"anger": "angry", "happiness": "happy", "sadness": "sad", "fearful": "fear", "afraid": "fear", "disgusted": "disgust", "surprised": "surprise",
	"man": "male", "men": "male", "m": "male", "woman": "female", "women": "female", "f": "female",
	"white": "caucasian", "black": "african-american", "east asian": "asian", "southeast asian": "asian",
}

// fold returns a label's name as it is compared: letters and synonyms do not
// tell two apart.
func fold(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if s := synonyms[name]; s != "" {
		return s
	}
	return name
}

// labelOf returns the index of the label of that name, or NoLabel.
func labelOf(h model.Head, name string) int8 {
	for i, l := range h.Labels {
		if l == name {
			return int8(i)
		}
	}
	for i, l := range h.Labels {
		if fold(l) == fold(name) {
			return int8(i)
		}
	}
	return NoLabel
}

// band is the numbers that one label stands for: from is in it, to is not.
type band struct{ from, to float64 }

// bands returns what the labels of a head stand for when they are whole
// numbers in order, as ages are: "0-3", "20-39", "70+", "18", "under 18".
// ok is false for a head whose labels are anything else.
func bands(h model.Head) (all []band, ok bool) {
	for i, l := range h.Labels {
		b, ok := parseBand(l)
		if !ok || i > 0 && b.from < all[i-1].to {
			return nil, false
		}
		all = append(all, b)
	}
	return all, len(all) > 0
}

func parseBand(label string) (band, bool) {
	l := strings.ToLower(strings.ReplaceAll(label, " ", ""))
	whole := func(s string) (float64, bool) {
		v, err := strconv.ParseUint(s, 10, 31)
		return float64(v), err == nil
	}
	for _, open := range []string{"under", "below", "<"} {
		if rest, found := strings.CutPrefix(l, open); found {
			to, ok := whole(rest)
			return band{0, to}, ok && to > 0
		}
	}
	for _, open := range []string{"over", "morethan", ">"} {
		if rest, found := strings.CutPrefix(l, open); found {
			from, ok := whole(rest)
			return band{from, math.Inf(1)}, ok
		}
	}
	if rest, found := strings.CutSuffix(l, "+"); found {
		from, ok := whole(rest)
		return band{from, math.Inf(1)}, ok
	}
	lo, hi, found := strings.Cut(strings.ReplaceAll(l, "–", "-"), "-")
	from, ok := whole(lo)
	if !found {
		return band{from, from + 1}, ok
	}
	to, fine := whole(hi)
	return band{from, to + 1}, ok && fine && to >= from
}

// Ordered tells whether the labels of a head are numbers in order, so that a
// wrong answer can be near or far. What measures has another measure of that.
func Ordered(h model.Head) bool {
	if h.Measures() {
		return false
	}
	_, ok := bands(h)
	return ok
}

// bandOf returns the label of whole numbers from lo to hi: the one that at
// least two thirds of them have, or NoLabel.
func bandOf(all []band, lo, hi float64) int8 {
	n := hi - lo + 1
	for i, b := range all {
		if in := min(hi+1, b.to) - max(lo, b.from); in >= n*2/3 {
			return int8(i)
		}
	}
	return NoLabel
}

// spread is the part of a normal distribution about v, of that standard
// deviation, in each of the bands.
func spread(all []band, v, deviation float64) []float32 {
	below := func(x float64) float64 { return 0.5 * math.Erfc(-(x-v)/(deviation*math.Sqrt2)) }
	p := make([]float32, len(all))
	var sum float64
	for i, b := range all {
		// A whole number stands for the year that follows it.
		sum += below(b.to-0.5) - below(b.from-0.5)
		p[i] = float32(below(b.to-0.5) - below(b.from-0.5))
	}
	for i := range p {
		p[i] = float32(float64(p[i]) / sum)
	}
	return p
}

// answers turns what a set says into labels of heads, and into soft targets
// where it says more than a label. What the heads do not ask for is left out,
// and so is a label that the head lacks, unless the set has to keep to the
// head's.
type answers struct {
	heads  []model.Head
	bands  [][]band    // nil for a head whose labels are names
	scales [][]float64 // nil for a head that does not measure
	spread map[string]float64
}

func newAnswers(heads []model.Head, spread map[string]float64) *answers {
	a := &answers{heads: heads, bands: make([][]band, len(heads)), scales: make([][]float64, len(heads)), spread: spread}
	for i, h := range heads {
		if h.Measures() {
			a.scales[i] = h.Values()
			continue
		}
		a.bands[i], _ = bands(h)
	}
	return a
}

// of returns the labels of one picture and its soft targets, nil when it has
// none.
func (a *answers) of(all []said, strict bool) (Labels, [][]float32, error) {
	l := Unlabelled(a.heads)
	var soft [][]float32
	for _, s := range all {
		i := model.Index(a.heads, s.head)
		if i < 0 {
			continue
		}
		var p []float32
		l[i], p = a.label(i, s)
		if l[i] == NoLabel && strict && a.scales[i] != nil {
			return nil, nil, fmt.Errorf("head %s wants a number within %s, not %q", s.head, a.heads[i].Say(), s.text())
		}
		if l[i] == NoLabel && strict && s.votes == nil {
			return nil, nil, fmt.Errorf("head %s has no label %q (it has %s)", s.head, s.text(), strings.Join(a.heads[i].Labels, ", "))
		}
		if p != nil {
			if soft == nil {
				soft = make([][]float32, len(a.heads))
			}
			soft[i] = p
		}
	}
	return l, soft, nil
}

func (s said) text() string {
	switch {
	case s.label != "":
		return s.label
	case s.from == s.to:
		return strconv.FormatFloat(s.from, 'g', -1, 64)
	}
	return fmt.Sprintf("%g-%g", s.from, s.to)
}

func (a *answers) label(i int, s said) (int8, []float32) {
	h := a.heads[i]
	switch {
	case a.scales[i] != nil:
		return measured(a.scales[i], s)
	case s.votes != nil:
		return counted(h, s.votes)
	case s.label != "":
		if k := labelOf(h, s.label); k != NoLabel || a.bands[i] == nil {
			return k, nil
		}
		b, ok := parseBand(s.label) // "34" of a head whose labels are ages
		if !ok {
			return NoLabel, nil
		}
		s.from, s.to = b.from, b.to-1
	case a.bands[i] == nil:
		return labelOf(h, s.text()), nil
	}
	to := min(s.to, s.from+20) // of "70 and more"
	k := bandOf(a.bands[i], s.from, to)
	if d := a.spread[s.head]; d > 0 && k != NoLabel && s.from == s.to {
		return k, spread(a.bands[i], s.from, d)
	}
	return k, nil
}

// measured returns the step next to a number and the target whose mean the
// number is. What tells bounds alone is no number, and what lies outside the
// scale cannot be said on it.
func measured(scale []float64, s said) (int8, []float32) {
	v, err := s.from, error(nil)
	if s.label != "" {
		v, err = strconv.ParseFloat(s.label, 64)
	}
	if err != nil || s.votes != nil || s.from != s.to || !(v >= scale[0] && v <= scale[len(scale)-1]) {
		return NoLabel, nil
	}
	return int8(model.Nearest(scale, v)), model.Target(scale, v)
}

// counted returns the label that more than half of the annotators chose, and
// the parts that chose each of the head's labels. What one annotator alone said
// does not count: so do the publishers of FER+ (github.com/microsoft/FERPlus,
// src/ferplus.py, mode majority). A picture without a majority, or whose majority
// says something that the head has no label for, has no label; it teaches what
// the others said all the same, when they are at least half.
func counted(h model.Head, votes []vote) (int8, []float32) {
	p := make([]float32, len(h.Labels))
	var all, known float64
	var most vote
	for _, v := range votes {
		if v.n < 2 {
			continue
		}
		all += v.n
		if k := labelOf(h, v.label); k != NoLabel {
			p[k] += float32(v.n)
			known += v.n
		}
		if v.n > most.n {
			most = v
		}
	}
	best := int8(NoLabel)
	if most.n > all/2 {
		best = labelOf(h, most.label)
	}
	if known == 0 || known < all/2 {
		return NoLabel, nil
	}
	for i := range p {
		p[i] /= float32(known)
	}
	return best, p
}
