//go:build !noasm

package kernel

import "golang.org/x/sys/cpu"

//go:generate go run ./gen

// Sets returns the sets that this CPU runs, the fastest first. Every arm64 CPU
// has NEON; the dot product came with Armv8.2 (Cortex-A76, Raspberry Pi 5).
func Sets() []*Set {
	if cpu.ARM64.HasASIMDDP {
		return []*Set{dot, neon, Go}
	}
	return []*Set{neon, Go}
}

// neon multiplies bytes to 16 bits and adds pairs of two products.
var neon = &Set{
	Name: "neon",
	Int8: Int8{
		Pack:   Pack{MR: 6, NR: 4, Panel: 4, Group: 16, Round: 16, Align: 16},
		Elem:   1,
		Lowest: -127,
		Load:   func(dst, src []int8) { copy(dst, src) },
		Tile:   func(t *TileInt8, pixels, _ int) { tilesMull[pixels](t) },
	},
	Float32: Float32{
		Pack: Pack{MR: 6, NR: 16, Panel: 16, Group: 1, Round: 4, Align: 16},
		Tile: func(t *TileFloat32, pixels, _ int) { tilesFmla[pixels](t) },
	},
	Requant: requantRowsNEON,
	Affine:  affineRowsNEON,
	Lookup: func(dst, src []int8, table *[256]int8) {
		lookupNEON(dst, src, table)
		n := len(dst) &^ 15
		lookup(dst[n:], src[n:], table)
	},
	MaxInt8: func(dst, src []int8) {
		maxInt8NEON(dst, src)
		n := len(dst) &^ 15
		maxInt8(dst[n:], src[n:])
	},
	AddInt8: func(dst, x, y []int8, a *AddInt8) {
		addInt8NEON(dst, x, y, a)
		n := len(dst) &^ 15
		addInt8(dst[n:], x[n:], y[n:], a)
	},
	SumInt8: func(acc []int32, src []int8) {
		sumInt8NEON(acc, src)
		n := len(acc) &^ 15
		sumInt8(acc[n:], src[n:])
	},
	DepthInt8: depthInt8NEON,
	Finish:    finishRowsNEON,
	Scale: func(dst, src, m, a []float32) {
		scaleNEON(dst, src, m, a)
		n := len(dst) &^ 3
		scale(dst[n:], src[n:], m[n:], a[n:])
	},
	Elu: func(dst, src []float32) {
		eluNEON(dst, src)
		n := len(dst) &^ 3
		elu(dst[n:], src[n:])
	},
	MaxFloat32: func(dst, src []float32) {
		maxFloat32NEON(dst, src)
		n := len(dst) &^ 3
		maxFloat32(dst[n:], src[n:])
	},
	AddFloat32: func(dst, x, y []float32, lo, hi float32) {
		addFloat32NEON(dst, x, y, lo, hi)
		n := len(dst) &^ 3
		addFloat32(dst[n:], x[n:], y[n:], lo, hi)
	},
	DepthFloat32: depthFloat32NEON,
}

var dot = withDot()

// withDot returns neon with sums of four products of bytes.
func withDot() *Set {
	s := *neon
	s.Name = "neon-dot"
	s.Int8.Pack = Pack{MR: 6, NR: 16, Panel: 16, Group: 4, Round: 16, Align: 16}
	s.Int8.Lowest = -128
	s.Int8.Tile = func(t *TileInt8, pixels, _ int) { tilesDot[pixels](t) }
	return &s
}

// requantRowsNEON takes what is left of a pixel's channels after whole sixteens
// through a buffer.
func requantRowsNEON(dst []int8, acc []int32, e *Epilogue, n, channels, dstStep, accStep int) {
	whole := channels &^ 15
	if whole > 0 {
		requantNEON(dst, acc, e, n, whole, dstStep, accStep)
	}
	if whole == channels {
		return
	}
	rest := e.From(whole)
	var last [16]int8
	for p := range n {
		requantNEON(last[:], acc[p*accStep+whole:], &rest, 1, 16, 16, 16)
		copy(dst[p*dstStep+whole:][:channels-whole], last[:])
	}
}

// affineRowsNEON is affine likewise; it copies the rest before, too, because 16
// values from there may reach behind src.
func affineRowsNEON(dst, src []int8, w []int32, e *Epilogue, n, channels int) {
	whole := channels &^ 15
	if whole > 0 {
		affineNEON(dst, src, w, e, n, whole, channels)
	}
	if whole == channels {
		return
	}
	rest := e.From(whole)
	var first, last [16]int8
	for p := range n {
		copy(first[:], src[p*channels+whole:][:channels-whole])
		affineNEON(last[:], first[:], w[whole:], &rest, 1, 16, 16)
		copy(dst[p*channels+whole:][:channels-whole], last[:])
	}
}

// finishRowsNEON is finish likewise.
func finishRowsNEON(dst, acc, bias []float32, lo, hi float32, n, channels, dstStep, accStep int) {
	whole := channels &^ 15
	var last [16]float32
	for p := range n {
		out, sums := dst[p*dstStep:], acc[p*accStep:]
		if whole > 0 {
			finishNEON(out[:whole], sums, bias, lo, hi)
		}
		if whole < channels {
			finishNEON(last[:], sums[whole:], bias[whole:], lo, hi)
			copy(out[whole:channels], last[:])
		}
	}
}
