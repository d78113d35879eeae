package main

import (
	"fmt"
	"strings"
)

// amx writes the product of bfloat16 matrices on Intel's AMX tiles. Go's
// assembler does not know their instructions, so they go in as bytes, with the
// encodings of Intel's "Architecture Instruction Set Extensions" (319433).
func amx() string {
	w := newWriter(isa{"AMX", "Z", 16})
	fmt.Fprintf(w, "\n// Palette 1: eight tiles of 16 rows of 64 bytes.\n")
	w.data("amxConfig", tileConfig())
	w.function("mulTiles", "MulTiles: jobs and their number, offs and theirs, a, row, b, c, ldc, add; strides in bytes.", 80)
	for _, l := range []string{"n+8(FP), R15", "offs+16(FP), R10", "row+40(FP), DI", "ldc+64(FP), DX"} {
		w.op("MOVQ %s", l)
	}
	w.op("LEAQ amxConfig<>(SB), AX")
	w.code("LDTILECFG (AX)", vex(0, np, 0x49, 0x00))
	w.op("MOVQ DI, R13")
	w.op("SHLQ $4, R13")
	w.op("MOVQ DX, R11")
	w.op("SHLQ $4, R11")
	w.op("MOVQ jobs+0(FP), CX")
	w.label("job")
	w.op("MOVQ a+32(FP), R8")
	w.op("ADDQ (CX), R8")
	w.op("MOVQ c+56(FP), R9")
	w.op("ADDQ 8(CX), R9")
	w.op("ADDQ $16, CX")
	w.op("MOVQ CX, jobs+0(FP)")
	w.op("MOVQ $64, CX")
	w.op("MOVQ b+48(FP), BX")
	w.op("XORQ R12, R12")
	w.op("CMPQ add+72(FP), $0")
	w.op("JNE load")
	for t := range 4 {
		w.code(fmt.Sprintf("TILEZERO TMM%d", t), vex(0, f2, 0x49, 0xc0|t<<3))
	}
	w.op("JMP step")
	w.label("load")
	w.tilesOfC("TILELOADD", f2)
	w.label("step")
	w.op("MOVQ (R10)(R12*8), AX")
	w.op("ADDQ R8, AX")
	w.op("LEAQ (AX)(R13*1), SI")
	w.move("TILELOADD", f2, 4, regAX, regDI)
	w.move("TILELOADD", f2, 6, regBX, regCX)
	w.dot(0, 4, 6)
	w.move("TILELOADD", f2, 5, regSI, regDI)
	w.dot(2, 5, 6)
	w.op("ADDQ $1024, BX")
	w.move("TILELOADD", f2, 7, regBX, regCX)
	w.dot(1, 4, 7)
	w.dot(3, 5, 7)
	w.op("ADDQ $1024, BX")
	w.op("INCQ R12")
	w.op("CMPQ R12, steps+24(FP)")
	w.op("JLT step")
	w.tilesOfC("TILESTORED", f3)
	w.op("MOVQ jobs+0(FP), CX")
	w.op("DECQ R15")
	w.op("JNZ job")
	w.code("TILERELEASE", vex(0, np, 0x49, 0xc0))
	w.op("RET")
	return w.String()
}

// Opcode prefixes and register numbers, as VEX and ModRM have them.
const (
	np = 0
	f3 = 2
	f2 = 3

	regAX, regCX, regDX, regBX, regSI, regDI = 0, 1, 2, 3, 6, 7
)

// vex encodes an instruction of map 0F38 on 128 bits with registers below 8.
func vex(second, prefix, opcode int, rest ...int) []int {
	return append([]int{0xc4, 0xe2, (15-second)<<3 | prefix, opcode}, rest...)
}

// code writes an instruction as bytes, with its text beside them.
func (w *writer) code(text string, code []int) {
	var b []string
	for _, c := range code {
		b = append(b, fmt.Sprintf("BYTE $0x%02x", c))
	}
	w.op("%s // %s", strings.Join(b, "; "), text)
}

// move loads or stores a tile whose rows are index bytes apart.
func (w *writer) move(name string, prefix, tile, base, index int) {
	names := map[int]string{regAX: "AX", regCX: "CX", regDX: "DX", regBX: "BX", regSI: "SI", regDI: "DI"}
	w.code(fmt.Sprintf("%s (%s)(%s*1), TMM%d", name, names[base], names[index], tile),
		vex(0, prefix, 0x4b, tile<<3|4, index<<3|base))
}

// dot is c += a * b.
func (w *writer) dot(c, a, b int) {
	w.code(fmt.Sprintf("TDPBF16PS TMM%d, TMM%d, TMM%d", b, a, c), vex(b, f3, 0x5c, 0xc0|c<<3|a))
}

// tilesOfC moves the four tiles of C, two by two.
func (w *writer) tilesOfC(name string, prefix int) {
	w.op("MOVQ R9, AX")
	w.op("LEAQ (R9)(R11*1), SI")
	for t := range 4 {
		base := []int{regAX, regSI}[t/2]
		if t%2 == 1 {
			w.op("ADDQ $64, %s", []string{"AX", "SI"}[t/2])
		}
		w.move(name, prefix, t, base, regDX)
	}
}

func tileConfig() [64]byte {
	c := [64]byte{0: 1}
	for t := range 8 {
		c[16+2*t], c[48+t] = 64, 16
	}
	return c
}

// data writes a read-only table.
func (w *writer) data(name string, table [64]byte) {
	for i := 0; i < len(table); i += 8 {
		v := uint64(0)
		for k := range 8 {
			v |= uint64(table[i+k]) << (8 * k)
		}
		fmt.Fprintf(w, "DATA %s<>+%d(SB)/8, $0x%016x\n", name, i, v)
	}
	fmt.Fprintf(w, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", name, len(table))
}
