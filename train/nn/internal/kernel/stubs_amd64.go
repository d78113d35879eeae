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
