package main

import "fmt"

func amd64() []byte {
	w := newWriter()
	constants(w)
	for nr := 1; nr <= 2; nr++ {
		for mr := 1; mr <= 14; mr++ {
			tile512(w, "Int8", mr, nr)
			tile512(w, "Float32", mr, nr)
		}
	}
	for mr := 1; mr <= 6; mr++ {
		tile256(w, "Int8", mr)
		tile256(w, "Float32", mr)
	}
	requant512(w, false)
	requant512(w, true)
	requant256(w, false)
	requant256(w, true)
	lookup512(w)
	flip512(w)
	widen256(w)
	maxInt8(w, 512)
	maxInt8(w, 256)
	depth512(w, "Int8")
	depth512(w, "Float32")
	depth256(w, "Int8")
	depth256(w, "Float32")
	finish512(w)
	finish256(w)
	for _, bits := range []int{512, 256} {
		scale(w, bits)
		elu(w, bits)
		maxFloat32(w, bits)
		addInt8(w, bits)
		sumInt8(w, bits)
		addFloat32(w, bits)
	}
	return w.Bytes()
}

// constants of elu.
func constants(w *writer) {
	w.WriteString("\n// Constants of the exponential function.\n")
	for i, v := range expConstants {
		fmt.Fprintf(w, "DATA exp<>+%d(SB)/4, $%v\n", 4*i, v)
	}
	fmt.Fprintf(w, "GLOBL exp<>(SB), RODATA|NOPTR, $%d\n", 4*len(expConstants))
}

// expConstants are those of expm1 in Go, in the order in which elu loads them.
var expConstants = []string{
	"0x3fb8aa3b", // log2(e)
	"0x3f317200", // ln2Hi
	"0x35bfbe8e", // ln2Lo
	"0x39500d01", // 1/5040
	"0x3ab60b61", // 1/720
	"0x3c088889", // 1/120
	"0x3d2aaaab", // 1/24
	"0x3e2aaaab", // 1/6
	"0x3f000000", // 1/2
	"0x3f800000", // 1
	"0xc18c0000", // -17.5
}

// tileHead loads the fields of a tile. Registers: DI the tile, SI the weights,
// DX the step to the next panel, R8..R11 pixels 0, 4, 8, 12, BX the step to the
// next pixel, CX three of them, R12 the runs left, AX what remains to the next
// run when one is done. unit is the number of bytes of what the fields count.
func tileHead(w *writer, typ string, mr, unit int) {
	w.op("MOVQ t+0(FP), DI")
	field := func(name, reg string) {
		w.op("MOVQ Tile%s_%s(DI), %s", typ, name, reg)
		if unit > 1 {
			w.op("SHLQ $2, %s", reg)
		}
	}
	w.op("MOVQ Tile%s_W(DI), SI", typ)
	w.op("MOVQ Tile%s_A(DI), R8", typ)
	field("WStep", "DX")
	field("AStep", "BX")
	field("RunStep", "AX")
	field("RunLen", "R13")
	w.op("SUBQ R13, AX")
	w.op("LEAQ (BX)(BX*2), CX")
	for g := 1; g*4 < mr; g++ {
		w.op("LEAQ (R%d)(BX*4), R%d", 7+g, 8+g)
	}
	w.op("MOVQ Tile%s_Runs(DI), R12", typ)
}

// pixel is the address of pixel i.
func pixel(i int) string {
	return fmt.Sprintf([]string{"(R%d)", "(R%d)(BX*1)", "(R%d)(BX*2)", "(R%d)(CX*1)"}[i%4], 8+i/4)
}

// tileLoop writes the loops over runs and, four bytes of each pixel at a time,
// over their values.
func tileLoop(w *writer, typ string, mr, unit int, body func()) {
	w.label("run")
	w.op("MOVQ Tile%s_RunLen(DI), R13", typ)
	if unit > 1 {
		w.op("SHLQ $2, R13")
	}
	w.label("next")
	body()
	w.op("ADDQ $64, SI")
	for g := 0; g*4 < mr; g++ {
		w.op("ADDQ $4, R%d", 8+g)
	}
	w.op("SUBQ $4, R13")
	w.op("JNE next")
	for g := 0; g*4 < mr; g++ {
		w.op("ADDQ AX, R%d", 8+g)
	}
	w.op("DECQ R12")
	w.op("JNE run")
	w.op("MOVQ Tile%s_Acc(DI), R8", typ)
	w.op("MOVQ Tile%s_AccStep(DI), BX", typ)
	w.op("SHLQ $2, BX")
}

