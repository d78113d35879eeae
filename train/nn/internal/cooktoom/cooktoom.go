// Package cooktoom makes the matrices of Winograd's minimal filtering: m
// outputs of a filter of r taps from m+r-1 inputs with m+r-1 products,
//
//	y = AT ((G g) . (BT d)),  y[i] = sum over k of g[k] d[i+k]
//
// (Toom 1963, Cook 1966, Winograd 1980; for networks Lavin and Gray 2016.)
package cooktoom

import "math/big"

// Matrix is a list of rows.
type Matrix [][]float64

// T returns the transpose.
func (a Matrix) T() Matrix {
	t := make(Matrix, len(a[0]))
	for j := range t {
		for i := range a {
			t[j] = append(t[j], a[i][j])
		}
	}
	return t
}

// Algorithm is F(M, R): its three matrices.
type Algorithm struct {
	M, R      int
	AT, G, BT Matrix
}

// N is the number of inputs and of products.
func (a Algorithm) N() int { return a.M + a.R - 1 }

// points are where polynomials are evaluated besides infinity. Pairs of
// opposite sign share their even and odd parts; of such sets these gave the
// smallest errors in float32 among fractions with small terms: with 5 points
// half the error of the customary 0, 1, -1, 2, -2.
func points(n int) []*big.Rat {
	if n <= 5 {
		return rationals(0, 1, 2, 3, -2, 3, 3, 2, -3, 2)[:n]
	}
	return rationals(0, 1, 1, 1, -1, 1, 2, 1, -2, 1, 1, 2, -1, 2)[:n]
}

func rationals(fractions ...int64) []*big.Rat {
	var all []*big.Rat
	for i := 0; i < len(fractions); i += 2 {
		all = append(all, big.NewRat(fractions[i], fractions[i+1]))
	}
	return all
}

// New returns F(m, r), for m+r up to 9.
func New(m, r int) Algorithm {
	n := m + r - 1
	p := points(n - 1)
	a := Algorithm{M: m, R: r, AT: make(Matrix, m)}
	for i := range a.AT {
		for _, x := range p {
			a.AT[i] = append(a.AT[i], float(power(x, i)))
		}
		a.AT[i] = append(a.AT[i], one(i == m-1))
	}
	for j, x := range p {
		norm, others := product(p, j)
		row := make([]float64, r)
		for k := range row {
			row[k] = float(new(big.Rat).Quo(power(x, k), norm))
		}
		a.G = append(a.G, row)
		a.BT = append(a.BT, append(others, 0))
	}
	last := make([]float64, r)
	last[r-1] = 1
	_, all := product(p, -1)
	a.G, a.BT = append(a.G, last), append(a.BT, all)
	return a
}

// product is that of (X - y) over all points y but the j-th: its value at
// that point, and its coefficients, lowest power first.
func product(p []*big.Rat, j int) (at *big.Rat, coefficients []float64) {
	at, poly := big.NewRat(1, 1), rationals(1, 1)
	for l, y := range p {
		if l == j {
			continue
		}
		if j >= 0 {
			at.Mul(at, new(big.Rat).Sub(p[j], y))
		}
		next := append([]*big.Rat{new(big.Rat)}, poly...)
		for i, c := range poly {
			next[i] = new(big.Rat).Sub(next[i], new(big.Rat).Mul(y, c))
		}
		poly = next
	}
	for _, c := range poly {
		coefficients = append(coefficients, float(c))
	}
	return at, coefficients
}

func power(x *big.Rat, n int) *big.Rat {
	y := big.NewRat(1, 1)
	for range n {
		y.Mul(y, x)
	}
	return y
}

func float(x *big.Rat) float64 {
	f, _ := x.Float64()
	return f
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
