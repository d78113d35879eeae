package tflite

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/portable"
)

// ErrUnsuited is what Open returns of a model that the pinned library computes
// wrongly, or that could end the process in it. The portable engine may serve.
var ErrUnsuited = errors.New("not for the TensorFlow Lite library")

// suited says why the library must not see g: the library trusts what it reads,
// and a file that breaks its assumptions ends the process or is computed wrongly
// without a word.
func suited(g *graph.Graph) error {
	for i, t := range g.Tensors {
		if err := sound(t); err != nil {
			return fmt.Errorf("%w: tensor %d (%s): %w", ErrUnsuited, i, t.Name, err)
		}
	}
	if err := defective(g, defects); err != nil {
		return err
	}
	if compiled(g) {
		return nil // for the Edge TPU's own operator
	}
	// Shapes, options and constants are as the portable engine wants them, which
	// checks each before it computes with it.
	if err := portable.Check(reals(g)); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsuited, err)
	}
	return nil
}

// delegable says why XNNPACK must not see g; the library's own kernels may serve.
func delegable(g *graph.Graph) error {
	read := map[int]bool{}
	for _, i := range g.Outputs {
		read[i] = true
	}
	for _, o := range g.Ops {
		for _, i := range o.Inputs {
			read[i] = true
		}
	}
	for i, o := range g.Ops {
		if !slices.ContainsFunc(o.Outputs, func(at int) bool { return read[at] }) {
			return fmt.Errorf("%w: operator %d (%s) computes what nothing reads, and XNNPACK of TensorFlow Lite 2.9.0 ends the process there", ErrUnsuited, i, o.Name())
		}
	}
	return defective(g, delegateDefects)
}

// defective names the first operator that has a defect.
func defective(g *graph.Graph, list []defect) error {
	for i, o := range g.Ops {
		for _, d := range list {
			if !slices.Contains(d.kinds, o.Kind) {
				continue
			}
			if why := d.in(g, o); why != "" {
				return fmt.Errorf("%w: operator %d (%s) %s", ErrUnsuited, i, o.Name(), why)
			}
		}
	}
	return nil
}

// sound says what is wrong with a tensor's quantisation.
func sound(t *graph.Tensor) error {
	if t.Quant == nil {
		return nil
	}
	for _, s := range t.Quant.Scale {
		if !(s >= smallestScale && s <= largestScale) && t.Type != graph.Float32 {
			return fmt.Errorf("its scale is %g (want %g to %g)", s, smallestScale, largestScale)
		}
	}
	lo, hi, limited := zeros(t.Type)
	for _, z := range t.Quant.Zero {
		if limited && (z < lo || z > hi) {
			return fmt.Errorf("its zero point is %d, and %v goes from %d to %d", z, t.Type, lo, hi)
		}
	}
	return nil
}

// Scales beyond these are no scales of anything: their products leave float32.
const smallestScale, largestScale = 1e-20, 1e18

func zeros(t graph.Type) (lo, hi int64, limited bool) {
	switch t {
	case graph.Int8:
		return math.MinInt8, math.MaxInt8, true
	case graph.UInt8:
		return 0, math.MaxUint8, true
	case graph.Int16:
		return math.MinInt16, math.MaxInt16, true
	}
	return 0, 0, false
}

// defect is what TensorFlow Lite 2.9.0 cannot do with some operators.
type defect struct {
	kinds []graph.Kind
	in    func(g *graph.Graph, o *graph.Op) (why string)
}

// defects are tried against the library by a test: each makes it wrong, or ends
// it.
var defects = []defect{
	{[]graph.Kind{graph.FullyConnected}, denseScales},
	{[]graph.Kind{graph.Add, graph.Sub}, sumScales},
	{[]graph.Kind{graph.SquaredDifference}, squareScales},
	{[]graph.Kind{graph.Sum}, sumWraps},
}