// tile512 holds mr pixels of nr panels of 16 channels in Z0..Z27. In int8, an
// instruction adds four products of activations of 0..255 and weights.
func tile512(w *writer, typ string, mr, nr int) {
	w.text(fmt.Sprintf("tile%s512x%dx%d", typ, mr, nr), 8,
		fmt.Sprintf("func tile%s512x%dx%d(t *Tile%s): %d pixels, %d channels.", typ, mr, nr, typ, mr, 16*nr))
	unit, mul := 1, "VPDPBUSD"
	if typ == "Float32" {
		unit, mul = 4, "VFMADD231PS"
	}
	tileHead(w, typ, mr, unit)
	for i := range mr * nr {
		w.op("VPXORD Z%d, Z%d, Z%d", i, i, i)
	}
	tileLoop(w, typ, mr, unit, func() {
		w.op("VMOVUPS (SI), Z30")
		if nr == 2 {
			w.op("VMOVUPS (SI)(DX*1), Z31")
		}
		for i := range mr {
			a := 28 + i%2
			w.op("VBROADCASTSS %s, Z%d", pixel(i), a)
			for j := range nr {
				w.op("%s Z%d, Z%d, Z%d", mul, 30+j, a, i*nr+j)
			}
		}
	})
	for i := range mr {
		for j := range nr {
			w.op("VMOVUPS Z%d, %d(R8)", i*nr+j, 64*j)
		}
		if i < mr-1 {
			w.op("ADDQ BX, R8")
		}
	}
	w.op("VZEROUPPER")
	w.op("RET")
}

// tile256 holds mr pixels of 16 channels in Y0..Y11. In int8, activations and
// weights are 16 bits wide and an instruction adds two products.
func tile256(w *writer, typ string, mr int) {
	w.text(fmt.Sprintf("tile%s256x%d", typ, mr), 8,
		fmt.Sprintf("func tile%s256x%d(t *Tile%s): %d pixels, 16 channels.", typ, mr, typ, mr))
	unit := 1
	if typ == "Float32" {
		unit = 4
	}
	tileHead(w, typ, mr, unit)
	for i := range mr * 2 {
		w.op("VPXOR Y%d, Y%d, Y%d", i, i, i)
	}
	tileLoop(w, typ, mr, unit, func() {
		w.op("VMOVUPS (SI), Y14")
		w.op("VMOVUPS 32(SI), Y15")
		for i := range mr {
			w.op("VBROADCASTSS %s, Y12", pixel(i))
			if unit == 4 {
				w.op("VFMADD231PS Y14, Y12, Y%d", 2*i)
				w.op("VFMADD231PS Y15, Y12, Y%d", 2*i+1)
				continue
			}
			w.op("VPMADDWD Y14, Y12, Y13")
			w.op("VPADDD Y13, Y%d, Y%d", 2*i, 2*i)
			w.op("VPMADDWD Y15, Y12, Y13")
			w.op("VPADDD Y13, Y%d, Y%d", 2*i+1, 2*i+1)
		}
	})
	for i := range mr {
		w.op("VMOVUPS Y%d, (R8)", 2*i)
		w.op("VMOVUPS Y%d, 32(R8)", 2*i+1)
		if i < mr-1 {
			w.op("ADDQ BX, R8")
		}
	}
	w.op("VZEROUPPER")
	w.op("RET")
}

// epilogueHead loads what requant and affine share: AX bias, BX scale; SI the
// destination, CX how many channels.
func epilogueHead(w *writer, affine bool) {
	e := 48
	w.op("MOVQ dst_base+0(FP), SI")
	w.op("MOVQ dst_len+8(FP), CX")
	if affine {
		e = 72
		w.op("MOVQ src_base+24(FP), DI")
		w.op("MOVQ w_base+48(FP), R10")
	} else {
		w.op("MOVQ acc_base+24(FP), DI")
	}
	w.op("MOVQ e+%d(FP), R9", e)
	w.op("MOVQ Epilogue_Bias(R9), AX")
	w.op("MOVQ Epilogue_Scale(R9), BX")
}

func epilogueText(w *writer, affine bool, bits int) {
	if affine {
		w.text(fmt.Sprintf("affine%d", bits), 80, fmt.Sprintf("func affine%d(dst, src []int8, w []int32, e *Epilogue): one pixel, whole eights.", bits))
	} else {
		w.text(fmt.Sprintf("requant%d", bits), 56, fmt.Sprintf("func requant%d(dst []int8, acc []int32, e *Epilogue): one pixel, whole eights.", bits))
	}
	epilogueHead(w, affine)
}

