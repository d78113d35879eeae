// Package quant makes a float graph smaller: it looks at what values run
// through it (Calibrate), decides what becomes of every tensor (NewPlan), and
// carries that out (Apply). The plan is plain data: it can be read, compared,
// changed by hand and carried out again, with the same bytes as the result.
package quant

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Mode is what kind of numbers a file computes with.
type Mode string

// The modes.
const (
	Float32 Mode = "float32" // as trained
	Float16 Mode = "float16" // weights stored in half precision, computed in float32
	Dynamic Mode = "dynamic" // int8 weights; activations are quantised while it runs
	Int8    Mode = "int8"    // integers throughout
	Int16x8 Mode = "int16x8" // int16 activations, int8 weights
)

// Modes lists the modes.
func Modes() []Mode { return []Mode{Float32, Float16, Dynamic, Int8, Int16x8} }

// Calibrator is how the range of an activation is chosen from what was seen.
type Calibrator string

// The calibrators.
const (
	MinMax     Calibrator = "minmax"     // all that was seen
	Average    Calibrator = "average"    // moving average of each face's minimum and maximum
	Percentile Calibrator = "percentile" // all but the outermost part
	MSE        Calibrator = "mse"        // least squared error of the values seen
	Entropy    Calibrator = "entropy"    // least Kullback-Leibler divergence of their distribution
	// Best is the one of the others with which the outputs come nearest to float,
	// tried on the samples of the calibration; a plan names which it was.
	Best Calibrator = "best"
)

// Calibrators lists the calibrators, but for Best, which is one of them.
func Calibrators() []Calibrator { return []Calibrator{MinMax, Average, Percentile, MSE, Entropy} }

// DefaultPercentile is the part of the values that Percentile keeps, in percent.
const DefaultPercentile = 99.99

// Recipe is what the user asks for. The zero value is full int8, calibrated by
// minimum and maximum, with integer input and output.
type Recipe struct {
	Mode       Mode       `json:"mode"`
	Calibrator Calibrator `json:"calibrator,omitempty"`
	// Percentile is the part of the values that stays inside the range, in
	// percent; 0 means DefaultPercentile.
	Percentile float64 `json:"percentile,omitempty"`
	// FloatIO makes input and outputs float32 although the inside is integer.
	FloatIO bool `json:"float_io,omitempty"`
	// Float and Int16 name layers (path.Match patterns of what a layer's
	// output is called) that compute in float32, or with int16 activations.
	Float []string `json:"float,omitempty"`
	Int16 []string `json:"int16,omitempty"`
	// WeightBits, from 2 to 8, is how many of the 8 bits of an integer weight are
	// used; 0 means 8. Fewer make nothing faster: they show how much a network has
	// to spare, and what a recovery is worth.
	WeightBits int `json:"weight_bits,omitempty"`
	// Recovery of accuracy.
	Equalise    bool `json:"equalise,omitempty"`     // cross-layer equalisation
	AdaRound    bool `json:"adaround,omitempty"`     // choose each weight's rounding by what comes out
	CorrectBias bool `json:"correct_bias,omitempty"` // take mean errors out through the biases
}

// DefaultRecipe is what is asked for in a mode when nothing else is said: what
// came nearest to float on the networks of RESULTS.md.
func DefaultRecipe(m Mode) Recipe {
	r := Recipe{Mode: m}
	switch m {
	case Int8:
		r.Calibrator, r.Equalise, r.AdaRound, r.CorrectBias = Best, true, true, true
	case Int16x8:
		r.Calibrator, r.AdaRound, r.FloatIO = MSE, true, true
	}
	return r
}

// base is DefaultRecipe for a recipe's mode and layers: bias correction
// measures int8 layers only.
func (r Recipe) base() Recipe {
	d := DefaultRecipe(r.defaults().Mode)
	d.CorrectBias = d.CorrectBias && len(r.Int16) == 0
	return d
}

// Flags returns the flags with which mien quantize is asked for the recipe:
// the mode, and what is not as in DefaultRecipe.
func (r Recipe) Flags() []string {
	d, r := r.base(), r.defaults()
	out := []string{"--mode", string(r.Mode)}
	add := func(flag string, value ...string) { out = append(append(out, flag), value...) }
	if r.integer() && r.Calibrator != d.Calibrator {
		add("--calibrator", string(r.Calibrator))
	}
	if r.integer() && r.Calibrator == Percentile && r.Percentile != DefaultPercentile {
		add("--percentile", strconv.FormatFloat(r.Percentile, 'g', -1, 64))
	}
	if r.FloatIO && !d.FloatIO {
		add("--io", "float")
	}
	if len(r.Float) > 0 {
		add("--float-layers", strings.Join(r.Float, ","))
	}
	if len(r.Int16) > 0 {
		add("--int16-layers", strings.Join(r.Int16, ","))
	}
	if r.WeightBits != 0 && r.WeightBits != 8 {
		add("--weight-bits", strconv.Itoa(r.WeightBits))
	}
	for _, o := range []struct {
		flag     string
		on, base bool
	}{{"equalise", r.Equalise, d.Equalise}, {"adaround", r.AdaRound, d.AdaRound}, {"correct-bias", r.CorrectBias, d.CorrectBias}} {
		switch {
		case o.on && !o.base:
			add("--" + o.flag)
		case !o.on && o.base:
			add("--no-" + o.flag)
		}
	}
	return out
}

