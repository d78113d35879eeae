package main

import (
	"errors"
	"fmt"

	"mien/quant"
)

// recipeFlags ask for a recipe. What is not given is as in
// quant.DefaultRecipe, and quant.Recipe.Flags prints them back.
type recipeFlags struct {
	Mode string `help:"float32, float16, dynamic, int8 or int16x8." default:"int8" enum:"float32,float16,dynamic,int8,int16x8"`
	IO   string `help:"Input and output: int8 or float. By default int8 for --mode int8, else float." placeholder:"TYPE" default:"" enum:",int8,float"`

	Calibrator string  `help:"How ranges are chosen: minmax, average, percentile, mse or entropy; or best, which tries them all. By default best for int8, mse for int16x8." placeholder:"NAME" default:"" enum:",best,minmax,average,percentile,mse,entropy"`
	Percentile float64 `help:"Part of the values inside the range, for --calibrator percentile. By default 99.99." placeholder:"P" most:"100"`

	FloatLayers []string `help:"Layers to compute in float32 (patterns)." placeholder:"NAME"`
	Int16Layers []string `name:"int16-layers" help:"Layers to compute with int16 activations (patterns)." placeholder:"NAME"`
	WeightBits  int      `help:"Bits that integer weights use, 2 to 8. Fewer make nothing faster: they show how much a network has to spare." default:"8" placeholder:"N" least:"2" most:"8"`
	Equalise    *bool    `help:"Cross-layer equalisation. By default for int8 without --tune." negatable:""`
	Adaround    *bool    `help:"Choose each weight's rounding by what its layer computes. By default for int8 and int16x8." negatable:""`
	CorrectBias *bool    `help:"Take mean errors out through the biases. By default for int8 without --int16-layers." negatable:""`
}

// recipe is what the flags ask for.
func (c *recipeFlags) recipe() quant.Recipe {
	r := quant.DefaultRecipe(quant.Mode(c.Mode))
	r.Float, r.Int16 = c.FloatLayers, c.Int16Layers
	if len(r.Int16) > 0 {
		r.CorrectBias = false // it measures int8 layers
	}
	if c.IO != "" {
		r.FloatIO = c.IO == "float" && (r.Mode == quant.Int8 || r.Mode == quant.Int16x8)
	}
	if c.Calibrator != "" {
		r.Calibrator = quant.Calibrator(c.Calibrator)
	}
	if r.Percentile = c.Percentile; r.Percentile == 0 && r.Calibrator == quant.Percentile {
		r.Percentile = quant.DefaultPercentile
	}
	if c.WeightBits != 8 {
		r.WeightBits = c.WeightBits
	}
	for _, o := range []struct{ flag, to *bool }{{c.Equalise, &r.Equalise}, {c.Adaround, &r.AdaRound}, {c.CorrectBias, &r.CorrectBias}} {
		if o.flag != nil {
			*o.to = *o.flag
		}
	}
	return r
}

// check names flags that would do nothing.
func (c *recipeFlags) check() error {
	m := quant.Mode(c.Mode)
	switch {
	case c.IO == "int8" && m != quant.Int8:
		return fmt.Errorf("--io int8: a file of --mode %s takes and gives float32; leave --io out, or take --mode int8", m)
	case c.Calibrator != "" && m != quant.Int8 && m != quant.Int16x8:
		return fmt.Errorf("--calibrator %s: --mode %s has no ranges to choose; leave it out", c.Calibrator, m)
	case c.Percentile != 0 && c.Calibrator != string(quant.Percentile):
		return errors.New("--percentile is for --calibrator percentile: give both, or neither")
	}
	return c.recipe().Check()
}
