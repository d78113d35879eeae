package main

import (
	"fmt"
	"math"
	"slices"

	"mien/train/nn/internal/cooktoom"
	"mien/train/nn/internal/kernel"
)

// transforms writes the one-dimensional passes of Winograd's algorithms: a
// matrix of constants times vectors of channels.
func transforms(s isa) string {
	w := newWriter(s)
	for _, f := range kernel.Filters {
		for i, m := range f.Matrices() {
			transform(w, fmt.Sprintf("f%d%d%s", f.M, f.R, kernel.MatrixNames[i]), m)
		}
	}
	return w.String()
}

// pass is the code of one matrix. Inputs are in V0 up, sums are made behind
// them, constants come last where there are enough registers.
type pass struct {
	w      *writer
	m      cooktoom.Matrix
	table  string
	consts []float64 // distinct magnitudes other than 0 and 1
	inputs int
}

// rowAt are the rows of a source or a destination: from a pointer and 1, 3, 5
// and 7 times the stride.
func rowAt(p, s1, s3, s5, s7 string, i int) string {
	return []string{"(" + p + ")", "(" + p + ")(" + s1 + "*1)", "(" + p + ")(" + s1 + "*2)", "(" + p + ")(" + s3 + "*1)",
		"(" + p + ")(" + s1 + "*4)", "(" + p + ")(" + s5 + "*1)", "(" + p + ")(" + s3 + "*2)", "(" + p + ")(" + s7 + "*1)"}[i]
}

func source(i int) string      { return rowAt("AX", "BX", "CX", "DX", "SI", i) }
func destination(i int) string { return rowAt("DI", "R8", "R9", "R10", "R11", i) }

func transform(w *writer, name string, m cooktoom.Matrix) {
	p := &pass{w: w, m: m, table: name + w.name + "Table<>", inputs: len(m[0])}
	p.collect()
	fmt.Fprintf(w, "\n")
	for i, c := range p.consts {
		fmt.Fprintf(w, "DATA %s+%d(SB)/4, $0x%08x // %.7g\n", p.table, 4*i, math.Float32bits(float32(c)), c)
	}
	if len(p.consts) > 0 {
		fmt.Fprintf(w, "GLOBL %s(SB), RODATA|NOPTR, $%d\n", p.table, 4*len(p.consts))
	}
	w.function(name, fmt.Sprintf("%d vectors from %d, see kernel.Transform.", len(m), p.inputs), 64)
	for _, l := range []string{"cols+0(FP), R13", "dst+16(FP), DI", "dstRow+24(FP), R8", "src+40(FP), AX", "srcRow+48(FP), BX"} {
		w.op("MOVQ %s", l)
	}
	multiples(w, "BX", "CX", "DX", "SI")
	multiples(w, "R8", "R9", "R10", "R11")
	w.op("MOVQ v+8(FP), R15")
	w.op("IMULQ $%d, R15", w.bytes())
	if w.lanes == 16 {
		for i := range p.consts {
			w.op("VBROADCASTSS %s+%d(SB), V%d", p.table, 4*i, p.constReg(i))
		}
	}
	w.label("column")
	w.op("MOVQ v+8(FP), R12")
	w.label("vector")
	p.body()
	w.op("ADDQ $%d, AX", w.bytes())
	w.op("ADDQ $%d, DI", w.bytes())
	w.op("DECQ R12")
	w.op("JNZ vector")
	w.op("SUBQ R15, AX")
	w.op("SUBQ R15, DI")
	w.op("ADDQ srcCol+56(FP), AX")
	w.op("ADDQ dstCol+32(FP), DI")
	w.op("DECQ R13")
	w.op("JNZ column")
	w.end()
}

func multiples(w *writer, s1, s3, s5, s7 string) {
	w.op("LEAQ (%s)(%s*2), %s", s1, s1, s3)
	w.op("LEAQ (%s)(%s*4), %s", s1, s1, s5)
	w.op("LEAQ (%s)(%s*4), %s", s3, s1, s7)
}

func (p *pass) collect() {
	for _, row := range p.m {
		for _, c := range row {
			if a := math.Abs(c); a != 0 && a != 1 && !slices.Contains(p.consts, a) {
				p.consts = append(p.consts, a)
			}
		}
	}
}

func (p *pass) constReg(i int) int { return 31 - i }

// body loads the inputs and stores the products. Two neighbouring rows that
// differ in the sign of the odd columns share two sums; of two neighbouring
// columns that differ in the sign of the odd rows sum and difference are
// taken first.
func (p *pass) body() {
	for j := range p.inputs {
		p.w.op("VMOVUPS %s, V%d", source(j), j)
	}
	pairs := p.columnPairs()
	for _, j := range pairs {
		p.w.op("VSUBPS V%d, V%d, V%d", j+1, j, p.sum(0))
		p.w.op("VADDPS V%d, V%d, V%d", j+1, j, j)
		p.w.op("VMOVAPS V%d, V%d", p.sum(0), j+1)
	}
	for i := 0; i < len(p.m); i++ {
		if len(pairs) == 0 && p.rowPair(i) {
			p.twoRows(i)
			i++
			continue
		}
		p.w.op("VMOVUPS V%d, %s", p.combine(p.terms(i, pairs), p.sum(0)), destination(i))
	}
}

