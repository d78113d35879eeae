//go:build !noasm

package kernel

// Declarations of kernels_amd64.s. Each does what the field of Set that it
// serves is documented to do.

//go:noescape
func requant512(dst []int8, acc []int32, e *Epilogue)

//go:noescape
func affine512(dst, src []int8, w []int32, e *Epilogue)

//go:noescape
func requant256(dst []int8, acc []int32, e *Epilogue)

//go:noescape
func affine256(dst, src []int8, w []int32, e *Epilogue)

//go:noescape
func lookup512(dst, src []int8, table *[256]int8)

//go:noescape
func flip512(dst, src []int8)

//go:noescape
func widen256(dst, src []int8)

//go:noescape
func maxInt8512(dst, src []int8)

//go:noescape
func maxFloat32512(dst, src []float32)

//go:noescape
func finish512(dst, acc, bias []float32, lo, hi float32)

//go:noescape
func scale512(dst, src, m, a []float32)

//go:noescape
func elu512(dst, src []float32)

//go:noescape
func depthInt8512(t *DepthInt8)

//go:noescape
func depthFloat32512(t *DepthFloat32)

//go:noescape
func maxInt8256(dst, src []int8)

//go:noescape
func maxFloat32256(dst, src []float32)

//go:noescape
func finish256(dst, acc, bias []float32, lo, hi float32)

//go:noescape
func scale256(dst, src, m, a []float32)

//go:noescape
func elu256(dst, src []float32)

//go:noescape
func depthInt8256(t *DepthInt8)

//go:noescape
func depthFloat32256(t *DepthFloat32)

//go:noescape
func tileInt8512x1x1(t *TileInt8)

//go:noescape
func tileInt8512x2x1(t *TileInt8)

//go:noescape
func tileInt8512x3x1(t *TileInt8)

//go:noescape
func tileInt8512x4x1(t *TileInt8)

//go:noescape
func tileInt8512x5x1(t *TileInt8)

//go:noescape
func tileInt8512x6x1(t *TileInt8)

//go:noescape
func tileInt8512x7x1(t *TileInt8)

//go:noescape
func tileInt8512x8x1(t *TileInt8)

//go:noescape
func tileInt8512x9x1(t *TileInt8)

//go:noescape
func tileInt8512x10x1(t *TileInt8)

//go:noescape
func tileInt8512x11x1(t *TileInt8)

//go:noescape
func tileInt8512x12x1(t *TileInt8)

//go:noescape
func tileInt8512x13x1(t *TileInt8)

//go:noescape
func tileInt8512x14x1(t *TileInt8)

//go:noescape
func tileInt8512x1x2(t *TileInt8)

//go:noescape
func tileInt8512x2x2(t *TileInt8)

//go:noescape
func tileInt8512x3x2(t *TileInt8)

//go:noescape
func tileInt8512x4x2(t *TileInt8)

//go:noescape
func tileInt8512x5x2(t *TileInt8)

//go:noescape
func tileInt8512x6x2(t *TileInt8)

//go:noescape
func tileInt8512x7x2(t *TileInt8)

//go:noescape
func tileInt8512x8x2(t *TileInt8)

//go:noescape
func tileInt8512x9x2(t *TileInt8)

//go:noescape
func tileInt8512x10x2(t *TileInt8)

//go:noescape
func tileInt8512x11x2(t *TileInt8)

//go:noescape
func tileInt8512x12x2(t *TileInt8)

//go:noescape
func tileInt8512x13x2(t *TileInt8)

//go:noescape
func tileInt8512x14x2(t *TileInt8)

//go:noescape
func tileInt8256x1(t *TileInt8)

//go:noescape
func tileInt8256x2(t *TileInt8)

//go:noescape
func tileInt8256x3(t *TileInt8)

//go:noescape
func tileInt8256x4(t *TileInt8)

//go:noescape
func tileInt8256x5(t *TileInt8)

//go:noescape
func tileInt8256x6(t *TileInt8)

