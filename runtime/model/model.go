// Package model says what a face model takes and what it tells: the input
// picture, the heads with their labels in order, and the card that travels
// inside the file. It runs nothing.
package model

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Side is the width and height of the input picture in pixels. Pixels are
// grey; a float model sees them divided by 255.
const Side = 50

// Names of a model's tensors. Engines find them by name, never by position,
// because a model may lack heads. An output is called as its head is, the input of
// a network with a filter as Filter.Input says.
const InputName = "face"

// Head is one question that the model answers, with its possible answers. The
// order of the labels is part of the file format.
type Head struct {
	Name   string   `json:"name"`
	Labels []string `json:"labels"`
	// Unit makes it a head that measures: see NewNumber.
	Unit string `json:"unit,omitempty"`
}

// Equal tells whether two heads ask the same.
func (h Head) Equal(o Head) bool {
	return h.Name == o.Name && h.Unit == o.Unit && slices.Equal(h.Labels, o.Labels)
}

// Index returns the place of the head of that name, or -1.
func Index(heads []Head, name string) int {
	return slices.IndexFunc(heads, func(h Head) bool { return h.Name == name })
}

// IndexEqual returns the place of a head that asks the same, or -1.
func IndexEqual(heads []Head, h Head) int { return slices.IndexFunc(heads, h.Equal) }

// Names returns the names of heads.
func Names(heads []Head) []string {
	names := make([]string, len(heads))
	for i, h := range heads {
		names[i] = h.Name
	}
	return names
}

// The four heads of the paper (Saroop et al. 2021, arXiv 2110.15028).
var (
	Emotion = Head{Name: "emotion", Labels: []string{"surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"}}
	Gender  = Head{Name: "gender", Labels: []string{"male", "female", "unsure"}}
	Race    = Head{Name: "race", Labels: []string{"Caucasian", "African-American", "Asian"}}
	Age     = Head{Name: "age", Labels: []string{"0-3", "4-19", "20-39", "40-69", "70+"}}
)

// Heads returns the four heads in the order of the file format.
func Heads() []Head { return []Head{Emotion, Gender, Race, Age} }

// The most labels that a head may have, so that an index fits a byte.
const maxLabels = 127

// CheckHeads says what is wrong with the heads of a model: names have to serve
// as those of tensors, keys and topics, and labels have to be told apart.
func CheckHeads(heads []Head) error {
	if len(heads) == 0 {
		return errors.New("model: no heads")
	}
	for i, h := range heads {
		if !IsHeadName(h.Name) {
			return fmt.Errorf("model: head %q: a name is of lower-case letters, digits and _, and begins with a letter", h.Name)
		}
		if h.Name == InputName || slices.ContainsFunc(heads[:i], func(o Head) bool { return o.Name == h.Name }) {
			return fmt.Errorf("model: head %s: the name is taken", h.Name)
		}
		if n := len(h.Labels); n < 2 || n > maxLabels {
			return fmt.Errorf("model: head %s has %d labels, want 2 to %d", h.Name, n, maxLabels)
		}
		for k, l := range h.Labels {
			switch {
			case strings.TrimSpace(l) != l || l == "" || strings.ContainsFunc(l, func(r rune) bool { return !unicode.IsPrint(r) }):
				return fmt.Errorf("model: head %s: label %q is empty, or holds blanks at its ends or what cannot be printed", h.Name, l)
			case slices.ContainsFunc(h.Labels[:k], func(o string) bool { return strings.EqualFold(o, l) }):
				return fmt.Errorf("model: head %s has label %q twice", h.Name, l)
			}
		}
		if h.Measures() {
			if err := h.checkNumber(); err != nil {
				return err
			}
		}
	}
	return nil
}

// IsHeadName tells whether a head can be called so.
func IsHeadName(name string) bool { return headName.MatchString(name) }

var headName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// ParseHead reads a head as NAME=LABEL,LABEL, or NAME=FROM..TO UNIT for one that
// measures.
func ParseHead(s string) (Head, error) {
	name, labels, ok := strings.Cut(s, "=")
	if !ok {
		return Head{}, fmt.Errorf("model: %q is not NAME=LABEL,LABEL, such as smile=yes,no, or NAME=FROM..TO UNIT, such as years=0..100 years", s)
	}
	if h, ok, err := parseNumber(strings.TrimSpace(name), labels); err != nil {
		return h, err
	} else if ok {
		return h, CheckHeads([]Head{h})
	}
	h := Head{Name: strings.TrimSpace(name)}
	for _, l := range strings.Split(labels, ",") {
		h.Labels = append(h.Labels, strings.TrimSpace(l))
	}
	return h, CheckHeads([]Head{h})
}

// Sensitive tells whether a head is never read unless it is named: what it infers
// may be asked of nobody by default.
func Sensitive(head string) bool { return head == Race.Name }

// Label returns the index of a label, or -1.
func (h Head) Label(name string) int { return slices.Index(h.Labels, name) }

// Spec is a model as its user sees it.
type Spec struct {
	Heads  []Head // those that the file contains, in file-format order
	Filter Filter // what the engine makes of a face first
	Card   Card   // zero for a file that carries none
}

// Index returns the position of a head in s.Heads, or -1.
func (s *Spec) Index(head string) int {
	return Index(s.Heads, head)
}

// NewScores returns scores of the right shape for s.
func (s *Spec) NewScores() *Scores {
	out := &Scores{Heads: make([][]float32, len(s.Heads))}
	for i, h := range s.Heads {
		out.Heads[i] = make([]float32, len(h.Labels))
	}
	return out
}

// Scores is a model's answer about one face: for each head of the Spec, in its
// order, one probability per label. The probabilities of a head sum to 1
// within the resolution of the output (1/256 for an int8 model).
type Scores struct {
	Heads [][]float32
}

// Top returns the likeliest label of head i and its probability.
func (s *Scores) Top(i int) (label int, p float32) {
	for k, v := range s.Heads[i] {
		if k == 0 || v > p {
			label, p = k, v
		}
	}
	return label, p
}