// delegateDefects are those of XNNPACK alone.
var delegateDefects = []defect{
	{[]graph.Kind{graph.Conv2D, graph.DepthwiseConv2D}, padsBelowZero},
	{[]graph.Kind{graph.TransposeConv}, lessThanStep},
}

// lessThanStep: XNNPACK takes a transposed convolution apart, into as many as
// its step is wide, and reads what is not there where one of them gives nothing.
func lessThanStep(g *graph.Graph, o *graph.Op) string {
	c, ok := o.Options.(graph.TransposeConvOptions)
	out := g.Tensors[o.Outputs[0]]
	if !ok || len(out.Shape) != 4 || out.Shape[1] >= c.StrideH && out.Shape[2] >= c.StrideW {
		return ""
	}
	return fmt.Sprintf("gives %dx%d values at steps of %dx%d, and XNNPACK of TensorFlow Lite 2.9.0 ends the process there", out.Shape[1], out.Shape[2], c.StrideH, c.StrideW)
}

// padsBelowZero: where the last step of a filter larger than 1x1 ends before the
// picture does, SAME padding is none at all; XNNPACK computes a negative one
// without a sign.
func padsBelowZero(g *graph.Graph, o *graph.Op) string {
	var padding graph.Padding
	var stride, dilation [2]int
	switch c := o.Options.(type) {
	case graph.ConvOptions:
		padding, stride, dilation = c.Padding, [2]int{c.StrideH, c.StrideW}, [2]int{c.DilationH, c.DilationW}
	case graph.DepthwiseOptions:
		padding, stride, dilation = c.Padding, [2]int{c.StrideH, c.StrideW}, [2]int{c.DilationH, c.DilationW}
	}
	in, w, out := input(g, o, 0), input(g, o, 1), g.Tensors[o.Outputs[0]]
	if padding != graph.Same || in == nil || w == nil || len(in.Shape) != 4 || len(w.Shape) != 4 || len(out.Shape) != 4 || w.Shape[1]*w.Shape[2] == 1 {
		return ""
	}
	for d := range 2 {
		if reach := (out.Shape[1+d]-1)*stride[d] + (w.Shape[1+d]-1)*max(dilation[d], 1) + 1; reach < in.Shape[1+d] {
			return fmt.Sprintf("has a filter of %d at steps of %d, with SAME padding over %d values, and XNNPACK of TensorFlow Lite 2.9.0 computes that wrongly", w.Shape[1+d], stride[d], in.Shape[1+d])
		}
	}
	return ""
}

// denseScales: a dense layer's kernels read the first scale alone, and
// compute all outputs with it. Converters of 2024 and later write one for each.
func denseScales(g *graph.Graph, o *graph.Op) string {
	w := input(g, o, 1)
	if w == nil || w.Quant == nil || len(w.Quant.Scale) < 2 {
		return ""
	}
	return fmt.Sprintf("has %d scales, one for each output, and TensorFlow Lite 2.9.0 computes with the first alone", len(w.Quant.Scale))
}

// sumScales: the kernels of sums shift their inputs left by 20 bits, or 15 of
// int16, and abort the process where twice the larger input's scale is not below
// the output's shifted so.
func sumScales(g *graph.Graph, o *graph.Op) string {
	x, y, out := input(g, o, 0), input(g, o, 1), g.Tensors[o.Outputs[0]]
	shift := 20
	switch out.Type {
	case graph.Int16:
		shift = 15
	case graph.Int8, graph.UInt8:
	default:
		return ""
	}
	a, b, c := scaleOf(x), scaleOf(y), scaleOf(out)
	if a == 0 || b == 0 || c == 0 {
		return "lacks a scale"
	}
	ratio := 2 * max(a, b) / (c * float64(int(1)<<shift))
	if small := min(a, b) / max(a, b); ratio >= 1 || ratio < 1e-30 || small < 1e-9 {
		return fmt.Sprintf("adds scales of %g and %g to one of %g, which are too far apart for the kernels' %d bits", a, b, c, shift)
	}
	return ""
}

