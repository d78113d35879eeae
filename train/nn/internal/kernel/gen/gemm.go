package main

import "fmt"

// gemm writes the micro-kernels of the matrix product: R rows by two vectors,
// and R rows by one masked vector for what is left at the right.
func gemm(s isa) string {
	w := newWriter(s)
	rows := 8
	if s.lanes == 8 {
		rows = 4 // of 16 registers, 8 accumulate
	}
	for ; rows > 0; rows /= 2 {
		gemmKernel(w, rows, 2)
		gemmKernel(w, rows, 1)
	}
	return w.String()
}

// gemmKernel keeps its tile of C in registers while it walks along k. Rows of
// A are reached from one pointer: 1, 2, 4 times the stride by scaling, 3, 5,
// 6, 7 times by three more registers.
func gemmKernel(w *writer, rows, vecs int) {
	masked := vecs == 1
	doc := fmt.Sprintf("C (%d*blocks rows, %d vectors) = or += A * B; see gemmTile.", rows, vecs)
	w.function(fmt.Sprintf("gemm%dx%d", rows, vecs), doc, 88)
	for _, l := range []string{"blocks+0(FP), R15", "a+16(FP), R13", "ars+24(FP), BX", "acs+32(FP), DI",
		"ldb+48(FP), R9", "c+56(FP), R10", "ldc+64(FP), R11"} {
		w.op("MOVQ %s", l)
	}
	w.op("LEAQ (BX)(BX*2), CX")
	w.op("LEAQ (BX)(BX*4), DX")
	w.op("LEAQ (CX)(BX*4), SI")
	if masked {
		loadMask(w)
	}
	w.label("block")
	w.op("MOVQ k+8(FP), R12")
	w.op("MOVQ R13, AX")
	w.op("MOVQ b+40(FP), R8")
	for i := range rows * vecs {
		w.op("VXORPS V%d, V%d, V%d", acc(i), acc(i), acc(i))
	}
	w.label("step")
	gemmStep(w, rows, vecs, masked)
	w.op("ADDQ DI, AX")
	w.op("ADDQ R9, R8")
	w.op("DECQ R12")
	w.op("JNZ step")
	w.op("CMPQ add+72(FP), $0")
	w.op("JEQ store")
	w.op("MOVQ R10, R8")
	for r := range rows {
		for v := range vecs {
			addC(w, r*vecs+v, v, masked)
		}
		w.op("ADDQ R11, R8")
	}
	w.label("store")
	for r := range rows {
		for v := range vecs {
			storeC(w, r*vecs+v, v, masked)
		}
		w.op("ADDQ R11, R10")
	}
	w.op("LEAQ (R13)(BX*%d), R13", rows)
	w.op("DECQ R15")
	w.op("JNZ block")
	w.end()
}

// acc is the register of an accumulator; 0 and 1 hold B, 2 and 3 A.
func acc(i int) int { return 4 + i }

func gemmStep(w *writer, rows, vecs int, masked bool) {
	for v := range vecs {
		loadB(w, v, masked)
	}
	at := []string{"(AX)", "(AX)(BX*1)", "(AX)(BX*2)", "(AX)(CX*1)", "(AX)(BX*4)", "(AX)(DX*1)", "(AX)(CX*2)", "(AX)(SI*1)"}
	for r := range rows {
		w.op("VBROADCASTSS %s, V%d", at[r], 2+r%2)
		for v := range vecs {
			w.op("VFMADD231PS V%d, V%d, V%d", v, 2+r%2, acc(r*vecs+v))
		}
	}
}

// loadMask prepares the masked vector: K1, or V15 where there are no masks.
func loadMask(w *writer) {
	w.op("MOVQ mask+80(FP), R12")
	if w.lanes == 16 {
		w.op("VMOVDQU32 (R12), V2")
		w.op("VPTESTMD V2, V2, K1")
	} else {
		w.op("VMOVUPS (R12), V15")
	}
}

func loadB(w *writer, v int, masked bool) {
	switch {
	case !masked:
		w.op("VMOVUPS %d(R8), V%d", v*w.bytes(), v)
	case w.lanes == 16:
		w.op("VMOVUPS.Z (R8), K1, V0")
	default:
		w.op("VMASKMOVPS (R8), V15, V0")
	}
}

func addC(w *writer, i, v int, masked bool) {
	switch {
	case !masked:
		w.op("VADDPS %d(R8), V%d, V%d", v*w.bytes(), acc(i), acc(i))
	case w.lanes == 16:
		w.op("VADDPS (R8), V%d, K1, V%d", acc(i), acc(i))
	default:
		w.op("VMASKMOVPS (R8), V15, V0")
		w.op("VADDPS V0, V%d, V%d", acc(i), acc(i))
	}
}

func storeC(w *writer, i, v int, masked bool) {
	switch {
	case !masked:
		w.op("VMOVUPS V%d, %d(R10)", acc(i), v*w.bytes())
	case w.lanes == 16:
		w.op("VMOVUPS V%d, K1, (R10)", acc(i))
	default:
		w.op("VMASKMOVPS V%d, V15, (R10)", acc(i))
	}
}