// epilogueStep moves on by some channels.
func epilogueStep(w *writer, channels int, affine bool) {
	if affine {
		w.op("ADDQ $%d, DI", channels)
		w.op("ADDQ $%d, R10", 4*channels)
	} else {
		w.op("ADDQ $%d, DI", 4*channels)
	}
	for _, r := range []string{"AX", "BX"} {
		w.op("ADDQ $%d, %s", 4*channels, r)
	}
	w.op("ADDQ $%d, SI", channels)
	w.op("SUBQ $%d, CX", channels)
	w.op("JNE next")
	w.op("VZEROUPPER")
	w.op("RET")
}

// rows512 writes the loops over groups of 16 channels and, within, over pixels:
// group sets up what belongs to the channels; body works on the sums or values
// at (R11) and the place (R10) under the mask K3. DI is the destination, SI the
// source, CX the channels left, BX and DX the steps in bytes, R8 the pixels.
func rows512(w *writer, srcSize, dstSize int, group, step, body func()) {
	w.label("group")
	w.op("MOVL $0xffff, AX")
	w.op("CMPQ CX, $16")
	w.op("JGE whole")
	w.op("BZHIL CX, AX, AX")
	w.label("whole")
	w.op("KMOVW AX, K3")
	group()
	w.op("MOVQ DI, R10")
	w.op("MOVQ SI, R11")
	w.op("MOVQ R8, R12")
	w.label("pixel")
	body()
	w.op("ADDQ BX, R10")
	w.op("ADDQ DX, R11")
	w.op("DECQ R12")
	w.op("JNE pixel")
	step()
	w.op("ADDQ $%d, DI", 16*dstSize)
	w.op("ADDQ $%d, SI", 16*srcSize)
	w.op("SUBQ $16, CX")
	w.op("JGT group")
	w.op("VZEROUPPER")
	w.op("RET")
}

// requant512 writes requant, or affine, sixteen channels at a time.
func requant512(w *writer, affine bool) {
	size := 4
	if affine {
		size = 1
		w.text("affine512", 96, "func affine512(dst, src []int8, w []int32, e *Epilogue, n, channels int)")
		w.op("MOVQ src_base+24(FP), SI")
		w.op("MOVQ w_base+48(FP), R15")
		w.op("MOVQ e+72(FP), R9")
		w.op("MOVQ n+80(FP), R8")
		w.op("MOVQ channels+88(FP), CX")
		w.op("MOVQ CX, BX")
		w.op("MOVQ CX, DX")
	} else {
		w.text("requant512", 88, "func requant512(dst []int8, acc []int32, e *Epilogue, n, channels, dstStep, accStep int)")
		w.op("MOVQ acc_base+24(FP), SI")
		w.op("MOVQ e+48(FP), R9")
		w.op("MOVQ n+56(FP), R8")
		w.op("MOVQ channels+64(FP), CX")
		w.op("MOVQ dstStep+72(FP), BX")
		w.op("MOVQ accStep+80(FP), DX")
		w.op("SHLQ $2, DX")
	}
	w.op("MOVQ dst_base+0(FP), DI")
	w.op("VPBROADCASTD Epilogue_Zero(R9), Z16")
	w.op("VBROADCASTSS Epilogue_Lo(R9), Z17")
	w.op("VBROADCASTSS Epilogue_Hi(R9), Z18")
	w.op("XORQ R13, R13 // place in the epilogue")
	rows512(w, size, 1, func() {
		for i, f := range []string{"Bias", "Scale"} {
			w.op("MOVQ Epilogue_%s(R9), AX", f)
			w.op("VMOVDQU32 (AX)(R13*1), Z%d", 19+i)
		}
		if affine {
			w.op("VMOVDQU32 (R15)(R13*1), Z21")
		}
	}, func() { w.op("ADDQ $64, R13") }, func() {
		if affine {
			w.op("VPMOVSXBD.Z (R11), K3, Z0")
			w.op("VPMULLD Z21, Z0, Z0")
			w.op("VPADDD Z19, Z0, Z0")
		} else {
			w.op("VPADDD (R11), Z19, Z0")
		}
		w.op("VCVTDQ2PS Z0, Z0")
		w.op("VMULPS Z20, Z0, Z0")
		w.op("VMAXPS Z17, Z0, Z0")
		w.op("VMINPS Z18, Z0, Z0")
		w.op("VCVTPS2DQ Z0, Z0")
		w.op("VPADDD Z16, Z0, Z0")
		w.op("VPMOVDB Z0, K3, (R10)")
	})
}

