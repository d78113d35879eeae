package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// TestBLAS holds Sgemm against gonum's for all its arguments.
func TestBLAS(t *testing.T) {
	onEachSet(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(11, 12))
		for _, tA := range []blas.Transpose{blas.NoTrans, blas.Trans} {
			for _, tB := range []blas.Transpose{blas.NoTrans, blas.Trans} {
				for _, alpha := range []float32{1, 0.5} {
					for _, beta := range []float32{0, 1, 2} {
						m, n, k := 1+rng.IntN(40), 1+rng.IntN(70), 1+rng.IntN(50)
						lda, ldb, ldc := max(m, k)+3, max(n, k)+1, n+2
						a, b := random(rng, lda*max(m, k)), random(rng, ldb*max(n, k))
						c := random(rng, m*ldc)
						want := c.clone()
						BLAS{}.Sgemm(tA, tB, m, n, k, alpha, a.v, lda, b.v, ldb, beta, c.v, ldc)
						gonum.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a.v, lda, b.v, ldb, beta, want.v, ldc)
						c.check(t, fmt.Sprintf("%c%c %dx%dx%d alpha %g beta %g", tA, tB, m, n, k, alpha, beta), want.v, 2e-5)
					}
				}
			}
		}
	})
}
