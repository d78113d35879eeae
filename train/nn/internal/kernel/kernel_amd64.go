//go:build !noasm

package kernel

import "golang.org/x/sys/cpu"

//go:generate go run ./gen

// level is the instruction set in use; tests lower it.
var level = detect()

const (
	levelGo = iota
	levelAVX2
	levelAVX512
)

func detect() int {
	x := &cpu.X86
	switch {
	case x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL:
		return levelAVX512
	case x.HasAVX2 && x.HasFMA:
		return levelAVX2
	}
	return levelGo
}

// gemmTile is a micro-kernel: blocks times its number of rows of C, by one or
// two vectors. Strides are in bytes; mask, one int32 a lane, says which lanes
// of a single vector count.
type gemmTile func(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

// gemmTiles go by the logarithm of the rows and by vectors-1.
var (
	gemmAVX512 = [4][2]gemmTile{{gemm1x1AVX512, gemm1x2AVX512}, {gemm2x1AVX512, gemm2x2AVX512}, {gemm4x1AVX512, gemm4x2AVX512}, {gemm8x1AVX512, gemm8x2AVX512}}
	gemmAVX2   = [3][2]gemmTile{{gemm1x1AVX2, gemm1x2AVX2}, {gemm2x1AVX2, gemm2x2AVX2}, {gemm4x1AVX2, gemm4x2AVX2}}
)

// masks holds 16 lanes that count and 16 that do not.
var masks = [32]int32{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

func gemmRuns(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, add bool) {
	switch level {
	case levelAVX512:
		gemmPanels(gemmAVX512[:], 16, m, n, k, a, ars, acs, b, ldb, c, ldc, add)
	case levelAVX2:
		gemmPanels(gemmAVX2[:], 8, m, n, k, a, ars, acs, b, ldb, c, ldc, add)
	default:
		gemmGo(m, n, k, a, ars, acs, b, ldb, c, ldc, add)
	}
}

func gemmPanels(tiles [][2]gemmTile, lanes, m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, add bool) {
	plus := 0
	if add {
		plus = 1
	}
	for j := 0; j < n; {
		vecs := min(2, max(1, (n-j)/lanes))
		mask := &masks[16-min(lanes, n-j)]
		for i, r := 0, len(tiles)-1; r >= 0; r-- {
			if blocks := (m - i) >> r; blocks > 0 {
				tiles[r][vecs-1](blocks, k, &a[i*ars], 4*ars, 4*acs, &b[j], 4*ldb, &c[i*ldc+j], 4*ldc, plus, mask)
				i += blocks << r
			}
		}
		j += vecs * lanes
	}
}
