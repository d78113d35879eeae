//go:build !noasm

package kernel

import x86 "golang.org/x/sys/cpu"

//go:generate go run -tags noasm ./gen

// sets returns what this machine has, best first.
func sets() []isa {
	var s []isa
	if x := &x86.X86; x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL {
		if hasTiles() {
			s = append(s, amx())
		}
		s = append(s, avx512)
	}
	if x86.X86.HasAVX2 && x86.X86.HasFMA {
		s = append(s, avx2)
	}
	return append(s, portable)
}

var avx512 = isa{
	name: "AVX512", lanes: 16,
	tiles: [][2]gemmTile{
		{gemm1x1AVX512, gemm1x2AVX512},
		{gemm2x1AVX512, gemm2x2AVX512},
		{gemm4x1AVX512, gemm4x2AVX512},
		{gemm8x1AVX512, gemm8x2AVX512},
	},
	transforms: [][matrixCount]transform{
		{f43BTAVX512, f43BAVX512, f43ATAVX512, f43AAVX512, f43GAVX512, f43GTAVX512},
		{f53BTAVX512, f53BAVX512, f53ATAVX512, f53AAVX512, f53GAVX512, f53GTAVX512},
		{f25BTAVX512, f25BAVX512, f25ATAVX512, f25AAVX512, f25GAVX512, f25GTAVX512},
		{f45BTAVX512, f45BAVX512, f45ATAVX512, f45AAVX512, f45GAVX512, f45GTAVX512},
	},
	elu:             eluAVX512,
	eluGrad:         eluGradAVX512,
	clamp:           clampAVX512,
	clampGrad:       clampGradAVX512,
	add:             addAVX512,
	adam:            adamAVX512,
	drop:            dropAVX512,
	normPool:        normPoolAVX512,
	normPoolMoments: normPoolMomentsAVX512,
	normPoolGrad:    normPoolGradAVX512,
	sumRows:         sumRowsAVX512,
	addRow:          addRowAVX512,
	moments:         momentsAVX512,
	affine:          affineAVX512,
	gradMoments:     gradMomentsAVX512,
	affine2:         affine2AVX512,
	round:           roundBFAVX512,
	pairs:           pairsAVX512,
	planes:          planesAVX512,
}

// amx is AVX-512 with tiles.
func amx() isa {
	s := avx512
	s.name, s.mulTiles = "AMX", mulTilesAMX
	return s
}

var avx2 = isa{
	name: "AVX2", lanes: 8,
	tiles: [][2]gemmTile{
		{gemm1x1AVX2, gemm1x2AVX2},
		{gemm2x1AVX2, gemm2x2AVX2},
		{gemm4x1AVX2, gemm4x2AVX2},
	},
	transforms: [][matrixCount]transform{
		{f43BTAVX2, f43BAVX2, f43ATAVX2, f43AAVX2, f43GAVX2, f43GTAVX2},
		{f53BTAVX2, f53BAVX2, f53ATAVX2, f53AAVX2, f53GAVX2, f53GTAVX2},
		{f25BTAVX2, f25BAVX2, f25ATAVX2, f25AAVX2, f25GAVX2, f25GTAVX2},
		{f45BTAVX2, f45BAVX2, f45ATAVX2, f45AAVX2, f45GAVX2, f45GTAVX2},
	},
	elu:             eluAVX2,
	eluGrad:         eluGradAVX2,
	clamp:           clampAVX2,
	clampGrad:       clampGradAVX2,
	add:             addAVX2,
	adam:            adamAVX2,
	drop:            dropAVX2,
	normPool:        normPoolAVX2,
	normPoolMoments: normPoolMomentsAVX2,
	normPoolGrad:    normPoolGradAVX2,
	sumRows:         sumRowsAVX2,
	addRow:          addRowAVX2,
	moments:         momentsAVX2,
	affine:          affineAVX2,
	gradMoments:     gradMomentsAVX2,
	affine2:         affine2AVX2,
}
