//go:build !amd64 || noasm

package kernel

// level is the instruction set in use: there is but one.
var level = levelGo

const levelGo = 0

func gemmRuns(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, add bool) {
	gemmGo(m, n, k, a, ars, acs, b, ldb, c, ldc, add)
}
