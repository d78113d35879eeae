package main

import "fmt"

// Go's assembler lacks many of the vector instructions; these functions encode
// them, as the Arm Architecture Reference Manual (DDI 0487, C7.2) lays out, and
// leave their names in a comment. d, n and m are register numbers.

func (w *writer) word(code uint32, format string, args ...any) {
	w.op("WORD $0x%08x // %s", code, fmt.Sprintf(format, args...))
}

// three encodes an instruction of three registers.
func (w *writer) three(base uint32, name, form string, d, n, m int) {
	w.word(base|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.%s, v%d.%s, v%d.%s", name, d, form, n, form, m, form)
}

// two encodes an instruction of two registers.
func (w *writer) two(base uint32, name, dform, nform string, d, n int) {
	w.word(base|uint32(n)<<5|uint32(d), "%s v%d.%s, v%d.%s", name, d, dform, n, nform)
}

// sdot adds four products of bytes to each of four sums; the right factors are
// the four bytes at place i of m.
func (w *writer) sdot(d, n, m, i int) {
	w.word(0x4f80e000|uint32(i&1)<<21|uint32(m)<<16|uint32(i>>1)<<11|uint32(n)<<5|uint32(d),
		"sdot v%d.4s, v%d.16b, v%d.4b[%d]", d, n, m, i)
}

// fmla adds n times element i of m.
func (w *writer) fmla(d, n, m, i int) {
	w.word(0x4f801000|uint32(i&1)<<21|uint32(m)<<16|uint32(i>>1)<<11|uint32(n)<<5|uint32(d),
		"fmla v%d.4s, v%d.4s, v%d.s[%d]", d, n, m, i)
}

func arm64() []byte {
	w := newWriter()
	arm64Constants(w)
	for mr := 1; mr <= 6; mr++ {
		tileDot(w, mr)
		tileMull(w, mr)
		tileFmla(w, mr)
	}
	requantNEON(w, false)
	requantNEON(w, true)
	lookupNEON(w)
	maxNEON(w)
	addInt8NEON(w)
	sumInt8NEON(w)
	addFloat32NEON(w)
	depthNEON(w, "Int8")
	depthNEON(w, "Float32")
	finishNEON(w)
	scaleNEON(w)
	eluNEON(w)
	return w.Bytes()
}

// tileHeadNEON loads the fields of a tile: R0 the tile, R1 weights, R4.. the
// pixels, R2 runs left, R3 what remains to the next run when one is done.
func tileHeadNEON(w *writer, typ string, mr, unit int) {
	w.op("MOVD t+0(FP), R0")
	field := func(name, reg string) {
		w.op("MOVD Tile%s_%s(R0), %s", typ, name, reg)
		if unit > 1 {
			w.op("LSL $2, %s", reg)
		}
	}
	w.op("MOVD Tile%s_W(R0), R1", typ)
	w.op("MOVD Tile%s_A(R0), R4", typ)
	field("AStep", "R10")
	for i := 1; i < mr; i++ {
		w.op("ADD R10, R%d, R%d", 3+i, 4+i)
	}
	field("RunStep", "R3")
	field("RunLen", "R12")
	w.op("SUB R12, R3")
	w.op("MOVD Tile%s_Runs(R0), R2", typ)
}

// tileLoopNEON writes the loops over runs and 16 bytes of each pixel.
func tileLoopNEON(w *writer, mr int, body func()) {
	w.label("run")
	w.op("MOVD R12, R11")
	w.label("next")
	body()
	w.op("SUBS $16, R11")
	w.op("BNE next")
	for i := range mr {
		w.op("ADD R3, R%d", 4+i)
	}
	w.op("SUBS $1, R2")
	w.op("BNE run")
}

// tileStoreNEON writes sums of one register for 16/per channels; acc gives the
// register of pixel i, place j.
func tileStoreNEON(w *writer, typ string, mr int) {
	w.op("MOVD Tile%s_Acc(R0), R4", typ)
	w.op("MOVD Tile%s_AccStep(R0), R10", typ)
	for i := range mr {
		w.op("VST1 [V%d.S4, V%d.S4, V%d.S4, V%d.S4], (R4)", 4*i, 4*i+1, 4*i+2, 4*i+3)
		if i < mr-1 {
			w.op("ADD R10<<2, R4")
		}
	}
	w.op("RET")
}

func zeroNEON(w *writer, n int) {
	for i := range n {
		w.op("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
}

// tileDot holds mr pixels of 16 channels in V0..V23, with the instruction SDOT
// of Armv8.2.
func tileDot(w *writer, mr int) {
	w.text(fmt.Sprintf("tileDotx%d", mr), 8, fmt.Sprintf("func tileDotx%d(t *TileInt8): %d pixels, 16 channels.", mr, mr))
	tileHeadNEON(w, "Int8", mr, 1)
	zeroNEON(w, 4*mr)
	tileLoopNEON(w, mr, func() {
		for i := range mr {
			w.op("FMOVQ.P 16(R%d), F%d", 4+i, 24+i)
		}
		for k := range 4 {
			for half := range 2 {
				w.op("FLDPQ.P 32(R1), (F30, F31)")
				for i := range mr {
					w.sdot(4*i+2*half, 30, 24+i, k)
				}
				for i := range mr {
					w.sdot(4*i+2*half+1, 31, 24+i, k)
				}
			}
		}
	})
	tileStoreNEON(w, "Int8", mr)
}

// tileMull holds mr pixels of 4 channels in V0..V23, each sum in four parts:
// two products of bytes fit 16 bits, unless both factors are -128 twice, so
// weights must not be -128.
func tileMull(w *writer, mr int) {
	w.text(fmt.Sprintf("tileMullx%d", mr), 8, fmt.Sprintf("func tileMullx%d(t *TileInt8): %d pixels, 4 channels.", mr, mr))
	tileHeadNEON(w, "Int8", mr, 1)
	zeroNEON(w, 4*mr)
	tileLoopNEON(w, mr, func() {
		w.op("VLD1.P 64(R1), [V24.B16, V25.B16, V26.B16, V27.B16]")
		for i := range mr {
			w.op("FMOVQ.P 16(R%d), F28", 4+i)
			// Three products are under way at a time.
			mul := func(j int) {
				w.word(0x0e20c000|28<<16|uint32(24+j)<<5|uint32(29+j%3), "smull v%d.8h, v%d.8b, v28.8b", 29+j%3, 24+j)
				w.word(0x4e208000|28<<16|uint32(24+j)<<5|uint32(29+j%3), "smlal2 v%d.8h, v%d.16b, v28.16b", 29+j%3, 24+j)
			}
			add := func(j int) { w.two(0x4e606800, "sadalp", "4s", "8h", 4*i+j, 29+j%3) }
			mul(0)
			mul(1)
			mul(2)
			add(0)
			mul(3)
			add(1)
			add(2)
			add(3)
		}
	})
	w.op("MOVD TileInt8_Acc(R0), R4")
	w.op("MOVD TileInt8_AccStep(R0), R10")
	for i := range mr {
		const addp = 0x4ea0bc00
		w.three(addp, "addp", "4s", 4*i, 4*i, 4*i+1)
		w.three(addp, "addp", "4s", 4*i+2, 4*i+2, 4*i+3)
		w.three(addp, "addp", "4s", 4*i, 4*i, 4*i+2)
		w.op("FMOVQ F%d, (R4)", 4*i)
		if i < mr-1 {
			w.op("ADD R10<<2, R4")
		}
	}
	w.op("RET")
}

// tileFmla holds mr pixels of 16 channels in V0..V23.
func tileFmla(w *writer, mr int) {
	w.text(fmt.Sprintf("tileFmlax%d", mr), 8, fmt.Sprintf("func tileFmlax%d(t *TileFloat32): %d pixels, 16 channels.", mr, mr))
	tileHeadNEON(w, "Float32", mr, 4)
	zeroNEON(w, 4*mr)
	tileLoopNEON(w, mr, func() {
		for i := range mr {
			w.op("FMOVQ.P 16(R%d), F%d", 4+i, 24+i)
		}
		for k := range 4 {
			for half := range 2 {
				w.op("FLDPQ.P 32(R1), (F30, F31)")
				for i := range mr {
					w.fmla(4*i+2*half, 30, 24+i, k)
				}
				for i := range mr {
					w.fmla(4*i+2*half+1, 31, 24+i, k)
				}
			}
		}
	})
	tileStoreNEON(w, "Float32", mr)
}

// requantNEON writes requant, or affine, for groups of 16 channels and, within,
// pixels: what belongs to a group stays in V8..V15 and V24..V27.
func requantNEON(w *writer, affine bool) {
	size, steps := 4, []string{"dstStep+72", "accStep+80"}
	if affine {
		size, steps = 1, []string{"step+96", "step+96"}
		w.text("affineNEON", 104, "func affineNEON(dst, src []int8, w []int32, e *Epilogue, n, channels, step int): whole sixteens.")
		w.op("MOVD src_base+24(FP), R2")
		w.op("MOVD w_base+48(FP), R9")
		w.op("MOVD e+72(FP), R3")
		w.op("MOVD n+80(FP), R10")
		w.op("MOVD channels+88(FP), R1")
	} else {
		w.text("requantNEON", 88, "func requantNEON(dst []int8, acc []int32, e *Epilogue, n, channels, dstStep, accStep int): whole sixteens.")
		w.op("MOVD acc_base+24(FP), R2")
		w.op("MOVD e+48(FP), R3")
		w.op("MOVD n+56(FP), R10")
		w.op("MOVD channels+64(FP), R1")
	}
	w.op("MOVD dst_base+0(FP), R0")
	w.op("MOVD %s(FP), R11", steps[0])
	w.op("MOVD %s(FP), R12", steps[1])
	if !affine {
		w.op("LSL $2, R12")
	}
	for i, f := range []string{"Bias", "Scale"} {
		w.op("MOVD Epilogue_%s(R3), R%d", f, 4+i)
	}
	for i, f := range []string{"Zero", "Lo", "Hi"} {
		w.op("MOVW Epilogue_%s(R3), R8", f)
		w.op("VDUP R8, V%d.S4", 28+i)
	}
	each := func(f func(i int)) {
		for i := range 4 {
			f(i)
		}
	}
	w.label("group")
	for i := range 2 { // bias, scale: four registers each
		w.op("VLD1.P 64(R%d), [V%d.S4, V%d.S4, V%d.S4, V%d.S4]", 4+i, 8+4*i, 9+4*i, 10+4*i, 11+4*i)
	}
	if affine {
		w.op("VLD1.P 64(R9), [V24.S4, V25.S4, V26.S4, V27.S4]")
	}
	w.op("MOVD R0, R13")
	w.op("MOVD R2, R14")
	w.op("MOVD R10, R15")
	w.label("pixel")
	if affine {
		w.op("FMOVQ (R14), F4")
		w.two(0x0f08a400, "sxtl", "8h", "8b", 5, 4)
		w.two(0x4f08a400, "sxtl2", "8h", "16b", 6, 4)
		w.two(0x0f10a400, "sxtl", "4s", "4h", 0, 5)
		w.two(0x4f10a400, "sxtl2", "4s", "8h", 1, 5)
		w.two(0x0f10a400, "sxtl", "4s", "4h", 2, 6)
		w.two(0x4f10a400, "sxtl2", "4s", "8h", 3, 6)
		each(func(i int) { w.three(0x4ea09c00, "mul", "4s", i, i, 24+i) })
	} else {
		w.op("VLD1 (R14), [V0.S4, V1.S4, V2.S4, V3.S4]")
	}
	each(func(i int) { w.op("VADD V%d.S4, V%d.S4, V%d.S4", 8+i, i, i) })
	each(func(i int) { w.two(0x4e21d800, "scvtf", "4s", "4s", i, i) })
	each(func(i int) { w.three(0x6e20dc00, "fmul", "4s", i, i, 12+i) })
	each(func(i int) { w.three(0x4e20f400, "fmax", "4s", i, i, 29) })
	each(func(i int) { w.three(0x4ea0f400, "fmin", "4s", i, i, 30) })
	each(func(i int) { w.two(0x4e21a800, "fcvtns", "4s", "4s", i, i) })
	each(func(i int) { w.op("VADD V28.S4, V%d.S4, V%d.S4", i, i) })
	w.two(0x0e612800, "xtn", "4h", "4s", 0, 0)
	w.two(0x4e612800, "xtn2", "8h", "4s", 0, 1)
	w.two(0x0e612800, "xtn", "4h", "4s", 2, 2)
	w.two(0x4e612800, "xtn2", "8h", "4s", 2, 3)
	w.two(0x0e212800, "xtn", "8b", "8h", 0, 0)
	w.two(0x4e212800, "xtn2", "16b", "8h", 0, 2)
	w.op("FMOVQ F0, (R13)")
	w.op("ADD R11, R13")
	w.op("ADD R12, R14")
	w.op("SUBS $1, R15")
	w.op("BNE pixel")
	w.op("ADD $16, R0")
	w.op("ADD $%d, R2", 16*size)
	w.op("SUBS $16, R1")
	w.op("BGT group")
	w.op("RET")
}

// loopNEON writes a loop over R1 elements, lanes at a time; what is left over
// is the caller's.
func loopNEON(w *writer, lanes int, body func()) {
	w.label("next")
	w.op("SUBS $%d, R1", lanes)
	w.op("BLT done")
	body()
	w.op("B next")
	w.label("done")
	w.op("RET")
}

func lookupNEON(w *writer) {
	w.text("lookupNEON", 56, "func lookupNEON(dst, src []int8, table *[256]int8): whole sixteens.")
	w.op("MOVD dst_base+0(FP), R0")
	w.op("MOVD dst_len+8(FP), R1")
	w.op("MOVD src_base+24(FP), R2")
	w.op("MOVD table+48(FP), R3")
	for i := 0; i < 16; i += 4 {
		w.op("VLD1.P 64(R3), [V%d.B16, V%d.B16, V%d.B16, V%d.B16]", i, i+1, i+2, i+3)
	}
	w.op("MOVD $64, R4")
	w.op("VDUP R4, V31.B16")
	loopNEON(w, 16, func() {
		w.op("FMOVQ.P 16(R2), F16")
		w.word(0x4e006000|16<<16|0<<5|20, "tbl v20.16b, {v0.16b-v3.16b}, v16.16b")
		for i := 1; i < 4; i++ { // entries beyond a register's leave the result alone
			w.op("VSUB V31.B16, V16.B16, V16.B16")
			w.word(0x4e007000|16<<16|uint32(4*i)<<5|20, "tbx v20.16b, {v%d.16b-v%d.16b}, v16.16b", 4*i, 4*i+3)
		}
		w.op("FMOVQ.P F20, 16(R0)")
	})
}

func maxNEON(w *writer) {
	for _, f := range []struct {
		name, typ, op, form string
		code                uint32
		lanes               int
	}{{"maxInt8NEON", "int8", "smax", "16b", 0x4e206400, 16}, {"maxFloat32NEON", "float32", "fmax", "4s", 0x4e20f400, 4}} {
		w.text(f.name, 48, fmt.Sprintf("func %s(dst, src []%s): whole vectors.", f.name, f.typ))
		w.op("MOVD dst_base+0(FP), R0")
		w.op("MOVD dst_len+8(FP), R1")
		w.op("MOVD src_base+24(FP), R2")
		loopNEON(w, f.lanes, func() {
			w.op("FMOVQ (R0), F0")
			w.op("FMOVQ.P 16(R2), F1")
			w.three(f.code, f.op, f.form, 0, 0, 1)
			w.op("FMOVQ.P F0, 16(R0)")
		})
	}
}

// addInt8NEON has the constants in V16..V23, in the order of the fields of
// AddInt8: as wide as they are used.
func addInt8NEON(w *writer) {
	w.text("addInt8NEON", 80, "func addInt8NEON(dst, x, y []int8, a *AddInt8): whole sixteens.")
	w.op("MOVD dst_base+0(FP), R0")
	w.op("MOVD dst_len+8(FP), R1")
	w.op("MOVD x_base+24(FP), R2")
	w.op("MOVD y_base+48(FP), R3")
	w.op("MOVD a+72(FP), R4")
	for i, f := range []struct{ name, form string }{{"ZeroX", "B16"}, {"ZeroY", "B16"}, {"FactorX", "S4"}, {"FactorY", "S4"},
		{"Shift", "S4"}, {"Zero", "H8"}, {"Lo", "B16"}, {"Hi", "B16"}} {
		w.op("MOVW AddInt8_%s(R4), R5", f.name)
		w.op("VDUP R5, V%d.%s", 16+i, f.form)
	}
	w.two(0x6ea0b800, "neg", "4s", "4s", 20, 20)
	each := func(f func(i int)) {
		for i := range 4 {
			f(i)
		}
	}
	// wide makes 32 bits in d..d+3 of the 16 in V4 and V5.
	wide := func(d int) {
		for i := range 2 {
			w.two(0x0f10a400, "sxtl", "4s", "4h", d+2*i, 4+i)
			w.two(0x4f10a400, "sxtl2", "4s", "8h", d+2*i+1, 4+i)
		}
	}
	loopNEON(w, 16, func() {
		for i := range 2 {
			w.op("FMOVQ.P 16(R%d), F6", 2+i)
			w.word(0x0e202000|uint32(16+i)<<16|6<<5|4, "ssubl v4.8h, v6.8b, v%d.8b", 16+i)
			w.word(0x4e202000|uint32(16+i)<<16|6<<5|5, "ssubl2 v5.8h, v6.16b, v%d.16b", 16+i)
			wide(24 * i)
		}
		each(func(i int) { w.three(0x4ea09c00, "mul", "4s", i, i, 18) })
		each(func(i int) { w.three(0x4ea09400, "mla", "4s", i, 24+i, 19) })
		each(func(i int) { w.three(0x4ea05400, "srshl", "4s", i, i, 20) })
		for i := range 2 {
			w.two(0x0e614800, "sqxtn", "4h", "4s", 2*i, 2*i)
			w.two(0x4e614800, "sqxtn2", "8h", "4s", 2*i, 2*i+1)
			w.three(0x4e600c00, "sqadd", "8h", 2*i, 2*i, 21)
		}
		w.two(0x0e214800, "sqxtn", "8b", "8h", 0, 0)
		w.two(0x4e214800, "sqxtn2", "16b", "8h", 0, 2)
		w.three(0x4e206400, "smax", "16b", 0, 0, 22)
		w.three(0x4e206c00, "smin", "16b", 0, 0, 23)
		w.op("FMOVQ.P F0, 16(R0)")
	})
}

func sumInt8NEON(w *writer) {
	w.text("sumInt8NEON", 48, "func sumInt8NEON(acc []int32, src []int8): whole sixteens.")
	w.op("MOVD acc_base+0(FP), R0")
	w.op("MOVD acc_len+8(FP), R1")
	w.op("MOVD src_base+24(FP), R2")
	loopNEON(w, 16, func() {
		w.op("FMOVQ.P 16(R2), F0")
		w.two(0x0f08a400, "sxtl", "8h", "8b", 1, 0)
		w.two(0x4f08a400, "sxtl2", "8h", "16b", 2, 0)
		w.op("VLD1 (R0), [V4.S4, V5.S4, V6.S4, V7.S4]")
		addPairs(w, 4, 1)
		w.op("VST1.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R0)")
	})
}

// addPairs adds the 16 bits of n and n+1 to the 32 of d..d+3.
func addPairs(w *writer, d, n int) {
	for i := range 2 {
		w.word(0x0e601000|uint32(n+i)<<16|uint32(d+2*i)<<5|uint32(d+2*i), "saddw v%d.4s, v%d.4s, v%d.4h", d+2*i, d+2*i, n+i)
		w.word(0x4e601000|uint32(n+i)<<16|uint32(d+2*i+1)<<5|uint32(d+2*i+1), "saddw2 v%d.4s, v%d.4s, v%d.8h", d+2*i+1, d+2*i+1, n+i)
	}
}

func addFloat32NEON(w *writer) {
	w.text("addFloat32NEON", 80, "func addFloat32NEON(dst, x, y []float32, lo, hi float32): whole fours.")
	w.op("MOVD dst_base+0(FP), R0")
	w.op("MOVD dst_len+8(FP), R1")
	w.op("MOVD x_base+24(FP), R2")
	w.op("MOVD y_base+48(FP), R3")
	w.op("MOVWU lo+72(FP), R4")
	w.op("VDUP R4, V2.S4")
	w.op("MOVWU hi+76(FP), R4")
	w.op("VDUP R4, V3.S4")
	loopNEON(w, 4, func() {
		w.op("FMOVQ.P 16(R2), F0")
		w.op("FMOVQ.P 16(R3), F1")
		w.three(0x4e20d400, "fadd", "4s", 0, 0, 1)
		w.three(0x4e20f400, "fmax", "4s", 0, 0, 2)
		w.three(0x4ea0f400, "fmin", "4s", 0, 0, 3)
		w.op("FMOVQ.P F0, 16(R0)")
	})
}

// depthNEON holds 16 channels in V0..V3.
func depthNEON(w *writer, typ string) {
	w.text(fmt.Sprintf("depth%sNEON", typ), 8, fmt.Sprintf("func depth%sNEON(t *Depth%s)", typ, typ))
	w.op("MOVD t+0(FP), R0")
	shift := func(reg string) {
		if typ == "Float32" {
			w.op("LSL $2, %s", reg)
		}
	}
	size := 1
	if typ == "Float32" {
		size = 4
	}
	for i, f := range []string{"A", "W", "Acc", "Channels", "RunStep", "TapStep", "Channels"} {
		w.op("MOVD Depth%s_%s(R0), R%d", typ, f, 1+i)
		if i >= 4 {
			shift(fmt.Sprintf("R%d", 1+i))
		}
	}
	w.op("MOVD Depth%s_AStep(R0), R13", typ)
	shift("R13")
	w.op("MOVD Depth%s_Channels(R0), R14", typ)
	w.op("LSL $2, R14")
	w.label("group")
	w.op("MOVD Depth%s_Pixels(R0), R15", typ)
	w.op("MOVD R1, R16")
	w.op("MOVD R3, R17")
	w.label("pixel")
	zeroNEON(w, 4)
	w.op("MOVD R16, R8")
	w.op("MOVD R2, R9")
	w.op("MOVD Depth%s_Runs(R0), R10", typ)
	w.label("run")
	w.op("MOVD R8, R11")
	w.op("MOVD Depth%s_Taps(R0), R12", typ)
	w.label("tap")
	if typ == "Float32" {
		w.op("VLD1 (R11), [V4.S4, V5.S4, V6.S4, V7.S4]")
		w.op("VLD1 (R9), [V16.S4, V17.S4, V18.S4, V19.S4]")
		for i := range 4 {
			w.three(0x4e20cc00, "fmla", "4s", i, 4+i, 16+i)
		}
	} else {
		w.op("FMOVQ (R11), F4")
		w.op("FMOVQ (R9), F5")
		w.word(0x0e20c000|5<<16|4<<5|6, "smull v6.8h, v4.8b, v5.8b")
		w.word(0x4e20c000|5<<16|4<<5|7, "smull2 v7.8h, v4.16b, v5.16b")
		addPairs(w, 0, 6)
	}
	w.op("ADD R6, R11")
	w.op("ADD R7, R9")
	w.op("SUBS $1, R12")
	w.op("BNE tap")
	w.op("ADD R5, R8")
	w.op("SUBS $1, R10")
	w.op("BNE run")
	w.op("VST1 [V0.S4, V1.S4, V2.S4, V3.S4], (R17)")
	w.op("ADD R14, R17")
	w.op("ADD R13, R16")
	w.op("SUBS $1, R15")
	w.op("BNE pixel")
	w.op("ADD $64, R3")
	w.op("ADD $%d, R1", 16*size)
	w.op("ADD $%d, R2", 16*size)
	w.op("SUBS $16, R4")
	w.op("BGT group")
	w.op("RET")
}

func finishNEON(w *writer) {
	w.text("finishNEON", 80, "func finishNEON(dst, acc, bias []float32, lo, hi float32): one pixel, whole fours.")
	w.op("MOVD dst_base+0(FP), R0")
	w.op("MOVD dst_len+8(FP), R1")
	w.op("MOVD acc_base+24(FP), R2")
	w.op("MOVD bias_base+48(FP), R3")
	w.op("MOVWU lo+72(FP), R4")
	w.op("VDUP R4, V2.S4")
	w.op("MOVWU hi+76(FP), R4")
	w.op("VDUP R4, V3.S4")
	loopNEON(w, 4, func() {
		w.op("FMOVQ.P 16(R2), F0")
		w.op("FMOVQ.P 16(R3), F1")
		w.three(0x4e20d400, "fadd", "4s", 0, 0, 1)
		w.three(0x4e20f400, "fmax", "4s", 0, 0, 2)
		w.three(0x4ea0f400, "fmin", "4s", 0, 0, 3)
		w.op("FMOVQ.P F0, 16(R0)")
	})
}

func scaleNEON(w *writer) {
	w.text("scaleNEON", 96, "func scaleNEON(dst, src, m, a []float32): whole fours.")
	w.op("MOVD dst_base+0(FP), R0")
	w.op("MOVD dst_len+8(FP), R1")
	w.op("MOVD src_base+24(FP), R2")
	w.op("MOVD m_base+48(FP), R3")
	w.op("MOVD a_base+72(FP), R4")
	loopNEON(w, 4, func() {
		w.op("FMOVQ.P 16(R2), F0")
		w.op("FMOVQ.P 16(R3), F1")
		w.op("FMOVQ.P 16(R4), F2")
		w.three(0x4e20cc00, "fmla", "4s", 2, 0, 1)
		w.op("FMOVQ.P F2, 16(R0)")
	})
}

func arm64Constants(w *writer) {
	w.WriteString("\n// Constants of the exponential function, each four times.\n")
	for i, v := range expConstants {
		for j := range 4 {
			fmt.Fprintf(w, "DATA exp<>+%d(SB)/4, $%v\n", 16*i+4*j, v)
		}
	}
	fmt.Fprintf(w, "GLOBL exp<>(SB), RODATA|NOPTR, $%d\n", 16*len(expConstants))
}

// eluNEON is expm1 of the definition in Go, for all lanes, and a choice.
func eluNEON(w *writer) {
	w.text("eluNEON", 48, "func eluNEON(dst, src []float32): whole fours.")
	w.op("MOVD dst_base+0(FP), R0")
	w.op("MOVD dst_len+8(FP), R1")
	w.op("MOVD src_base+24(FP), R2")
	w.op("MOVD $exp<>(SB), R3")
	// 16..26: log2(e), ln2Hi, ln2Lo, seven coefficients, lowest.
	for i := range 11 {
		w.op("FMOVQ.P 16(R3), F%d", 16+i)
	}
	const fmla, fmls, fmul, fadd, fsub = 0x4e20cc00, 0x4ea0cc00, 0x6e20dc00, 0x4e20d400, 0x4ea0d400
	loopNEON(w, 4, func() {
		w.op("FMOVQ.P 16(R2), F0")
		w.three(0x4e20f400, "fmax", "4s", 1, 0, 26)
		w.three(fmul, "fmul", "4s", 2, 1, 16)
		w.two(0x4e21a800, "fcvtns", "4s", "4s", 3, 2)
		w.two(0x4e21d800, "scvtf", "4s", "4s", 2, 3)
		w.three(fmls, "fmls", "4s", 1, 2, 17)
		w.three(fmls, "fmls", "4s", 1, 2, 18)
		w.op("VMOV V19.B16, V2.B16")
		for i := 20; i <= 24; i++ { // p = p*r + c
			w.op("VMOV V%d.B16, V4.B16", i)
			w.three(fmla, "fmla", "4s", 4, 2, 1)
			w.op("VMOV V4.B16, V2.B16")
		}
		w.three(fmul, "fmul", "4s", 2, 2, 1)
		w.op("VMOV V1.B16, V4.B16")
		w.three(fmla, "fmla", "4s", 4, 2, 1) // exp of the remainder, less 1
		w.two(0x4f375400, "shl #23:", "4s", "4s", 3, 3)
		w.op("VADD V25.S4, V3.S4, V3.S4") // the power of two
		w.three(fsub, "fsub", "4s", 5, 3, 25)
		w.three(fmla, "fmla", "4s", 5, 4, 3)
		w.two(0x4ea0e800, "fcmlt #0:", "4s", "4s", 6, 0)
		w.three(0x6e601c00, "bsl", "16b", 6, 5, 0)
		w.op("FMOVQ.P F6, 16(R0)")
	})
}