// finish512 writes finish, sixteen channels at a time.
func finish512(w *writer) {
	w.text("finish512", 112, "func finish512(dst, acc, bias []float32, lo, hi float32, n, channels, dstStep, accStep int)")
	w.op("MOVQ dst_base+0(FP), DI")
	w.op("MOVQ acc_base+24(FP), SI")
	w.op("MOVQ bias_base+48(FP), R13")
	w.op("VBROADCASTSS lo+72(FP), Z2")
	w.op("VBROADCASTSS hi+76(FP), Z3")
	w.op("MOVQ n+80(FP), R8")
	w.op("MOVQ channels+88(FP), CX")
	w.op("MOVQ dstStep+96(FP), BX")
	w.op("MOVQ accStep+104(FP), DX")
	w.op("SHLQ $2, BX")
	w.op("SHLQ $2, DX")
	rows512(w, 4, 4, func() { w.op("VMOVUPS.Z (R13), K3, Z1") }, func() { w.op("ADDQ $64, R13") }, func() {
		w.op("VADDPS (R11), Z1, Z0")
		w.op("VMAXPS Z2, Z0, Z0")
		w.op("VMINPS Z3, Z0, Z0")
		w.op("VMOVUPS Z0, K3, (R10)")
	})
}

// requant256 writes requant, or affine, eight channels at a time.
func requant256(w *writer, affine bool) {
	epilogueText(w, affine, 256)
	w.op("VPBROADCASTD Epilogue_Zero(R9), Y8")
	w.op("VBROADCASTSS Epilogue_Lo(R9), Y9")
	w.op("VBROADCASTSS Epilogue_Hi(R9), Y10")
	w.label("next")
	if affine {
		w.op("VPMOVSXBD (DI), Y0")
		w.op("VPMULLD (R10), Y0, Y0")
		w.op("VPADDD (AX), Y0, Y0")
	} else {
		w.op("VMOVDQU (DI), Y0")
		w.op("VPADDD (AX), Y0, Y0")
	}
	w.op("VCVTDQ2PS Y0, Y0")
	w.op("VMULPS (BX), Y0, Y0")
	w.op("VMAXPS Y9, Y0, Y0")
	w.op("VMINPS Y10, Y0, Y0")
	w.op("VCVTPS2DQ Y0, Y0")
	w.op("VPADDD Y8, Y0, Y2")
	w.op("VEXTRACTI128 $1, Y2, X3")
	w.op("VPACKSSDW X3, X2, X2")
	w.op("VPACKSSWB X2, X2, X2")
	w.op("MOVQ X2, (SI)")
	epilogueStep(w, 8, affine)
}

// loop writes a loop over n elements in CX, lanes at a time, that ends with the
// function; body gets "" for whole vectors and then, for what is left, the
// mask register K1 (512 bits only).
func loop(w *writer, bits, lanes int, regs []string, size int, body func(mask string)) {
	w.label("next")
	w.op("SUBQ $%d, CX", lanes)
	w.op("JLT tail")
	body("")
	for _, r := range regs {
		w.op("ADDQ $%d, %s", lanes*size, r)
	}
	w.op("JMP next")
	w.label("tail")
	if bits == 512 {
		w.op("ADDQ $%d, CX", lanes)
		w.op("JEQ done")
		w.op("MOVQ $-1, AX")
		w.op("BZHIQ CX, AX, AX")
		if lanes == 64 {
			w.op("KMOVQ AX, K1")
		} else {
			w.op("KMOVW AX, K1")
		}
		body("K1")
		w.label("done")
	}
	w.op("VZEROUPPER")
	w.op("RET")
}

// load and store of Z registers under a mask or without.
func load(w *writer, op, from, mask string, reg string) {
	if mask != "" {
		w.op("%s.Z %s, %s, %s", op, from, mask, reg)
		return
	}
	w.op("%s %s, %s", op, from, reg)
}

func store(w *writer, op, reg, mask, to string) {
	if mask != "" {
		w.op("%s %s, %s, %s", op, reg, mask, to)
		return
	}
	w.op("%s %s, %s", op, reg, to)
}

