package model

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// A head that measures answers with a number: its labels are steps of a scale,
// and what it says is the mean over their probabilities, whose deviation says
// how sure it is. Learning a distribution does better than learning the number
// (Rothe, Timofte and Van Gool 2018, "Deep expectation of real and apparent age
// from a single image"; Imani and White 2018, arXiv 1806.04613), and
// probabilities are what files, engines and trackers carry anyhow. Several
// numbers, such as the two coordinates of an eye, are several heads.

// Steps is how many steps a scale has, between one label more.
const Steps = 20

// Pixels is the unit of heads that tell a place of the model's input, NAME_x and
// NAME_y, counted from the centre of its top left pixel: the trainer moves it
// along when it changes the picture.
const Pixels = "pixels"

// NewNumber returns a head that measures from one number to another, in a unit.
func NewNumber(name string, from, to float64, unit string) Head {
	h := Head{Name: name, Unit: unit}
	for i := range Steps + 1 {
		h.Labels = append(h.Labels, strconv.FormatFloat(from+(to-from)*float64(i)/Steps, 'g', 7, 64))
	}
	return h
}

// parseNumber reads a scale as FROM..TO UNIT; ok is false for what is none.
func parseNumber(name, s string) (h Head, ok bool, err error) {
	from, rest, ok := strings.Cut(s, "..")
	if !ok {
		return h, false, nil
	}
	to, unit, _ := strings.Cut(strings.TrimSpace(rest), " ")
	lo, errLo := strconv.ParseFloat(strings.TrimSpace(from), 64)
	hi, errHi := strconv.ParseFloat(to, 64)
	if errLo != nil || errHi != nil || strings.TrimSpace(unit) == "" {
		return h, true, fmt.Errorf("model: head %s: %q is not FROM..TO UNIT, such as 0..100 years", name, s)
	}
	if !(lo < hi) || math.IsInf(hi-lo, 0) {
		return h, true, fmt.Errorf("model: head %s: %q goes from a number to one that is not larger", name, s)
	}
	return NewNumber(name, lo, hi, strings.TrimSpace(unit)), true, nil
}

// checkNumber says what is wrong with the scale of a head that measures.
func (h Head) checkNumber() error {
	if strings.TrimSpace(h.Unit) != h.Unit || len(h.Unit) > 32 || strings.ContainsFunc(h.Unit, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("model: head %s: unit %q holds blanks at its ends, more than 32 bytes or what cannot be printed", h.Name, h.Unit)
	}
	if len(h.Labels) != Steps+1 {
		return fmt.Errorf("model: head %s measures with %d labels, want %d", h.Name, len(h.Labels), Steps+1)
	}
	v := h.Values()
	step := (v[Steps] - v[0]) / Steps
	for i := range v {
		if !(math.Abs(v[i]-v[0]-float64(i)*step) < step/100) || math.IsInf(v[i], 0) {
			return fmt.Errorf("model: head %s measures, and its labels (%s) are no even steps upwards", h.Name, strings.Join(h.Labels, ", "))
		}
	}
	return nil
}

// Measures tells whether the head answers with a number.
func (h Head) Measures() bool { return h.Unit != "" }

// Values returns the numbers of the labels of a head that measures.
func (h Head) Values() []float64 {
	v := make([]float64, len(h.Labels))
	for i, l := range h.Labels {
		var err error
		if v[i], err = strconv.ParseFloat(l, 64); err != nil {
			v[i] = math.NaN()
		}
	}
	return v
}

// Range returns the ends of the scale of a head that measures.
func (h Head) Range() (from, to float64) {
	v := h.Values()
	return v[0], v[len(v)-1]
}

// Mean returns the mean of values over probabilities, which need not sum to 1,
// and the standard deviation.
func Mean(values []float64, p []float32) (mean, deviation float64) {
	var sum, square, total float64
	for i, v := range values {
		sum += float64(p[i]) * v
		total += float64(p[i])
	}
	if total <= 0 {
		return (values[0] + values[len(values)-1]) / 2, 0
	}
	mean = sum / total
	for i, v := range values {
		square += float64(p[i]) * (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(square / total)
}

// Nearest returns the place of the value, of even steps upwards, next to v.
func Nearest(values []float64, v float64) int {
	last := len(values) - 1
	at := (v - values[0]) / (values[last] - values[0]) * float64(last)
	return int(min(max(at+0.5, 0), float64(last)))
}

// Target returns the probabilities whose mean is v, a number of the scale: those
// of the two steps beside it.
func Target(values []float64, v float64) []float32 {
	p := make([]float32, len(values))
	last := len(values) - 1
	at := min(max((v-values[0])/(values[last]-values[0])*float64(last), 0), float64(last))
	i := min(int(at), last-1)
	p[i], p[i+1] = float32(1-(at-float64(i))), float32(at-float64(i))
	return p
}

// Text writes a number with its unit, to about a fifth of a step.
func (h Head) Text(v float64) string {
	from, to := h.Range()
	digits := int(max(0, -math.Floor(math.Log10((to-from)/Steps/5))))
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + h.Unit
}

// Say returns what the head answers with: its labels, or its scale.
func (h Head) Say() string {
	if h.Measures() {
		return h.Labels[0] + ".." + h.Labels[len(h.Labels)-1] + " " + h.Unit
	}
	return strings.Join(h.Labels, ", ")
}

// Answer returns the label that the probabilities speak for: the likeliest, or
// of a head that measures the one next to their mean.
func (h Head) Answer(p []float32) int {
	if h.Measures() {
		v := h.Values()
		mean, _ := Mean(v, p)
		return Nearest(v, mean)
	}
	best := 0
	for i, v := range p {
		if v > p[best] {
			best = i
		}
	}
	return best
}