// squareScales: SQUARED_DIFFERENCE shifts its inputs left by 7 bits and aborts as
// sums do.
func squareScales(g *graph.Graph, o *graph.Op) string {
	out := g.Tensors[o.Outputs[0]]
	if out.Type != graph.Int8 && out.Type != graph.UInt8 {
		return ""
	}
	a, b, c := scaleOf(input(g, o, 0)), scaleOf(input(g, o, 1)), scaleOf(out)
	if a == 0 || b == 0 || c == 0 {
		return "lacks a scale"
	}
	twice := 2 * max(a, b)
	if ratio := twice * twice / (c * (1 << 14)); ratio >= 1 || ratio < 1e-30 || min(a, b)/max(a, b) < 1e-9 {
		return fmt.Sprintf("takes scales of %g and %g to one of %g, which are too far apart for the kernel's 14 bits", a, b, c)
	}
	return ""
}

// sumWraps: SUM in 8 bits wraps around instead of stopping at the ends of its
// output's range.
func sumWraps(g *graph.Graph, o *graph.Op) string {
	in, out := input(g, o, 0), g.Tensors[o.Outputs[0]]
	if in == nil || in.Type != graph.Int8 && in.Type != graph.UInt8 {
		return ""
	}
	a, c := scaleOf(in), scaleOf(out)
	n := float64(in.Elems()) / float64(max(out.Elems(), 1))
	lo, _, _ := zeros(in.Type)
	ends := func(t *graph.Tensor, scale float64) (float64, float64) {
		zero := 0.0
		if len(t.Quant.Zero) > 0 {
			zero = float64(t.Quant.Zero[0])
		}
		return (float64(lo) - zero) * scale, (float64(lo) + 255 - zero) * scale
	}
	if a == 0 || c == 0 {
		return "lacks a scale"
	}
	sumLo, sumHi := ends(in, a*n)
	outLo, outHi := ends(out, c)
	if sumLo < outLo-c/2 || sumHi > outHi+c/2 {
		return fmt.Sprintf("may give %.3g to %.3g, and TensorFlow Lite 2.9.0 wraps around outside of its output's %.3g to %.3g", sumLo, sumHi, outLo, outHi)
	}
	return ""
}

func input(g *graph.Graph, o *graph.Op, k int) *graph.Tensor {
	if k >= len(o.Inputs) || o.Inputs[k] < 0 {
		return nil
	}
	return g.Tensors[o.Inputs[k]]
}

// scaleOf returns a tensor's one scale, or 0.
func scaleOf(t *graph.Tensor) float64 {
	if t == nil || t.Quant == nil || len(t.Quant.Scale) != 1 {
		return 0
	}
	return float64(t.Quant.Scale[0])
}

// compiled says whether g holds what the Edge TPU compiler made.
func compiled(g *graph.Graph) bool {
	return slices.ContainsFunc(g.Ops, func(o *graph.Op) bool { return o.Kind == graph.Custom && o.Custom == "edgetpu-custom-op" })
}

// reals returns a graph with 16-bit activations as the same in float32, for
// the sake of its shapes and options; any other graph as it is.
func reals(g *graph.Graph) *graph.Graph {
	if !slices.ContainsFunc(g.Tensors, func(t *graph.Tensor) bool { return t.Type == graph.Int16 && !t.Const() }) {
		return g
	}
	c := g.Clone()
	for _, t := range c.Tensors {
		if t.Quant == nil {
			continue
		}
		t.Type, t.Quant = graph.Float32, nil
		if t.Data != nil {
			t.Data = make([]byte, 4*t.Elems())
		}
	}
	for _, o := range c.Ops {
		if known, _ := graph.Known(o.Kind); known.Converts {
			o.Kind, o.Options = graph.Reshape, graph.ReshapeOptions{}
		}
	}
	return c
}
