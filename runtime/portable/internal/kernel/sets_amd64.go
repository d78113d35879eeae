//go:build !noasm

package kernel

import "golang.org/x/sys/cpu"

//go:generate go run ./gen

// Sets returns the sets that this CPU runs, the fastest first.
func Sets() []*Set {
	sets := []*Set{Go}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI2 {
		sets = append([]*Set{avx2}, sets...)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VNNI && cpu.X86.HasAVX512VBMI {
			sets = append([]*Set{avx512}, sets...)
		}
	}
	return sets
}

// avx2 multiplies 16-bit integers, because the instructions for 8 bits
// saturate their sums.
var avx2 = &Set{
	Name: "avx2",
	Int8: Int8{
		Pack:   Pack{MR: 6, NR: 16, Panel: 16, Group: 2, Round: 2, Align: 16},
		Elem:   2,
		Lowest: -128,
		Load: func(dst, src []int8) {
			widen256(dst, src)
			n := len(src) &^ 15
			for i, v := range src[n:] {
				dst[2*(n+i)], dst[2*(n+i)+1] = v, v>>7
			}
		},
		Tile: func(t *TileInt8, pixels, _ int) { tilesInt8256[pixels](t) },
	},
	Float32: Float32{
		Pack: Pack{MR: 6, NR: 16, Panel: 16, Group: 1, Round: 1, Align: 16},
		Tile: func(t *TileFloat32, pixels, _ int) { tilesFloat32256[pixels](t) },
	},
	Requant: requantRows256,
	Affine:  affineRows256,
	Lookup:  lookup,
	MaxInt8: func(dst, src []int8) {
		maxInt8256(dst, src)
		n := len(dst) &^ 31
		maxInt8(dst[n:], src[n:])
	},
	AddInt8: func(dst, x, y []int8, a *AddInt8) {
		addInt8256(dst, x, y, a)
		n := len(dst) &^ 7
		addInt8(dst[n:], x[n:], y[n:], a)
	},
	SumInt8: func(acc []int32, src []int8) {
		sumInt8256(acc, src)
		n := len(acc) &^ 7
		sumInt8(acc[n:], src[n:])
	},
	DepthInt8: depthInt8256,
	DepthWide: true,
	Finish:    finishRows256,
	Scale: func(dst, src, m, a []float32) {
		scale256(dst, src, m, a)
		n := len(dst) &^ 7
		scale(dst[n:], src[n:], m[n:], a[n:])
	},
	Elu: func(dst, src []float32) {
		elu256(dst, src)
		n := len(dst) &^ 7
		elu(dst[n:], src[n:])
	},
	MaxFloat32: func(dst, src []float32) {
		maxFloat32256(dst, src)
		n := len(dst) &^ 7
		maxFloat32(dst[n:], src[n:])
	},
	AddFloat32: func(dst, x, y []float32, lo, hi float32) {
		addFloat32256(dst, x, y, lo, hi)
		n := len(dst) &^ 7
		addFloat32(dst[n:], x[n:], y[n:], lo, hi)
	},
	DepthFloat32: depthFloat32256,
}

// avx512 has an instruction for sums of four products of unsigned and signed
// bytes (VNNI): activations get 128 added, which the bias takes back.
var avx512 = &Set{
	Name: "avx512-vnni",
	Int8: Int8{
		Pack:   Pack{MR: 14, NR: 32, Panel: 16, Group: 4, Round: 4, Align: 16},
		Elem:   1,
		Lowest: -128,
		Offset: 128,
		Load:   flip512,
		Tile:   func(t *TileInt8, pixels, channels int) { tilesInt8512[channels>>5][pixels](t) },
	},
	Float32: Float32{
		Pack: Pack{MR: 14, NR: 32, Panel: 16, Group: 1, Round: 1, Align: 16},
		Tile: func(t *TileFloat32, pixels, channels int) { tilesFloat32512[channels>>5][pixels](t) },
	},
	Requant:      requant512,
	Affine:       affine512,
	Lookup:       lookup512,
	MaxInt8:      maxInt8512,
	AddInt8:      addInt8512,
	SumInt8:      sumInt8512,
	DepthInt8:    depthInt8512,
	DepthWide:    true,
	Finish:       finish512,
	Scale:        scale512,
	Elu:          elu512,
	MaxFloat32:   maxFloat32512,
	AddFloat32:   addFloat32512,
	DepthFloat32: depthFloat32512,
}

// requantRows256 goes by pixels; what is left of a pixel's channels after whole
// sixteens goes through a buffer.
func requantRows256(dst []int8, acc []int32, e *Epilogue, n, channels, dstStep, accStep int) {
	whole := channels &^ 15
	rest := e.From(whole)
	var last [16]int8
	for p := range n {
		out, sums := dst[p*dstStep:], acc[p*accStep:]
		if whole > 0 {
			requant256(out[:whole], sums, e)
		}
		if whole < channels {
			requant256(last[:], sums[whole:], &rest)
			copy(out[whole:channels], last[:])
		}
	}
}

// affineRows256 is affine likewise; it copies the rest before, too, because 16
// values from there may reach behind src.
func affineRows256(dst, src []int8, w []int32, e *Epilogue, n, channels int) {
	whole := channels &^ 15
	rest := e.From(whole)
	var first, last [16]int8
	for p := range n {
		out, in := dst[p*channels:][:channels], src[p*channels:][:channels]
		if whole > 0 {
			affine256(out[:whole], in, w, e)
		}
		if whole < channels {
			copy(first[:], in[whole:])
			affine256(last[:], first[:], w[whole:], &rest)
			copy(out[whole:], last[:])
		}
	}
}

// finishRows256 is finish likewise.
func finishRows256(dst, acc, bias []float32, lo, hi float32, n, channels, dstStep, accStep int) {
	whole := channels &^ 15
	var last [16]float32
	for p := range n {
		out, sums := dst[p*dstStep:], acc[p*accStep:]
		if whole > 0 {
			finish256(out[:whole], sums, bias, lo, hi)
		}
		if whole < channels {
			finish256(last[:], sums[whole:], bias[whole:], lo, hi)
			copy(out[whole:channels], last[:])
		}
	}
}
