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