// Tiles by panels less one and pixels.
var tilesInt8512 = [2][15]func(*TileInt8){
	{nil, tileInt8512x1x1, tileInt8512x2x1, tileInt8512x3x1, tileInt8512x4x1, tileInt8512x5x1, tileInt8512x6x1, tileInt8512x7x1, tileInt8512x8x1, tileInt8512x9x1, tileInt8512x10x1, tileInt8512x11x1, tileInt8512x12x1, tileInt8512x13x1, tileInt8512x14x1},
	{nil, tileInt8512x1x2, tileInt8512x2x2, tileInt8512x3x2, tileInt8512x4x2, tileInt8512x5x2, tileInt8512x6x2, tileInt8512x7x2, tileInt8512x8x2, tileInt8512x9x2, tileInt8512x10x2, tileInt8512x11x2, tileInt8512x12x2, tileInt8512x13x2, tileInt8512x14x2},
}

var tilesInt8256 = [7]func(*TileInt8){nil, tileInt8256x1, tileInt8256x2, tileInt8256x3, tileInt8256x4, tileInt8256x5, tileInt8256x6}

//go:noescape
func tileFloat32512x1x1(t *TileFloat32)

//go:noescape
func tileFloat32512x2x1(t *TileFloat32)

//go:noescape
func tileFloat32512x3x1(t *TileFloat32)

//go:noescape
func tileFloat32512x4x1(t *TileFloat32)

//go:noescape
func tileFloat32512x5x1(t *TileFloat32)

//go:noescape
func tileFloat32512x6x1(t *TileFloat32)

//go:noescape
func tileFloat32512x7x1(t *TileFloat32)

//go:noescape
func tileFloat32512x8x1(t *TileFloat32)

//go:noescape
func tileFloat32512x9x1(t *TileFloat32)

//go:noescape
func tileFloat32512x10x1(t *TileFloat32)

//go:noescape
func tileFloat32512x11x1(t *TileFloat32)

//go:noescape
func tileFloat32512x12x1(t *TileFloat32)

//go:noescape
func tileFloat32512x13x1(t *TileFloat32)

//go:noescape
func tileFloat32512x14x1(t *TileFloat32)

//go:noescape
func tileFloat32512x1x2(t *TileFloat32)

//go:noescape
func tileFloat32512x2x2(t *TileFloat32)

//go:noescape
func tileFloat32512x3x2(t *TileFloat32)

//go:noescape
func tileFloat32512x4x2(t *TileFloat32)

//go:noescape
func tileFloat32512x5x2(t *TileFloat32)

//go:noescape
func tileFloat32512x6x2(t *TileFloat32)

//go:noescape
func tileFloat32512x7x2(t *TileFloat32)

//go:noescape
func tileFloat32512x8x2(t *TileFloat32)

//go:noescape
func tileFloat32512x9x2(t *TileFloat32)

//go:noescape
func tileFloat32512x10x2(t *TileFloat32)

//go:noescape
func tileFloat32512x11x2(t *TileFloat32)

//go:noescape
func tileFloat32512x12x2(t *TileFloat32)

//go:noescape
func tileFloat32512x13x2(t *TileFloat32)

//go:noescape
func tileFloat32512x14x2(t *TileFloat32)

//go:noescape
func tileFloat32256x1(t *TileFloat32)

//go:noescape
func tileFloat32256x2(t *TileFloat32)

//go:noescape
func tileFloat32256x3(t *TileFloat32)

//go:noescape
func tileFloat32256x4(t *TileFloat32)

//go:noescape
func tileFloat32256x5(t *TileFloat32)

//go:noescape
func tileFloat32256x6(t *TileFloat32)

// Tiles by panels less one and pixels.
var tilesFloat32512 = [2][15]func(*TileFloat32){
	{nil, tileFloat32512x1x1, tileFloat32512x2x1, tileFloat32512x3x1, tileFloat32512x4x1, tileFloat32512x5x1, tileFloat32512x6x1, tileFloat32512x7x1, tileFloat32512x8x1, tileFloat32512x9x1, tileFloat32512x10x1, tileFloat32512x11x1, tileFloat32512x12x1, tileFloat32512x13x1, tileFloat32512x14x1},
	{nil, tileFloat32512x1x2, tileFloat32512x2x2, tileFloat32512x3x2, tileFloat32512x4x2, tileFloat32512x5x2, tileFloat32512x6x2, tileFloat32512x7x2, tileFloat32512x8x2, tileFloat32512x9x2, tileFloat32512x10x2, tileFloat32512x11x2, tileFloat32512x12x2, tileFloat32512x13x2, tileFloat32512x14x2},
}

var tilesFloat32256 = [7]func(*TileFloat32){nil, tileFloat32256x1, tileFloat32256x2, tileFloat32256x3, tileFloat32256x4, tileFloat32256x5, tileFloat32256x6}