func lookup512(w *writer) {
	w.text("lookup512", 56, "func lookup512(dst, src []int8, table *[256]int8)")
	w.op("MOVQ dst_base+0(FP), DI")
	w.op("MOVQ dst_len+8(FP), CX")
	w.op("MOVQ src_base+24(FP), SI")
	w.op("MOVQ table+48(FP), DX")
	for i := range 4 {
		w.op("VMOVDQU8 %d(DX), Z%d", 64*i, i)
	}
	loop(w, 512, 64, []string{"SI", "DI"}, 1, func(mask string) {
		load(w, "VMOVDQU8", "(SI)", mask, "Z4")
		w.op("VMOVDQA64 Z4, Z5")
		w.op("VPMOVB2M Z4, K2")
		w.op("VPERMI2B Z1, Z0, Z4 // entries 0..127")
		w.op("VPERMI2B Z3, Z2, Z5 // entries 128..255")
		w.op("VMOVDQU8 Z5, K2, Z4")
		store(w, "VMOVDQU8", "Z4", mask, "(DI)")
	})
}

func flip512(w *writer) {
	w.text("flip512", 48, "func flip512(dst, src []int8): dst[i] = src[i] + 128, as a byte.")
	w.op("MOVQ dst_base+0(FP), DI")
	w.op("MOVQ dst_len+8(FP), CX")
	w.op("MOVQ src_base+24(FP), SI")
	w.op("MOVL $0x80808080, AX")
	w.op("VPBROADCASTD AX, Z1")
	loop(w, 512, 64, []string{"SI", "DI"}, 1, func(mask string) {
		load(w, "VMOVDQU8", "(SI)", mask, "Z0")
		w.op("VPXORD Z1, Z0, Z0")
		store(w, "VMOVDQU8", "Z0", mask, "(DI)")
	})
}

func widen256(w *writer) {
	w.text("widen256", 48, "func widen256(dst, src []int8): dst holds each of src in two bytes; len(src)%16 == 0.")
	w.op("MOVQ dst_base+0(FP), DI")
	w.op("MOVQ src_base+24(FP), SI")
	w.op("MOVQ src_len+32(FP), CX")
	w.label("next")
	w.op("SUBQ $16, CX")
	w.op("JLT tail")
	w.op("VPMOVSXBW (SI), Y0")
	w.op("VMOVDQU Y0, (DI)")
	w.op("ADDQ $16, SI")
	w.op("ADDQ $32, DI")
	w.op("JMP next")
	w.label("tail")
	w.op("VZEROUPPER")
	w.op("RET")
}

// twoText starts a function of two slices: DI destination, SI source, CX length.
func twoText(w *writer, name string, bits int, typ, doc string) {
	w.text(fmt.Sprintf("%s%d", name, bits), 48, fmt.Sprintf("func %s%d(dst, src []%s)%s", name, bits, typ, doc))
	w.op("MOVQ dst_base+0(FP), DI")
	w.op("MOVQ dst_len+8(FP), CX")
	w.op("MOVQ src_base+24(FP), SI")
}

func reg(bits, i int) string {
	if bits == 512 {
		return fmt.Sprintf("Z%d", i)
	}
	return fmt.Sprintf("Y%d", i)
}

func maxInt8(w *writer, bits int) {
	twoText(w, "maxInt8", bits, "int8", "")
	mov := "VMOVDQU8"
	if bits == 256 {
		mov = "VMOVDQU"
	}
	r0, r1 := reg(bits, 0), reg(bits, 1)
	loop(w, bits, bits/8, []string{"SI", "DI"}, 1, func(mask string) {
		load(w, mov, "(SI)", mask, r0)
		load(w, mov, "(DI)", mask, r1)
		w.op("VPMAXSB %s, %s, %s", r0, r1, r1)
		store(w, mov, r1, mask, "(DI)")
	})
}

func maxFloat32(w *writer, bits int) {
	twoText(w, "maxFloat32", bits, "float32", "")
	r0, r1 := reg(bits, 0), reg(bits, 1)
	loop(w, bits, bits/32, []string{"SI", "DI"}, 4, func(mask string) {
		load(w, "VMOVUPS", "(SI)", mask, r0)
		load(w, "VMOVUPS", "(DI)", mask, r1)
		w.op("VMAXPS %s, %s, %s", r0, r1, r1)
		store(w, "VMOVUPS", r1, mask, "(DI)")
	})
}