// sum is a register for a result.
func (p *pass) sum(i int) int { return p.inputs + i }

type term struct {
	reg int
	c   float64
}

// terms are those of a row, after columns have been paired.
func (p *pass) terms(i int, pairs []int) []term {
	var t []term
	for j, c := range p.m[i] {
		second := slices.Contains(pairs, j-1)
		first := slices.Contains(pairs, j)
		if c != 0 && !(first && i%2 == 1) && !(second && i%2 == 0) {
			if second {
				c = p.m[i][j-1]
			}
			t = append(t, term{j, c})
		}
	}
	return t
}

func (p *pass) rowPair(i int) bool {
	if i+1 >= len(p.m) {
		return false
	}
	odd := false
	for j, c := range p.m[i] {
		sign := 1.0
		if j%2 == 1 {
			sign = -1
			odd = odd || c != 0
		}
		if math.Abs(p.m[i+1][j]-sign*c) > 1e-15 && math.Abs(p.m[i+1][j]+sign*c) > 1e-15 {
			return false
		}
	}
	return odd && (p.sameSign(i, 1) || p.sameSign(i, -1))
}

// sameSign: row i+1 is s times row i with the odd columns negated.
func (p *pass) sameSign(i int, s float64) bool {
	for j, c := range p.m[i] {
		sign := s
		if j%2 == 1 {
			sign = -s
		}
		if p.m[i+1][j] != sign*c {
			return false
		}
	}
	return true
}

func (p *pass) twoRows(i int) {
	var even, odd []term
	for j, c := range p.m[i] {
		if c != 0 && j%2 == 0 {
			even = append(even, term{j, c})
		} else if c != 0 {
			odd = append(odd, term{j, c})
		}
	}
	e, o := p.combine(even, p.sum(0)), p.combine(odd, p.sum(1))
	p.w.op("VADDPS V%d, V%d, V%d", o, e, p.sum(2))
	if p.sameSign(i, 1) {
		p.w.op("VSUBPS V%d, V%d, V%d", o, e, p.sum(3))
	} else {
		p.w.op("VSUBPS V%d, V%d, V%d", e, o, p.sum(3))
	}
	p.w.op("VMOVUPS V%d, %s", p.sum(2), destination(i))
	p.w.op("VMOVUPS V%d, %s", p.sum(3), destination(i+1))
}

func (p *pass) columnPairs() []int {
	var pairs []int
	for j := 0; j+1 < p.inputs; j++ {
		if p.columnPair(j) {
			pairs = append(pairs, j)
			j++
		}
	}
	return pairs
}

func (p *pass) columnPair(j int) bool {
	odd := false
	for i, row := range p.m {
		sign := 1.0
		if i%2 == 1 {
			sign = -1
			odd = odd || row[j] != 0
		}
		if row[j+1] != sign*row[j] {
			return false
		}
	}
	return odd
}

// combine sums terms in dst, or names the input that is the sum already.
func (p *pass) combine(t []term, dst int) int {
	slices.SortStableFunc(t, func(a, b term) int {
		switch {
		case a.c == 1 && b.c != 1:
			return -1
		case a.c != 1 && b.c == 1:
			return 1
		}
		return 0
	})
	if len(t) == 0 {
		p.w.op("VXORPS V%d, V%d, V%d", dst, dst, dst)
		return dst
	}
	if t[0].c == 1 && len(t) == 1 {
		return t[0].reg
	}
	rest := t[1:]
	switch {
	case t[0].c == 1 && math.Abs(rest[0].c) == 1:
		p.add(rest[0], t[0].reg, dst)
		rest = rest[1:]
	case t[0].c == 1:
		p.w.op("VMOVAPS V%d, V%d", t[0].reg, dst)
	case t[0].c == -1:
		p.w.op("VXORPS V%d, V%d, V%d", dst, dst, dst)
		p.w.op("VSUBPS V%d, V%d, V%d", t[0].reg, dst, dst)
	case t[0].c > 0:
		p.w.op("VMULPS V%d, V%d, V%d", p.constant(t[0].c), t[0].reg, dst)
	default:
		p.w.op("VXORPS V%d, V%d, V%d", dst, dst, dst)
		rest = t
	}
	for _, x := range rest {
		p.add(x, dst, dst)
	}
	return dst
}

// add is dst = from + term.
func (p *pass) add(x term, from, dst int) {
	switch {
	case x.c == 1:
		p.w.op("VADDPS V%d, V%d, V%d", x.reg, from, dst)
	case x.c == -1:
		p.w.op("VSUBPS V%d, V%d, V%d", x.reg, from, dst)
	case x.c > 0:
		p.w.op("VFMADD231PS V%d, V%d, V%d", p.constant(x.c), x.reg, dst)
	default:
		p.w.op("VFNMADD231PS V%d, V%d, V%d", p.constant(-x.c), x.reg, dst)
	}
}

// constant is a register that holds a constant.
func (p *pass) constant(c float64) int {
	i := slices.Index(p.consts, c)
	if p.w.lanes == 16 {
		return p.constReg(i)
	}
	p.w.op("VBROADCASTSS %s+%d(SB), V15", p.table, 4*i)
	return 15
}
