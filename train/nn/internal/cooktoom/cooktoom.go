// Package cooktoom makes the matrices of Winograd's minimal filtering: m
// outputs of a filter of r taps from m+r-1 inputs with m+r-1 products,
//
//	y = AT ((G g) . (BT d)),  y[i] = sum over k of g[k] d[i+k]
//
// (Toom 1963, Cook 1966, Winograd 1980; for networks Lavin and Gray 2016.)
package cooktoom

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

// points are where polynomials are evaluated, the last at infinity: small
// powers of two keep the sums accurate, and pairs of opposite sign share
// their even and odd parts.
var points = []float64{0, 1, -1, 2, -2, 0.5, -0.5}

// New returns F(m, r), for m+r up to 9.
func New(m, r int) Algorithm {
	n := m + r - 1
	p := points[:n-1]
	a := Algorithm{M: m, R: r, AT: make(Matrix, m)}
	for i := range a.AT {
		for _, x := range p {
			a.AT[i] = append(a.AT[i], power(x, i))
		}
		a.AT[i] = append(a.AT[i], one(i == m-1))
	}
	for j, x := range p {
		norm := 1.0
		others := []float64{1} // coefficients of the product of (X - others)
		for l, y := range p {
			if l != j {
				norm *= x - y
				others = times(others, y)
			}
		}
		row := make([]float64, r)
		for k := range row {
			row[k] = power(x, k) / norm
		}
		a.G = append(a.G, row)
		a.BT = append(a.BT, append(others, 0))
	}
	all := []float64{1}
	for _, y := range p {
		all = times(all, y)
	}
	last := make([]float64, r)
	last[r-1] = 1
	a.G, a.BT = append(a.G, last), append(a.BT, all)
	return a
}

func power(x float64, n int) float64 {
	y := 1.0
	for range n {
		y *= x
	}
	return y
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// times multiplies a polynomial, lowest power first, by (X - y).
func times(p []float64, y float64) []float64 {
	q := make([]float64, len(p)+1)
	for i, c := range p {
		q[i] -= y * c
		q[i+1] += c
	}
	return q
}
