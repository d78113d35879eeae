//go:build !noasm

package kernel

//go:noescape
func gemm8x2AVX512(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm8x1AVX512(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm4x2AVX512(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm4x1AVX512(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm2x2AVX512(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm2x1AVX512(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm1x2AVX512(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm1x1AVX512(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm4x2AVX2(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm4x1AVX2(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm2x2AVX2(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm2x1AVX2(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm1x2AVX2(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func gemm1x1AVX2(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

//go:noescape
func eluAVX512(n int, p0 *float32)

//go:noescape
func eluAVX2(n int, p0 *float32)

//go:noescape
func eluGradAVX512(n int, p0, p1 *float32)

//go:noescape
func eluGradAVX2(n int, p0, p1 *float32)

//go:noescape
func clampAVX512(n int, p0 *float32, limit float32)

//go:noescape
func clampAVX2(n int, p0 *float32, limit float32)

//go:noescape
func clampGradAVX512(n int, p0, p1 *float32, limit float32)

//go:noescape
func clampGradAVX2(n int, p0, p1 *float32, limit float32)

//go:noescape
func adamAVX512(n int, p0, p1, p2, p3 *float32, invBeta1, beta2, invBeta2, step, root, eps, keep float32)

//go:noescape
func adamAVX2(n int, p0, p1, p2, p3 *float32, invBeta1, beta2, invBeta2, step, root, eps, keep float32)

//go:noescape
func sumRowsAVX512(n, v int, p0, p1 *float32)

//go:noescape
func sumRowsAVX2(n, v int, p0, p1 *float32)

//go:noescape
func addRowAVX512(n, v int, p0, p1 *float32)

//go:noescape
func addRowAVX2(n, v int, p0, p1 *float32)

//go:noescape
func momentsAVX512(n, v int, p0, p1, p2, p3 *float32)

//go:noescape
func momentsAVX2(n, v int, p0, p1, p2, p3 *float32)

//go:noescape
func affineAVX512(n, v int, p0, p1, p2, p3 *float32)

//go:noescape
func affineAVX2(n, v int, p0, p1, p2, p3 *float32)

//go:noescape
func gradMomentsAVX512(n, v int, p0, p1, p2, p3, p4 *float32)

//go:noescape
func gradMomentsAVX2(n, v int, p0, p1, p2, p3, p4 *float32)

//go:noescape
func affine2AVX512(n, v int, p0, p1, p2, p3, p4 *float32)

//go:noescape
func affine2AVX2(n, v int, p0, p1, p2, p3, p4 *float32)

//go:noescape
func f43BTAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43BTAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43BAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43BAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43ATAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43ATAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43AAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43AAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43GAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43GAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43GTAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f43GTAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53BTAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53BTAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53BAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53BAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53ATAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53ATAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53AAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53AAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53GAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53GAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53GTAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f53GTAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45BTAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45BTAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45BAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45BAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45ATAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45ATAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45AAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45AAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45GAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45GAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45GTAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f45GTAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func addAVX512(n int, p0, p1 *float32)

//go:noescape
func addAVX2(n int, p0, p1 *float32)

//go:noescape
func f25BTAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25BTAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25BAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25BAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25ATAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25ATAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25AAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25AAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25GAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25GAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25GTAVX512(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func f25GTAVX2(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)

//go:noescape
func dropAVX512(n int, p0 *float32, k0, k1, limit uint32, scale float32)

//go:noescape
func dropAVX2(n int, p0 *float32, k0, k1, limit uint32, scale float32)

//go:noescape
func normPoolAVX512(n, v, row int, p0, p1, p2, p3 *float32)

//go:noescape
func normPoolMomentsAVX512(n, v, row int, p0, p1, p2, p3, p4, p5 *float32)

//go:noescape
func normPoolGradAVX512(n, v, row int, p0, p1, p2, p3, p4, p5 *float32)

//go:noescape
func normPoolAVX2(n, v, row int, p0, p1, p2, p3 *float32)

//go:noescape
func normPoolMomentsAVX2(n, v, row int, p0, p1, p2, p3, p4, p5 *float32)

//go:noescape
func normPoolGradAVX2(n, v, row int, p0, p1, p2, p3, p4, p5 *float32)

//go:noescape
func roundBFAVX512(n int, p0 *float32, p1 *BF16)

//go:noescape
func pairsAVX512(steps int, p0, p1 *BF16, row int)

//go:noescape
func planesAVX512(steps int, p0, p1 *BF16, row, plane int)

//go:noescape
func mulTilesAMX(jobs *Job, n int, offs *int, steps int, a *BF16, row int, b *BF16, c *float32, ldc, add int)
