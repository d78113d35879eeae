package main

import "fmt"

// Registers of the loops: pointers in the order of the arguments, and the
// offset from them.
var pointers = []string{"AX", "BX", "CX", "DX", "SI", "DI"}

const offset = "R8"

// flat writes a kernel over slices of the same length: n is the number of
// vectors, then one pointer for each slice. at(i) is where slice i stands.
func flat(w *writer, name, doc string, slices int, scalars []string, setup, body func()) {
	w.function(name, doc, 8*(1+slices)+4*len(scalars))
	w.op("MOVQ n+0(FP), R9")
	loadPointers(w, slices, 8)
	for i, s := range scalars {
		w.op("VBROADCASTSS %s+%d(FP), V%d", s, 8*(1+slices)+4*i, scalarReg(i))
	}
	setup()
	w.op("XORQ %s, %s", offset, offset)
	w.label("loop")
	body()
	w.op("ADDQ $%d, %s", w.bytes(), offset)
	w.op("DECQ R9")
	w.op("JNZ loop")
	w.end()
}

// scalarReg is where flat leaves scalar arguments.
func scalarReg(i int) int { return 15 - i }

func loadPointers(w *writer, n, first int) {
	for i := range n {
		w.op("MOVQ p%d+%d(FP), %s", i, first+8*i, pointers[i])
	}
}

func at(i int) string { return fmt.Sprintf("(%s)(%s*1)", pointers[i], offset) }

// rows writes a kernel over rows of channels: n rows, v vectors in a row,
// then one pointer for each slice of rows and for each row of one value a
// channel. enter runs before a column of vectors, leave after it; there the
// channel rows stand at(i), and the slices of rows, within body, too.
func rows(w *writer, name, doc string, slices, channels int, enter, body, leave func()) {
	w.function(name, doc, 16+8*(slices+channels))
	w.op("MOVQ v+8(FP), R10")
	loadPointers(w, slices+channels, 16)
	w.op("MOVQ R10, R11")
	w.op("IMULQ $%d, R11", w.bytes())
	w.op("XORQ R12, R12")
	w.label("column")
	w.op("MOVQ R12, %s", offset)
	enter()
	w.op("MOVQ n+0(FP), R9")
	w.label("row")
	body()
	w.op("ADDQ R11, %s", offset)
	w.op("DECQ R9")
	w.op("JNZ row")
	w.op("MOVQ R12, %s", offset)
	leave()
	w.op("ADDQ $%d, R12", w.bytes())
	w.op("DECQ R10")
	w.op("JNZ column")
	w.end()
}

func nothing() {}

// loops writes the elementwise kernels.
func loops(s isa) string {
	w := newWriter(s)
	elu(w)
	eluGrad(w)
	clamp(w)
	flat(w, "add", "Add over n vectors: y, x.", 2, nil, nothing, func() {
		w.op("VMOVUPS %s, V0", at(0))
		w.op("VADDPS %s, V0, V0", at(1))
		w.op("VMOVUPS V0, %s", at(0))
	})
	adam(w)
	drop(w)
	pools(w)
	rowKernels(w)
	return w.String()
}

// elu needs exp(x)-1: with k the integer nearest to x/ln 2 and r the rest,
// 2^k*expm1(r) + 2^k-1, expm1(r) by its Taylor series to the 7th power.
func elu(w *writer) {
	flat(w, "elu", "ELU over n vectors.", 1, nil, func() {
		for i := range 11 {
			w.op("VBROADCASTSS ·expTable+%d(SB), V%d", 4*i, 5+i)
		}
	}, func() {
		w.op("VMOVUPS %s, V0", at(0))
		w.op("VMAXPS V0, V5, V1")
		w.op("VMULPS V6, V1, V2")
		w.op("VCVTPS2DQ V2, V3")
		w.op("VCVTDQ2PS V3, V2")
		w.op("VFNMADD231PS V7, V2, V1")
		w.op("VFNMADD231PS V8, V2, V1")
		w.op("VMOVAPS V9, V4")
		for c := 10; c < 15; c++ {
			w.op("VFMADD213PS V%d, V1, V4", c)
		}
		w.op("VMULPS V1, V1, V2")
		w.op("VFMADD213PS V1, V2, V4")
		w.op("VPADDD V15, V3, V3")
		w.op("VPSLLD $23, V3, V3")
		one(w, 2)
		w.op("VSUBPS V2, V3, V2")
		w.op("VFMADD213PS V2, V3, V4")
		selectNegative(w, 4, 0)
		w.op("VMOVUPS V0, %s", at(0))
	})
}