func finish256(w *writer) {
	w.text("finish256", 80, "func finish256(dst, acc, bias []float32, lo, hi float32): one pixel, whole eights.")
	w.op("MOVQ dst_base+0(FP), DI")
	w.op("MOVQ dst_len+8(FP), CX")
	w.op("MOVQ acc_base+24(FP), SI")
	w.op("MOVQ bias_base+48(FP), DX")
	w.op("VBROADCASTSS lo+72(FP), Y2")
	w.op("VBROADCASTSS hi+76(FP), Y3")
	loop(w, 256, 8, []string{"SI", "DI", "DX"}, 4, func(string) {
		w.op("VMOVUPS (SI), Y0")
		w.op("VADDPS (DX), Y0, Y0")
		w.op("VMAXPS Y2, Y0, Y0")
		w.op("VMINPS Y3, Y0, Y0")
		w.op("VMOVUPS Y0, (DI)")
	})
}

func scale(w *writer, bits int) {
	w.text(fmt.Sprintf("scale%d", bits), 96, fmt.Sprintf("func scale%d(dst, src, m, a []float32)", bits))
	w.op("MOVQ dst_base+0(FP), DI")
	w.op("MOVQ dst_len+8(FP), CX")
	w.op("MOVQ src_base+24(FP), SI")
	w.op("MOVQ m_base+48(FP), DX")
	w.op("MOVQ a_base+72(FP), BX")
	r0 := reg(bits, 0)
	loop(w, bits, bits/32, []string{"SI", "DI", "DX", "BX"}, 4, func(mask string) {
		load(w, "VMOVUPS", "(SI)", mask, r0)
		load(w, "VMOVUPS", "(DX)", mask, reg(bits, 1))
		load(w, "VMOVUPS", "(BX)", mask, reg(bits, 2))
		w.op("VFMADD213PS %s, %s, %s", reg(bits, 2), reg(bits, 1), r0)
		store(w, "VMOVUPS", r0, mask, "(DI)")
	})
}

// addInt8 adds four bytes to each lane's 32 bits. Constants are in 5..13, in the
// order of the fields of AddInt8, and half of what is shifted out in 13.
func addInt8(w *writer, bits int) {
	w.text(fmt.Sprintf("addInt8%d", bits), 80, fmt.Sprintf("func addInt8%d(dst, x, y []int8, a *AddInt8)", bits))
	w.op("MOVQ dst_base+0(FP), DI")
	w.op("MOVQ dst_len+8(FP), CX")
	w.op("MOVQ x_base+24(FP), SI")
	w.op("MOVQ y_base+48(FP), DX")
	w.op("MOVQ a+72(FP), R9")
	r := func(i int) string { return reg(bits, i) }
	for i, f := range []string{"ZeroX", "ZeroY", "FactorX", "FactorY", "Shift", "Zero", "Lo", "Hi"} {
		w.op("VPBROADCASTD AddInt8_%s(R9), %s", f, r(5+i))
	}
	w.op("MOVL $1, AX")
	w.op("MOVQ AX, X0")
	w.op("VPBROADCASTD X0, %s", r(13))
	w.op("VPSLLVD %s, %s, %s", r(9), r(13), r(13))
	w.op("VPSRLD $1, %s, %s // half of what is shifted out", r(13), r(13))
	loop(w, bits, bits/32, []string{"SI", "DX", "DI"}, 1, func(mask string) {
		for i, from := range []string{"(SI)", "(DX)"} {
			load(w, "VPMOVSXBD", from, mask, r(i))
			w.op("VPSUBD %s, %s, %s", r(5+i), r(i), r(i))
			w.op("VPMULLD %s, %s, %s", r(7+i), r(i), r(i))
		}
		w.op("VPADDD %s, %s, %s", r(1), r(0), r(0))
		w.op("VPADDD %s, %s, %s", r(13), r(0), r(0))
		w.op("VPSRAVD %s, %s, %s", r(9), r(0), r(0))
		w.op("VPADDD %s, %s, %s", r(10), r(0), r(0))
		w.op("VPMAXSD %s, %s, %s", r(11), r(0), r(0))
		w.op("VPMINSD %s, %s, %s", r(12), r(0), r(0))
		if bits == 512 {
			store(w, "VPMOVDB", r(0), mask, "(DI)")
			return
		}
		w.op("VEXTRACTI128 $1, Y0, X1")
		w.op("VPACKSSDW X1, X0, X0")
		w.op("VPACKSSWB X0, X0, X0")
		w.op("MOVQ X0, (DI)")
	})
}

