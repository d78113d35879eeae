package portable

import (
	"math"

	"mien/runtime/graph"
	"mien/runtime/portable/internal/kernel"
)

// quantiseMultiplier splits a positive factor into m/2^31 * 2^(left-right), as
// TFLite's QuantizeMultiplier does.
func quantiseMultiplier(f float64) (m, left, right int32) {
	if f == 0 {
		return 0, 0, 0
	}
	frac, exp := math.Frexp(f)
	q := int64(math.Round(frac * (1 << 31)))
	if q == 1<<31 {
		q /= 2
		exp++
	}
	switch {
	case exp < -31:
		return 0, 0, 0
	case exp > 30:
		return math.MaxInt32, 30, 0
	case exp > 0:
		return int32(q), int32(exp), 0
	}
	return int32(q), 0, int32(-exp)
}

// affine is the scale and zero point of an int8 tensor that has one of each.
type affine struct {
	scale float32
	zero  int32
}

func (a affine) real(q int8) float32 { return a.scale * float32(int32(q)-a.zero) }

// quant returns the int8 value nearest to v, halves away from zero.
func (a affine) quant(v float32) int8 {
	return clamp8(math.Round(float64(v/a.scale)) + float64(a.zero))
}

func clamp8(v float64) int8 {
	switch {
	case v >= 127:
		return 127
	case v > -128:
		return int8(v)
	}
	return -128 // and NaN
}

// bounds returns the limits of a fused activation for values of quantisation a.
func (a affine) bounds(act graph.Activation) (lo, hi int32) {
	at := func(v float64) int32 { return int32(clamp8(math.Round(v/float64(a.scale)) + float64(a.zero))) }
	switch act {
	case graph.ReluAct:
		return at(0), 127
	case graph.Relu6Act:
		return at(0), at(6)
	case graph.ReluN1To1:
		return at(-1), at(1)
	}
	return -128, 127
}

// floatBounds returns the limits of a fused activation.
func floatBounds(act graph.Activation) (lo, hi float32) {
	inf := float32(math.Inf(1))
	switch act {
	case graph.ReluAct:
		return 0, inf
	case graph.Relu6Act:
		return 0, 6
	case graph.ReluN1To1:
		return -1, 1
	}
	return -inf, inf
}

// newEpilogue returns the epilogue of channels with the given real factors and
// int32 biases, filled up with zeros to a multiple of align.
func newEpilogue(factors []float32, bias []int32, out affine, act graph.Activation, align int) *kernel.Epilogue {
	n := kernel.RoundUp(len(factors), align)
	e := &kernel.Epilogue{
		Bias: make([]int32, n), Scale: make([]float32, n), Zero: out.zero,
	}
	lo, hi := out.bounds(act)
	e.Lo, e.Hi = float32(lo-out.zero), float32(hi-out.zero)
	copy(e.Bias, bias)
	for c, f := range factors {
		e.Scale[c] = min(f, 1<<31) // beyond which any sum but 0 is clamped
	}
	return e
}

// table returns the lookup table of a function of one real variable.
func table(in, out affine, f func(float32) float32) *[256]int8 {
	inverse := 1 / out.scale
	return tableOf(func(q int8) int8 {
		return clamp8(math.Round(float64(f(in.real(q))*inverse)) + float64(out.zero))
	})
}

func tableOf(f func(int8) int8) *[256]int8 {
	var t [256]int8
	for i := range t {
		t[i] = f(int8(uint8(i)))
	}
	return &t
}

// rescale returns the function that takes values of one quantisation to
// another in integers and clamps to [lo, hi], as TFLite's QUANTIZE and RELU do.
func rescale(in, out affine, lo, hi int32) func(int8) int8 {
	m, left, right := quantiseMultiplier(float64(in.scale) / float64(out.scale))
	return func(q int8) int8 {
		v := kernel.Multiply(int32(q)-in.zero, m, left, right) + out.zero
		return int8(min(max(v, lo), hi))
	}
}

// slope returns the function that multiplies by one factor, and below 0 by
// another, in integers as TFLite's PRELU and LEAKY_RELU do. The factor below 0
// counts below*(q-zero), where below is an integer.
func slope(in, out affine, factor, negative float64, below int32) func(int8) int8 {
	m, left, right := quantiseMultiplier(factor)
	nm, nleft, nright := quantiseMultiplier(negative)
	return func(q int8) int8 {
		v := int32(q) - in.zero
		if v >= 0 {
			v = kernel.Multiply(v, m, left, right)
		} else {
			v = kernel.Multiply(v*below, nm, nleft, nright)
		}
		return int8(min(max(v+out.zero, -128), 127))
	}
}

// hardSwish returns TFLite's HARD_SWISH on int8, whose intermediate values are
// 16-bit fixed-point numbers.
func hardSwish(in, out affine) func(int8) int8 {
	hires := in.scale / 128
	om, oleft, oright := quantiseMultiplier(float64(hires / out.scale))
	rm, rleft, rright := quantiseMultiplier(float64(hires / (3.0 / 32768)))
	om16, rm16 := narrow(om), narrow(rm)
	oexp := oleft - oright
	return func(q int8) int8 {
		x := (int32(q) - in.zero) * 128
		pre := doubleHigh(x, om16)
		r := x
		if rleft > 0 {
			r = saturate16(int64(r) << (rleft - 1))
		}
		r = doubleHigh(r, rm16)
		if rleft > 0 {
			r = saturate16(int64(r) * 2)
		}
		r = divideByPower(r, rright)
		r = (r + 1<<15) >> 1
		v := saturate16(int64(r) * int64(pre) / (1 << 15))
		if oexp > 0 {
			v = saturate16(int64(v) << oexp)
		} else {
			v = divideByPower(v, -oexp)
		}
		return clamp8(float64(v) + float64(out.zero))
	}
}

// narrow rounds a 32-bit fixed-point multiplier to 16 bits.
func narrow(m int32) int32 {
	if m >= math.MaxInt32-1<<15 {
		return math.MaxInt16
	}
	return (m + 1<<15) >> 16
}

// doubleHigh is the saturating rounding doubling high multiplication of 16 bits.
func doubleHigh(a, b int32) int32 {
	p := a * b
	nudge := int32(1 << 14)
	if p < 0 {
		nudge = 1 - 1<<14
	}
	return saturate16(int64((p + nudge) / (1 << 15)))
}

// divideByPower returns x/2^e to the nearest integer, halves away from zero.
func divideByPower(x, e int32) int32 {
	if e <= 0 {
		return x
	}
	return int32((int64(x) + int64(x>>31) + 1<<(e-1)) >> e)
}

func saturate16(v int64) int32 { return int32(min(max(v, math.MinInt16), math.MaxInt16)) }