// one sets a register to 1: the exponent's bias, shifted into place.
func one(w *writer, r int) { w.op("VPSLLD $23, V15, V%d", r) }

// selectNegative moves a to b where b is negative.
func selectNegative(w *writer, a, b int) {
	if w.lanes == 16 {
		w.op("VPMOVD2M V%d, K1", b)
		w.op("VMOVAPS V%d, K1, V%d", a, b)
	} else {
		w.op("VBLENDVPS V%d, V%d, V%d, V%d", b, a, b, b)
	}
}

// eluGrad multiplies by min(y, 0) + 1; a NaN in y stays one.
func eluGrad(w *writer) {
	flat(w, "eluGrad", "ELUGrad over n vectors: g, y.", 2, nil, func() {
		w.op("VXORPS V4, V4, V4")
		w.op("VBROADCASTSS ·oneTable(SB), V5")
	}, func() {
		w.op("VMOVUPS %s, V0", at(1))
		w.op("VMINPS V0, V4, V0")
		w.op("VADDPS V5, V0, V0")
		w.op("VMULPS %s, V0, V0", at(0))
		w.op("VMOVUPS V0, %s", at(0))
	})
}

func clamp(w *writer) {
	flat(w, "clamp", "Clamp over n vectors.", 1, []string{"limit"}, func() {
		w.op("VXORPS V4, V4, V4")
	}, func() {
		w.op("VMOVUPS %s, V0", at(0))
		w.op("VMAXPS V0, V4, V0")
		w.op("VMINPS V0, V15, V0")
		w.op("VMOVUPS V0, %s", at(0))
	})
	flat(w, "clampGrad", "ClampGrad over n vectors: g, y.", 2, []string{"limit"}, func() {
		w.op("VXORPS V4, V4, V4")
	}, func() {
		w.op("VMOVUPS %s, V0", at(1))
		w.op("VMOVUPS %s, V1", at(0))
		if w.lanes == 16 {
			w.op("VCMPPS $1, V0, V4, K1")
			w.op("VCMPPS $1, V15, V0, K1, K2")
			w.op("VMOVAPS.Z V1, K2, V1")
		} else {
			w.op("VCMPPS $1, V0, V4, V2")
			w.op("VCMPPS $1, V15, V0, V3")
			w.op("VANDPS V2, V3, V2")
			w.op("VANDPS V2, V1, V1")
		}
		w.op("VMOVUPS V1, %s", at(0))
	})
}

// adam follows the loop; scalars as in AdamStep.
func adam(w *writer) {
	names := []string{"invBeta1", "beta2", "invBeta2", "step", "root", "eps", "keep"}
	flat(w, "adam", "Adam over n vectors: p, g, m, v.", 4, names, nothing, func() {
		invBeta1, beta2, invBeta2, step, root, eps, keep := 15, 14, 13, 12, 11, 10, 9
		w.op("VMOVUPS %s, V0", at(1))
		w.op("VMOVUPS %s, V1", at(2))
		w.op("VSUBPS V1, V0, V2")
		w.op("VFMADD231PS V%d, V2, V1", invBeta1)
		w.op("VMOVUPS V1, %s", at(2))
		w.op("VMULPS V0, V0, V0")
		w.op("VMULPS V%d, V0, V0", invBeta2)
		w.op("VMOVUPS %s, V2", at(3))
		w.op("VFMADD231PS V%d, V2, V0", beta2)
		w.op("VMOVUPS V0, %s", at(3))
		w.op("VSQRTPS V0, V0")
		w.op("VFMADD213PS V%d, V%d, V0", eps, root)
		w.op("VMULPS V%d, V1, V1", step)
		w.op("VDIVPS V0, V1, V1")
		w.op("VMOVUPS %s, V2", at(0))
		w.op("VFMSUB213PS V1, V%d, V2", keep)
		w.op("VMOVUPS V2, %s", at(0))
	})
}