// defaults fills in what zero values mean.
func (r Recipe) defaults() Recipe {
	if r.Mode == "" {
		r.Mode = Int8
	}
	if r.Calibrator == "" {
		r.Calibrator = MinMax
	}
	if r.Calibrator == Percentile && r.Percentile == 0 {
		r.Percentile = DefaultPercentile
	}
	if r.Mode == Int16x8 {
		r.FloatIO = true // engines take faces as float or int8
	}
	return r
}

// Check says what is wrong with the recipe.
func (r Recipe) Check() error {
	r = r.defaults()
	if !slices.Contains(Modes(), r.Mode) {
		return fmt.Errorf("quant: no mode %q (there are %v)", r.Mode, Modes())
	}
	if r.Calibrator == Best && r.Mode != Int8 {
		return fmt.Errorf("quant: calibrator %s is tried for int8 alone, not for %s: name one of %v", Best, r.Mode, Calibrators())
	}
	if r.Calibrator != Best && !slices.Contains(Calibrators(), r.Calibrator) {
		return fmt.Errorf("quant: no calibrator %q (there are %v)", r.Calibrator, Calibrators())
	}
	if r.Percentile != 0 && !(r.Percentile > 50 && r.Percentile <= 100) {
		return fmt.Errorf("quant: percentile %g is not between 50 and 100", r.Percentile)
	}
	if r.Percentile != 0 && r.Calibrator != Percentile {
		return fmt.Errorf("quant: percentile %g is of calibrator %s, and the recipe's is %s", r.Percentile, Percentile, r.Calibrator)
	}
	if r.WeightBits != 0 && (r.WeightBits < 2 || r.WeightBits > 8) {
		return fmt.Errorf("quant: weights of %d bits; there are 2 to 8", r.WeightBits)
	}
	for _, p := range slices.Concat(r.Float, r.Int16) {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("quant: layer pattern %q: %w", p, err)
		}
	}
	if !r.integer() && (r.CorrectBias || r.AdaRound || r.Equalise || r.WeightBits != 0 || len(r.Float)+len(r.Int16) > 0) && r.Mode != Dynamic {
		return fmt.Errorf("quant: mode %s leaves values as they are; equalisation, rounding, bias correction, bits and named layers do nothing there", r.Mode)
	}
	if r.CorrectBias && (r.Mode != Int8 || len(r.Int16) > 0) {
		return fmt.Errorf("quant: bias correction measures int8 layers; it does nothing for %s", r)
	}
	return nil
}

// Levels is the largest integer that a weight is stored as.
func (r Recipe) Levels() float64 {
	if r.WeightBits == 0 {
		return 127
	}
	return float64(int(1)<<(r.WeightBits-1) - 1)
}

// integer says whether activations are quantised ahead of time.
func (r Recipe) integer() bool { return r.Mode == Int8 || r.Mode == Int16x8 }

// Quantises says whether the recipe stores anything in integers.
func (r Recipe) Quantises() bool { return r.defaults().integer() || r.Mode == Dynamic }

// Calibrated says whether the recipe needs faces.
func (r Recipe) Calibrated() bool { return r.defaults().integer() || r.AdaRound || r.Equalise }

// String says the recipe in words.
func (r Recipe) String() string {
	r = r.defaults()
	var with []string
	if r.integer() {
		c := string(r.Calibrator)
		if r.Calibrator == Best {
			c = "the calibrator that is nearest to float"
		}
		if r.Calibrator == Percentile {
			c = fmt.Sprintf("percentile %g", r.Percentile)
		}
		with = append(with, "calibrated by "+c)
		if r.FloatIO {
			with = append(with, "float input and output")
		}
	}
	if r.WeightBits != 0 && r.WeightBits != 8 {
		with = append(with, fmt.Sprintf("weights of %d bits", r.WeightBits))
	}
	for _, o := range []struct {
		on   bool
		name string
	}{{r.Equalise, "equalised"}, {r.AdaRound, "AdaRound"}, {r.CorrectBias, "biases corrected"}} {
		if o.on {
			with = append(with, o.name)
		}
	}
	if len(r.Float) > 0 {
		with = append(with, "float32 in "+strings.Join(r.Float, " "))
	}
	if len(r.Int16) > 0 {
		with = append(with, "int16 in "+strings.Join(r.Int16, " "))
	}
	if len(with) == 0 {
		return string(r.Mode)
	}
	return string(r.Mode) + ": " + strings.Join(with, ", ")
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, name); return ok })
}
