package kernel

// Gemm multiplies matrices: C (m x n) = A (m x k) * B (k x n), added to C
// when add is set. A may have any strides, so that it may be transposed; rows
// of B and C are contiguous. Element by element, in this order:
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
// Every element of C is summed over p in ascending order, whatever m and n
// are, so splitting rows or columns over threads changes no bit.
func Gemm(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, add bool) {
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		if !add {
			clear(row)
		}
		for p := range k {
			axpy(a[i*ars+p*acs], b[p*ldb:p*ldb+n], row)
		}
	}
}

func axpy(s float32, x, y []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += s * v
	}
}
