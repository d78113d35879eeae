package main

// bfloat writes the kernels that make and rearrange bfloat16 values.
func bfloat() string {
	w := newWriter(isa{"AVX512", "Z", 16})
	roundBF(w)
	pairs(w)
	planes(w)
	return w.String()
}

// roundBF adds half of the last place that stays, less one where that is even.
func roundBF(w *writer) {
	w.function("roundBF", "Round over n vectors of 16: src, dst.", 24)
	w.op("MOVQ n+0(FP), R9")
	loadPointers(w, 2, 8)
	w.op("VPBROADCASTD ·roundTable+0(SB), V5")
	w.op("VPBROADCASTD ·roundTable+4(SB), V6")
	w.label("loop")
	w.op("VMOVUPS (AX), V0")
	w.op("VPSRLD $16, V0, V1")
	w.op("VPANDD V5, V1, V1")
	w.op("VPADDD V6, V0, V0")
	w.op("VPADDD V1, V0, V0")
	w.op("VPSRLD $16, V0, V0")
	w.op("VPMOVDW V0, (BX)")
	w.op("ADDQ $64, AX")
	w.op("ADDQ $32, BX")
	w.op("DECQ R9")
	w.op("JNZ loop")
	w.end()
}

// pairs interleaves two rows of 32 channels.
func pairs(w *writer) {
	w.function("pairs", "Pairs over steps of 32 rows of 32 channels: src, dst, row; row in bytes.", 32)
	w.op("MOVQ steps+0(FP), R9")
	loadPointers(w, 2, 8)
	w.op("MOVQ row+24(FP), R11")
	w.op("VMOVDQU32 ·pairTable+0(SB), V4")
	w.op("VMOVDQU32 ·pairTable+64(SB), V5")
	w.label("step")
	w.op("MOVQ $16, R12")
	w.label("pair")
	w.op("VMOVDQU32 (AX), V0")
	w.op("VMOVDQU32 (AX)(R11*1), V1")
	w.op("VMOVDQA32 V4, V2")
	w.op("VMOVDQA32 V5, V3")
	w.op("VPERMI2W V1, V0, V2")
	w.op("VPERMI2W V1, V0, V3")
	w.op("VMOVDQU32 V2, (BX)")
	w.op("VMOVDQU32 V3, 1024(BX)")
	w.op("LEAQ (AX)(R11*2), AX")
	w.op("ADDQ $64, BX")
	w.op("DECQ R12")
	w.op("JNZ pair")
	w.op("ADDQ $1024, BX")
	w.op("DECQ R9")
	w.op("JNZ step")
	w.end()
}

// planes turns 32 rows of 16 channels into 16 rows: pairs of rows become
// vectors of 16 double words, which are transposed in four stages.
func planes(w *writer) {
	w.function("planes", "Planes over steps of 32 rows of 16 channels: src, dst, row, plane; row and plane in bytes.", 40)
	w.op("MOVQ steps+0(FP), R9")
	loadPointers(w, 2, 8)
	w.op("MOVQ row+24(FP), R11")
	w.op("MOVQ plane+32(FP), R12")
	w.label("step")
	for i := range 16 {
		w.op("VPMOVZXWD (AX), V%d", i)
		w.op("VPMOVZXWD (AX)(R11*1), V16")
		w.op("VPSLLD $16, V16, V16")
		w.op("VPORD V16, V%d, V%d", i, i)
		w.op("LEAQ (AX)(R11*2), AX")
	}
	transpose16(w)
	w.op("MOVQ BX, R13")
	for i := range 16 {
		w.op("VMOVDQU32 V%d, (R13)", i)
		if i < 15 {
			w.op("ADDQ R12, R13")
		}
	}
	w.op("ADDQ $64, BX")
	w.op("DECQ R9")
	w.op("JNZ step")
	w.end()
}

// transpose16 transposes V0 to V15 by way of V16 to V31.
func transpose16(w *writer) {
	two := func(op string, a, b, to int) { w.op("%s V%d, V%d, V%d", op, b, a, to) }
	for i := 0; i < 16; i += 2 { // pairs of rows
		two("VPUNPCKLDQ", i, i+1, 16+i)
		two("VPUNPCKHDQ", i, i+1, 16+i+1)
	}
	for i := 0; i < 16; i += 4 { // fours: column k of each 128 bits is in V<i+k>
		two("VPUNPCKLQDQ", 16+i, 16+i+2, i)
		two("VPUNPCKHQDQ", 16+i, 16+i+2, i+1)
		two("VPUNPCKLQDQ", 16+i+1, 16+i+3, i+2)
		two("VPUNPCKHQDQ", 16+i+1, 16+i+3, i+3)
	}
	shuffle := func(imm, a, b, to int) { w.op("VSHUFI32X4 $0x%02x, V%d, V%d, V%d", imm, b, a, to) }
	for k := range 4 { // 128-bit parts 0, 2 and 1, 3 of rows 0-7 and of 8-15
		shuffle(0x88, k, 4+k, 16+k)
		shuffle(0xdd, k, 4+k, 20+k)
		shuffle(0x88, 8+k, 12+k, 24+k)
		shuffle(0xdd, 8+k, 12+k, 28+k)
	}
	for k := range 4 {
		shuffle(0x88, 16+k, 24+k, k)
		shuffle(0x88, 20+k, 28+k, 4+k)
		shuffle(0xdd, 16+k, 24+k, 8+k)
		shuffle(0xdd, 20+k, 28+k, 12+k)
	}
}
