package kernel

// Gemm multiplies matrices: C (m x n) = A (m x k) * B (k x n), added to C
// when add is set. A may have any strides, so that it may be transposed; rows
// of B and C are contiguous.
//
//	for i := range m {
//		for j := range n {
//			s := float32(0)
//			for p := range k {
//				s += a[i*ars+p*acs] * b[p*ldb+j]
//			}
//			c[i*ldc+j] = s // += with add
//		}
//	}
//
// The sum over p is made in ascending order in runs of gemmRun, whatever m
// and n are, so splitting rows or columns over threads changes no bit.
func Gemm(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, add bool) {
	if m < 1 || n < 1 {
		return
	}
	if k < 1 {
		clearRows(m, n, c, ldc, add)
		return
	}
	_, _, _ = a[(m-1)*ars+(k-1)*acs], b[(k-1)*ldb+n-1], c[(m-1)*ldc+n-1] // the only bounds check
	for p := 0; p < k; p += gemmRun {
		gemmRuns(m, n, min(gemmRun, k-p), a[p*acs:], ars, acs, b[p*ldb:], ldb, c, ldc, add || p > 0)
	}
}

// gemmRun keeps a panel of B within a first-level cache.
const gemmRun = 256

func clearRows(m, n int, c []float32, ldc int, add bool) {
	for i := 0; i < m && !add; i++ {
		clear(c[i*ldc : i*ldc+n])
	}
}

func gemmRuns(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, add bool) {
	if cpu.tiles == nil {
		gemmGo(m, n, k, a, ars, acs, b, ldb, c, ldc, add)
		return
	}
	plus := 0
	if add {
		plus = 1
	}
	for j := 0; j < n; {
		vecs := min(2, max(1, (n-j)/cpu.lanes))
		mask := &masks[len(masks)/2-min(cpu.lanes, n-j)]
		for i, r := 0, len(cpu.tiles)-1; r >= 0; r-- {
			if blocks := (m - i) >> r; blocks > 0 {
				cpu.tiles[r][vecs-1](blocks, k, &a[i*ars], 4*ars, 4*acs, &b[j], 4*ldb, &c[i*ldc+j], 4*ldc, plus, mask)
				i += blocks << r
			}
		}
		j += vecs * cpu.lanes
	}
}

// masks holds 16 lanes that count and 16 that do not.
var masks = [32]int32{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

// gemmGo is Gemm for processors without a kernel.
func gemmGo(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, add bool) {
	clearRows(m, n, c, ldc, add)
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		p := 0
		for ; p+4 <= k; p += 4 {
			s := [4]float32{a[i*ars+p*acs], a[i*ars+(p+1)*acs], a[i*ars+(p+2)*acs], a[i*ars+(p+3)*acs]}
			axpy4(row, s, b[p*ldb:], b[(p+1)*ldb:], b[(p+2)*ldb:], b[(p+3)*ldb:])
		}
		for ; p < k; p++ {
			axpy(row, a[i*ars+p*acs], b[p*ldb:])
		}
	}
}

func axpy(y []float32, s float32, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] += s * v
	}
}

func axpy4(y []float32, s [4]float32, a, b, c, d []float32) {
	a, b, c, d = a[:len(y)], b[:len(y)], c[:len(y)], d[:len(y)]
	for i := range y {
		y[i] = y[i] + s[0]*a[i] + s[1]*b[i] + s[2]*c[i] + s[3]*d[i]
	}
}
