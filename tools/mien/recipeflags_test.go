package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"mien/quant"
)

// asked parses flags of mien quantize and returns the command.
func asked(t *testing.T, flags ...string) *quantizeCmd {
	t.Helper()
	c := &quantizeCmd{}
	p, err := kong.New(c, kong.Vars{"kinds": "", "recipes": ""})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Parse(append([]string{"--checkpoint", "x", "--out", "y"}, flags...)); err != nil {
		t.Fatalf("mien quantize %s: %v", strings.Join(flags, " "), err)
	}
	return c
}

// Each row of mien compare, and recipes with everything in them, come back from
// their flags, and the flags from what comes back.
func TestRowsAreWhatTheirFlagsMake(t *testing.T) {
	c := &compareCmd{WeightBits: 8, Tune: 3}
	all := append(c.modes(), c.calibrators()...)
	for _, k := range quant.Calibrators() {
		all = append(all, c.recoveries(k)...)
	}
	few := &compareCmd{WeightBits: 4}
	all = append(all, append(few.modes(), few.recoveries(quant.Percentile)...)...)
	for _, r := range []quant.Recipe{
		{Mode: quant.Int8, Calibrator: quant.Percentile, Percentile: 99.5, FloatIO: true, Float: []string{"a*", "b/c"}},
		{Mode: quant.Int8, Calibrator: quant.MSE, Int16: []string{"x", "y"}, AdaRound: true, Equalise: true},
		{Mode: quant.Int16x8, Calibrator: quant.Average, FloatIO: true, WeightBits: 2},
		{Mode: quant.Dynamic, AdaRound: true},
	} {
		all = append(all, variant{recipe: r})
	}
	for _, v := range all {
		c := asked(t, strings.Fields(v.flags())...)
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", v.flags(), err)
		}
		if got := (variant{c.recipe(), c.Tune}); !reflect.DeepEqual(got, v) {
			t.Errorf("row %q measures %+v; its flags make %+v", v.flags(), v, got)
		} else if got.flags() != v.flags() {
			t.Errorf("row %q comes back as %q", v.flags(), got.flags())
		}
	}
	for _, m := range quant.Modes() {
		if got, want := asked(t, "--mode", string(m)).recipe(), quant.DefaultRecipe(m); !reflect.DeepEqual(got, want) {
			t.Errorf("--mode %s makes %+v, want %+v", m, got, want)
		}
	}
}

func TestFlagsThatDoNothingAreRefused(t *testing.T) {
	for _, c := range []struct{ flags, want string }{
		{"--percentile 99", "--calibrator percentile"},
		{"--percentile 12 --calibrator percentile", "between 50 and 100"},
		{"--percentile NaN --calibrator percentile", "between 50 and 100"},
		{"--mode int16x8 --io int8", "takes and gives float32"},
		{"--mode dynamic --io int8", "takes and gives float32"},
		{"--mode float16 --io int8", "takes and gives float32"},
		{"--mode dynamic --calibrator mse", "no ranges"},
		{"--mode float32 --adaround", "do nothing there"},
	} {
		if err := asked(t, strings.Fields(c.flags)...).check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.flags, err, c.want)
		}
	}
}
