// Package kernel holds the inner loops of the portable engine: tiles of
// convolutions over packed weights, and the passes over rows that follow them.
// Each loop exists in Go, which is its definition, and in assembly for CPUs
// that have the instructions; Sets lists what this CPU can run.
package kernel

import "math"

// Set is a choice of loops for one kind of CPU. All sets give the same
// integers; floats differ in the last bits, as the order of sums does.
type Set struct {
	Name    string
	Int8    Int8
	Float32 Float32

	// Requant writes n pixels, each of which begins a step after the one before:
	// dst[p*dstStep+c] = e.apply(acc[p*accStep+c], c) for c < channels. It may
	// read sums up to the next multiple of Align.
	Requant func(dst []int8, acc []int32, e *Epilogue, n, channels, dstStep, accStep int)
	// Affine is Requant of src[c]*w[c] for n pixels that lie side by side, a
	// depthwise 1x1 convolution. dst and src may be the same.
	Affine func(dst, src []int8, w []int32, e *Epilogue, n, channels int)
	// Lookup writes dst[i] = table[uint8(src[i])].
	Lookup func(dst, src []int8, table *[256]int8)
	// MaxInt8 writes dst[i] = max(dst[i], src[i]).
	MaxInt8 func(dst, src []int8)
	// AddInt8 writes dst[i] = a.Of(x[i], y[i]).
	AddInt8 func(dst, x, y []int8, a *AddInt8)
	// SumInt8 adds src[i] to acc[i].
	SumInt8 func(acc []int32, src []int8)
	// DepthInt8 adds up pixels of a depthwise convolution.
	DepthInt8 func(t *DepthInt8)
	// DepthWide says that DepthInt8 takes weights that DepthWeights widened.
	DepthWide bool

	// Finish writes n pixels as Requant does:
	// dst[p*dstStep+c] = min(max(acc[p*accStep+c]+bias[c], lo), hi).
	Finish func(dst, acc, bias []float32, lo, hi float32, n, channels, dstStep, accStep int)
	// Scale writes dst[i] = src[i]*m[i] + a[i].
	Scale func(dst, src, m, a []float32)
	// Elu writes dst[i] = src[i], or exp(src[i])-1 where that is below 0.
	Elu func(dst, src []float32)
	// MaxFloat32 writes dst[i] = max(dst[i], src[i]).
	MaxFloat32 func(dst, src []float32)
	// AddFloat32 writes dst[i] = min(max(x[i]+y[i], lo), hi).
	AddFloat32 func(dst, x, y []float32, lo, hi float32)
	// DepthFloat32 adds up pixels of a depthwise convolution.
	DepthFloat32 func(t *DepthFloat32)
}

// Pack says how a convolution's weights are laid out for a tile, and how much
// a tile may take on.
type Pack struct {
	MR    int // most pixels of a tile
	NR    int // most channels of a tile, a multiple of Panel
	Panel int // channels side by side in the packed weights
	Group int // values along k of one channel side by side in a panel
	Round int // runs are filled up with zero weights to a multiple of this
	Align int // channels of accumulators and epilogues are a multiple of this
}

// Int8 is a convolution tile in int8.
type Int8 struct {
	Pack
	Elem   int   // bytes of one activation or weight as Tile reads them, 1 or 2
	Offset int32 // what Load adds to an activation
	Lowest int8  // the lowest weight that Tile takes
	// Load copies activations into the form that Tile reads.
	Load func(dst, src []int8)
	// Tile computes t for the given pixels and channels (a multiple of Panel).
	Tile func(t *TileInt8, pixels, channels int)
}

// TileInt8 is one tile of a convolution: a product of matrices whose left side
// is never built. A pixel's window is a number of runs of contiguous
// activations, one for each row of the filter:
//
//	for p := range pixels {
//		for c := range channels {
//			Acc[p*AccStep+c] = 0
//			for r := range Runs {
//				for k := range RunLen {
//					Acc[p*AccStep+c] += A[p*AStep+r*RunStep+k] * weight(c, r*RunLen+k)
//				}
//			}
//		}
//	}
//
// where weight(c, k) of a panel lies at [k/Group][c][k%Group], and the panel of
// the next channels lies WStep further. Steps and RunLen count elements of the
// slice for float32 and bytes for int8 activations and weights. The caller
// sees to it that every access is inside.
type TileInt8 struct {
	A                     []int8
	W                     []int8
	Acc                   []int32
	AStep, RunStep, WStep int
	AccStep, Runs, RunLen int
}

// Float32 is a convolution tile in float32.
type Float32 struct {
	Pack
	Tile func(t *TileFloat32, pixels, channels int)
}

// TileFloat32 is TileInt8 for float32.
type TileFloat32 struct {
	A                     []float32
	W                     []float32
	Acc                   []float32
	AStep, RunStep, WStep int
	AccStep, Runs, RunLen int
}

