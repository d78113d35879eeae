package kernel

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// BLAS is gonum's BLAS with a faster Sgemm, for blas32.Use: the products that
// training is made of go through Gemm, all else through gonum.
type BLAS struct{ gonum.Implementation }

var _ blas.Float32 = BLAS{}

// Sgemm computes C = alpha * op(A) * op(B) + beta * C. It is Gemm where alpha
// is 1, beta 0 or 1, and B not transposed.
func (b BLAS) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, A []float32, lda int, B []float32, ldb int, beta float32, C []float32, ldc int) {
	if tB != blas.NoTrans || alpha != 1 || (beta != 0 && beta != 1) || m < 1 || n < 1 || k < 1 || ldb < n || ldc < n {
		b.Implementation.Sgemm(tA, tB, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc)
		return
	}
	rows, cols := lda, 1
	if tA != blas.NoTrans {
		rows, cols = 1, lda
	}
	Gemm(m, n, k, A, rows, cols, B, ldb, C, ldc, beta == 1)
}