// drop hashes the counters in V9, keeps what is not below the limit, and
// scales it.
func drop(w *writer) {
	k0, k1, limit, scale := 15, 14, 13, 12
	xor := "VPXOR"
	if w.lanes == 16 {
		xor = "VPXORD"
	}
	mix := func() {
		for i, shift := range []int{16, 15, 16} {
			w.op("VPSRLD $%d, V0, V1", shift)
			w.op("%s V1, V0, V0", xor)
			if i < 2 {
				w.op("VPMULLD V%d, V0, V0", 11-i)
			}
		}
	}
	flat(w, "drop", "Drop over n vectors.", 1, []string{"k0", "k1", "limit", "scale"}, func() {
		w.op("VBROADCASTSS ·mixTable+0(SB), V11")
		w.op("VBROADCASTSS ·mixTable+4(SB), V10")
		w.op("VMOVUPS ·countTable(SB), V9")
		w.op("VBROADCASTSS ·mixTable+%d(SB), V8", 4+4*w.lanes/8)
	}, func() {
		w.op("%s V9, V%d, V0", xor, k0)
		mix()
		w.op("VPADDD V%d, V0, V0", k1)
		mix()
		w.op("VMULPS %s, V%d, V1", at(0), scale)
		if w.lanes == 16 {
			w.op("VPCMPUD $5, V%d, V0, K1", limit)
			w.op("VMOVAPS.Z V1, K1, V1")
		} else {
			w.op("VPMAXUD V%d, V0, V2", limit)
			w.op("VPCMPEQD V0, V2, V2")
			w.op("VANDPS V2, V1, V1")
		}
		w.op("VMOVUPS V1, %s", at(0))
		w.op("VPADDD V8, V9, V9")
	})
}

// windows writes a kernel over a row of 2x2 windows: n of them, v vectors of
// channels each, the second row of pixels row bytes after the first. Pointers
// are to pixels, to a row of the output, and then to channels' values. In body
// V0 to V3 hold the window and V4 its largest value, or its smallest where
// the channel's value in V8 is negative.
func windows(w *writer, name, doc string, pixels, channels int, enter, body, leave func()) {
	all := pixels + 1 + channels
	w.function(name, doc, 24+8*all)
	w.op("MOVQ row+16(FP), R10")
	loadPointers(w, all, 24)
	w.op("MOVQ v+8(FP), R15")
	w.op("MOVQ R15, R11")
	w.op("IMULQ $%d, R11", w.bytes())
	w.op("MOVQ n+0(FP), R8")
	w.op("IMULQ R11, R8")
	w.label("column")
	enter()
	if w.lanes == 16 {
		w.op("VPMOVD2M V8, K2")
	}
	w.op("XORQ R12, R12")
	w.op("XORQ R13, R13")
	w.label("window")
	corners(w, "AX", func(i int, at string) { w.op("VMOVUPS %s, V%d", at, i) })
	for r, most := range []string{"VMAXPS", "VMINPS"} {
		w.op("%s V1, V0, V%d", most, 4+r)
		w.op("%s V3, V2, V6", most)
		w.op("%s V6, V%d, V%d", most, 4+r, 4+r)
	}
	if w.lanes == 16 {
		w.op("VMOVAPS V5, K2, V4")
	} else {
		w.op("VBLENDVPS V8, V5, V4, V4")
	}
	body()
	w.op("LEAQ (R12)(R11*2), R12")
	w.op("ADDQ R11, R13")
	w.op("CMPQ R13, R8")
	w.op("JLT window")
	leave()
	for i := range all {
		w.op("ADDQ $%d, %s", w.bytes(), pointers[i])
	}
	w.op("DECQ R15")
	w.op("JNZ column")
	w.end()
}

// corners visits the four pixels of a window.
func corners(w *writer, pointer string, f func(i int, at string)) {
	w.op("LEAQ (%s)(R12*1), R9", pointer)
	for i := range 4 {
		if i == 2 {
			w.op("ADDQ R10, R9")
		}
		f(i, []string{"(R9)", "(R9)(R11*1)"}[i%2])
	}
}