func sumInt8(w *writer, bits int) {
	w.text(fmt.Sprintf("sumInt8%d", bits), 48, fmt.Sprintf("func sumInt8%d(acc []int32, src []int8)", bits))
	w.op("MOVQ acc_base+0(FP), DI")
	w.op("MOVQ acc_len+8(FP), CX")
	w.op("MOVQ src_base+24(FP), SI")
	loop(w, bits, bits/32, nil, 0, func(mask string) {
		load(w, "VPMOVSXBD", "(SI)", mask, reg(bits, 0))
		load(w, "VMOVUPS", "(DI)", mask, reg(bits, 1))
		w.op("VPADDD %s, %s, %s", reg(bits, 1), reg(bits, 0), reg(bits, 0))
		store(w, "VMOVUPS", reg(bits, 0), mask, "(DI)")
		w.op("ADDQ $%d, SI", bits/32)
		w.op("ADDQ $%d, DI", bits/8)
	})
}

func addFloat32(w *writer, bits int) {
	w.text(fmt.Sprintf("addFloat32%d", bits), 80, fmt.Sprintf("func addFloat32%d(dst, x, y []float32, lo, hi float32)", bits))
	w.op("MOVQ dst_base+0(FP), DI")
	w.op("MOVQ dst_len+8(FP), CX")
	w.op("MOVQ x_base+24(FP), SI")
	w.op("MOVQ y_base+48(FP), DX")
	r := func(i int) string { return reg(bits, i) }
	w.op("VBROADCASTSS lo+72(FP), %s", r(2))
	w.op("VBROADCASTSS hi+76(FP), %s", r(3))
	loop(w, bits, bits/32, []string{"SI", "DX", "DI"}, 4, func(mask string) {
		load(w, "VMOVUPS", "(SI)", mask, r(0))
		load(w, "VMOVUPS", "(DX)", mask, r(1))
		w.op("VADDPS %s, %s, %s", r(1), r(0), r(0))
		w.op("VMAXPS %s, %s, %s", r(2), r(0), r(0))
		w.op("VMINPS %s, %s, %s", r(3), r(0), r(0))
		store(w, "VMOVUPS", r(0), mask, "(DI)")
	})
}

// elu is expm1 of the definition in Go, for all lanes, and a choice.
func elu(w *writer, bits int) {
	twoText(w, "elu", bits, "float32", "")
	for i := range expConstants { // 5..15: log2(e), ln2Hi, ln2Lo, seven coefficients, lowest
		w.op("VBROADCASTSS exp<>+%d(SB), %s", 4*i, reg(bits, 5+i))
	}
	r := func(i int) string { return reg(bits, i) }
	loop(w, bits, bits/32, []string{"SI", "DI"}, 4, func(mask string) {
		load(w, "VMOVUPS", "(SI)", mask, r(0))
		w.op("VMAXPS %s, %s, %s // NaN stays the first operand's", r(0), r(15), r(1))
		w.op("VMULPS %s, %s, %s", r(5), r(1), r(2))
		w.op("VCVTPS2DQ %s, %s", r(2), r(3))
		w.op("VCVTDQ2PS %s, %s", r(3), r(2))
		w.op("VFNMADD231PS %s, %s, %s", r(6), r(2), r(1))
		w.op("VFNMADD231PS %s, %s, %s // the remainder", r(7), r(2), r(1))
		w.op("VMOVAPS %s, %s", r(8), r(2))
		for i := 9; i <= 13; i++ {
			w.op("VFMADD213PS %s, %s, %s", r(i), r(1), r(2))
		}
		w.op("VMULPS %s, %s, %s", r(1), r(2), r(2))
		w.op("VFMADD213PS %s, %s, %s // exp of the remainder, less 1", r(1), r(1), r(2))
		w.op("VPSLLD $23, %s, %s", r(3), r(3))
		w.op("VPADDD %s, %s, %s // the power of two", r(14), r(3), r(3))
		w.op("VSUBPS %s, %s, %s", r(14), r(3), r(4))
		w.op("VFMADD213PS %s, %s, %s", r(4), r(3), r(2))
		if bits == 512 {
			w.op("VPXORD %s, %s, %s", r(4), r(4), r(4))
			w.op("VCMPPS $1, %s, %s, K2", r(4), r(0))
			w.op("VMOVAPS %s, K2, %s", r(2), r(0))
		} else {
			w.op("VXORPS %s, %s, %s", r(4), r(4), r(4))
			w.op("VCMPPS $1, %s, %s, %s", r(4), r(0), r(4))
			w.op("VBLENDVPS %s, %s, %s, %s", r(4), r(2), r(0), r(0))
		}
		store(w, "VMOVUPS", r(0), mask, "(DI)")
	})
}

