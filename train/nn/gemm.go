package nn

import (
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"mien/train/nn/internal/kernel"
)

// useKernels gives gonum our matrix product, for this package and for all of
// the program.
var useKernels = sync.OnceFunc(func() { blas32.Use(kernel.BLAS{}) })

// gemm is C = A * B, or C += A * B with add, for C of m x n; transA says that
// A is stored as k x m.
func gemm(transA bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, add bool) {
	op, beta := blas.NoTrans, float32(0)
	if transA {
		op = blas.Trans
	}
	if add {
		beta = 1
	}
	blas32.Implementation().Sgemm(op, blas.NoTrans, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
}