func pools(w *writer) {
	windows(w, "normPool", "NormPool over n windows of v vectors: x, y, scale, shift.", 1, 2, func() {
		w.op("VMOVUPS (CX), V8")
		w.op("VMOVUPS (DX), V9")
	}, func() {
		w.op("VFMADD213PS V9, V8, V4")
		w.op("VMOVUPS V4, (BX)(R13*1)")
	}, nothing)
	windows(w, "normPoolMoments", "NormPoolMoments over n windows of v vectors: x, dy, scale, sum, dot, mean.", 1, 4, func() {
		for i, p := range []string{"CX", "DX", "SI", "DI"} {
			w.op("VMOVUPS (%s), V%d", p, 8+i)
		}
	}, func() {
		w.op("VMOVUPS (BX)(R13*1), V5")
		w.op("VADDPS V5, V9, V9")
		w.op("VSUBPS V11, V4, V4")
		w.op("VFMADD231PS V5, V4, V10")
	}, func() {
		w.op("VMOVUPS V9, (DX)")
		w.op("VMOVUPS V10, (SI)")
	})
	windows(w, "normPoolGrad", "NormPoolGrad over n windows of v vectors: x, dx, dy, a, b, d.", 2, 3, func() {
		for i, p := range []string{"DX", "SI", "DI"} {
			w.op("VMOVUPS (%s), V%d", p, 8+i)
		}
	}, func() {
		w.op("VMOVUPS (CX)(R13*1), V5")
		corners(w, "BX", func(i int, at string) {
			takeEqual(w, i)
			w.op("VFMADD213PS V10, V9, V%d", i)
			w.op("VFMADD231PS V8, V6, V%d", i)
			w.op("VMOVUPS V%d, %s", i, at)
		})
	}, nothing)
}

// takeEqual moves what is left of V5 to V6 where V<i> is V4.
func takeEqual(w *writer, i int) {
	if w.lanes == 16 {
		w.op("VCMPPS $0, V4, V%d, K1", i)
		w.op("VMOVAPS.Z V5, K1, V6")
		w.op("VXORPS V5, V5, K1, V5")
		return
	}
	w.op("VCMPPS $0, V4, V%d, V7", i)
	w.op("VANDPS V5, V7, V6")
	w.op("VANDNPS V5, V7, V5")
}

// rowKernels are the kernels with one value a channel.
func rowKernels(w *writer) {
	load := func(i, r int) { w.op("VMOVUPS %s, V%d", at(i), r) }
	store := func(r, i int) { w.op("VMOVUPS V%d, %s", r, at(i)) }
	rows(w, "sumRows", "SumRows over n rows of v vectors: x, sum.", 1, 1,
		func() { load(1, 0) },
		func() { w.op("VADDPS %s, V0, V0", at(0)) },
		func() { store(0, 1) })
	rows(w, "addRow", "AddRow over n rows of v vectors: x, v.", 1, 1,
		func() { load(1, 0) },
		func() { w.op("VADDPS %s, V0, V1", at(0)); store(1, 0) }, nothing)
	rows(w, "moments", "Moments over n rows of v vectors: x, sum, sq, shift.", 1, 3,
		func() { load(1, 0); load(2, 1); load(3, 2) },
		func() {
			load(0, 3)
			w.op("VSUBPS V2, V3, V3")
			w.op("VADDPS V3, V0, V0")
			w.op("VFMADD231PS V3, V3, V1")
		},
		func() { store(0, 1); store(1, 2) })
	rows(w, "affine", "Affine over n rows of v vectors: y, x, scale, shift.", 2, 2,
		func() { load(2, 0); load(3, 1) },
		func() { load(1, 2); w.op("VFMADD213PS V1, V0, V2"); store(2, 0) }, nothing)
	rows(w, "gradMoments", "GradMoments over n rows of v vectors: g, x, sum, dot, mean.", 2, 3,
		func() { load(2, 0); load(3, 1); load(4, 2) },
		func() {
			load(0, 3)
			load(1, 4)
			w.op("VADDPS V3, V0, V0")
			w.op("VSUBPS V2, V4, V4")
			w.op("VFMADD231PS V3, V4, V1")
		},
		func() { store(0, 2); store(1, 3) })
	rows(w, "affine2", "Affine2 over n rows of v vectors: g, x, a, b, d.", 2, 3,
		func() { load(2, 0); load(3, 1); load(4, 2) },
		func() {
			w.op("VMOVAPS V2, V3")
			load(0, 4)
			w.op("VFMADD231PS V4, V0, V3")
			w.op("VFMADD231PS %s, V1, V3", at(1))
			store(3, 0)
		}, nothing)
}