// depth writes a depthwise convolution, 16 channels of a pixel at a time. DI is
// the struct, R8 activations, R9 weights of the group; R12 and R10 activations
// and sums of the pixel; SI and R11 activations and weights of the tap; BX the
// step to the next tap, AX from the end of a run to the next, DX one row of
// sums or weights, R13 the pixels left, R15 the runs, CX the taps. Three taps,
// as most filters have, are a piece without a loop. Weights take four bytes.
func depth(w *writer, typ string, bits int, zero, tap, done func()) {
	size := 1
	if typ == "Float32" {
		size = 4
	}
	field := func(name, reg string, unit int) {
		w.op("MOVQ Depth%s_%s(DI), %s", typ, name, reg)
		if unit == 4 {
			w.op("SHLQ $2, %s", reg)
		}
	}
	w.frame(fmt.Sprintf("depth%s%d", typ, bits), 16, 8, fmt.Sprintf("func depth%s%d(t *Depth%s)", typ, bits, typ))
	w.op("MOVQ t+0(FP), DI")
	field("A", "R8", 1)
	field("W", "R9", 1)
	field("Acc", "R10", 1)
	field("RunStep", "AX", size)
	field("TapStep", "BX", size)
	field("Channels", "DX", 4)
	field("Channels", "R11", 1)
	w.op("MOVQ Depth%s_Taps(DI), CX", typ)
	w.op("IMULQ BX, CX")
	w.op("SUBQ CX, AX")
	w.op("MOVQ R11, channels-8(SP)")
	w.op("MOVQ R10, acc-16(SP)")
	w.label("group")
	w.op("MOVQ Depth%s_Pixels(DI), R13", typ)
	w.op("MOVQ R8, R12")
	w.op("MOVQ acc-16(SP), R10")
	w.label("pixel")
	zero()
	w.op("MOVQ R12, SI")
	w.op("MOVQ R9, R11")
	w.op("MOVQ Depth%s_Runs(DI), R15", typ)
	w.label("run")
	w.op("MOVQ Depth%s_Taps(DI), CX", typ)
	w.op("CMPQ CX, $3")
	w.op("JNE tap")
	next := func() {
		tap()
		w.op("ADDQ BX, SI")
		w.op("ADDQ DX, R11")
	}
	next()
	next()
	next()
	w.op("JMP ran")
	w.label("tap")
	next()
	w.op("DECQ CX")
	w.op("JNE tap")
	w.label("ran")
	w.op("ADDQ AX, SI")
	w.op("DECQ R15")
	w.op("JNE run")
	done()
	w.op("ADDQ DX, R10")
	field("AStep", "CX", size)
	w.op("ADDQ CX, R12")
	w.op("DECQ R13")
	w.op("JNE pixel")
	w.op("ADDQ $%d, R8", 16*size)
	w.op("ADDQ $64, R9")
	w.op("ADDQ $64, acc-16(SP)")
	w.op("SUBQ $16, channels-8(SP)")
	w.op("JGT group")
	w.op("VZEROUPPER")
	w.op("RET")
}

// depth512 multiplies bytes as pairs of 16 bits of which the weights' second
// is 0: one instruction for product and sum.
func depth512(w *writer, typ string) {
	depth(w, typ, 512, func() { w.op("VPXORD Z0, Z0, Z0") }, func() {
		if typ == "Float32" {
			w.op("VMOVUPS (SI), Z1")
			w.op("VFMADD231PS (R11), Z1, Z0")
			return
		}
		w.op("VPMOVSXBD (SI), Z1")
		w.op("VPDPWSSD (R11), Z1, Z0")
	}, func() { w.op("VMOVUPS Z0, (R10)") })
}

func depth256(w *writer, typ string) {
	depth(w, typ, 256, func() {
		w.op("VPXOR Y0, Y0, Y0")
		w.op("VPXOR Y1, Y1, Y1")
	}, func() {
		for i := range 2 {
			if typ == "Float32" {
				w.op("VMOVUPS %d(SI), Y2", 32*i)
				w.op("VFMADD231PS %d(R11), Y2, Y%d", 32*i, i)
				continue
			}
			w.op("VPMOVSXBD %d(SI), Y2", 8*i)
			w.op("VPMADDWD %d(R11), Y2, Y2", 32*i)
			w.op("VPADDD Y2, Y%d, Y%d", i, i)
		}
	}, func() {
		w.op("VMOVUPS Y0, (R10)")
		w.op("VMOVUPS Y1, 32(R10)")
	})
}