// DepthInt8 is some pixels of a depthwise convolution:
//
//	for p := range Pixels {
//		for c := range Channels {
//			Acc[p*Channels+c] = 0
//			for r := range Runs {
//				for t := range Taps {
//					Acc[p*Channels+c] += A[p*AStep+r*RunStep+t*TapStep+c] * W[(r*Taps+t)*Channels+c]
//				}
//			}
//		}
//	}
//
// Channels is a multiple of Align; A may be read that far behind the last tap.
type DepthInt8 struct {
	A                       []int8
	W                       []int8
	Acc                     []int32
	AStep, RunStep, TapStep int
	Pixels, Runs, Taps      int
	Channels                int
}

// DepthFloat32 is DepthInt8 for float32.
type DepthFloat32 struct {
	A                       []float32
	W                       []float32
	Acc                     []float32
	AStep, RunStep, TapStep int
	Pixels, Runs, Taps      int
	Channels                int
}

// DepthWeights returns w with every value in four bytes: as 16 bits, and 16
// bits of 0, so that sums of products of pairs are products.
func DepthWeights(w []int8) []int8 {
	out := make([]int8, 4*len(w))
	for i, v := range w {
		out[4*i], out[4*i+1] = v, v>>7
	}
	return out
}

// Epilogue turns the sum of a channel into an int8 value, as XNNPACK does (its
// "fp32" requantisation): add the bias, multiply by Scale in float32, clamp,
// round to the nearest, a half to even, and add Zero. It is one rounding, the
// same on every processor, and TensorFlow Lite uses these kernels by default; its
// own round twice, and not alike on amd64 and arm64.
type Epilogue struct {
	Bias   []int32
	Scale  []float32
	Zero   int32
	Lo, Hi float32 // of what Zero is added to
}

// From returns the epilogue of the channels from c on.
func (e *Epilogue) From(c int) Epilogue {
	return Epilogue{e.Bias[c:], e.Scale[c:], e.Zero, e.Lo, e.Hi}
}

func (e *Epilogue) apply(acc int32, c int) int8 {
	x := min(max(float32(acc+e.Bias[c])*e.Scale[c], e.Lo), e.Hi)
	return int8(int32(math.RoundToEven(float64(x))) + e.Zero)
}

// Multiply returns x * m/2^31 * 2^(left-right). It rounds like TFLite's
// MultiplyByQuantizedMultiplier (2.9): the product to the nearest integer, a
// half up; then the shifted product, a half away from zero.
func Multiply(x, m, left, right int32) int32 {
	x <<= uint32(left) & 31
	y := int32((int64(x)*int64(m) + 1<<30) >> 31)
	if right == 0 {
		return y
	}
	return int32((int64(y) + int64(y>>31) + 1<<uint32(right-1)) >> uint32(right))
}

// AddInt8 is the sum of two int8 values of any quantisation, in a third. Factors
// are the ratios of scales times 2^Shift, below 2^21; Shift is 1 to 30.
type AddInt8 struct {
	ZeroX, ZeroY, FactorX, FactorY, Shift, Zero, Lo, Hi int32
}

// Of returns the sum of x and y: to the nearest, a half up, as XNNPACK does.
func (a *AddInt8) Of(x, y int8) int8 {
	v := (int32(x)-a.ZeroX)*a.FactorX + (int32(y)-a.ZeroY)*a.FactorY
	v = (v+1<<(a.Shift-1))>>a.Shift + a.Zero
	return int8(min(max(v, a.Lo), a.Hi))
}

// RoundUp returns n rounded up to a multiple of m.
func RoundUp(n, m int) int { return (n + m - 1) / m * m }

// Weights lays out the weights of a convolution for Tile. The weight of
// channel c at place k of run r is w[(c*runs+r)*n+k]; runs come back runLen
// long, which is n rounded up.
func Weights[T int8 | float32](p *Pack, w []T, channels, runs, n int) (packed []T, runLen int) {
	runLen = RoundUp(n, p.Round)
	panel := runs * runLen * p.Panel
	packed = make([]T, RoundUp(channels, p.Align)/p.Panel*panel)
	for c := range channels {
		out := packed[c/p.Panel*panel:]
		for r := range runs {
			for k := range n {
				kk := r*runLen + k
				out[(kk/p.Group*p.Panel+c%p.Panel)*p.Group+kk%p.Group] = w[(c*runs+r)*n+k]
			}
		}
	}
	return packed, runLen
}

// Widen returns w with every value in two bytes, the low one first.
func Widen(w []int8) []int8 {
	out := make([]int8, 2*len(w))
	for i, v := range w {
		out[2*i], out[2*i+1] = v, v>>7
	}
	return out
}
