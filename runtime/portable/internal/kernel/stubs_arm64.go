//go:build !noasm

package kernel

// Declarations of kernels_arm64.s. Each does what the field of Set that it
// serves is documented to do, for whole vectors.

//go:noescape
func requantNEON(dst []int8, acc []int32, e *Epilogue)

//go:noescape
func affineNEON(dst, src []int8, w []int32, e *Epilogue)

//go:noescape
func lookupNEON(dst, src []int8, table *[256]int8)

//go:noescape
func maxInt8NEON(dst, src []int8)

//go:noescape
func maxFloat32NEON(dst, src []float32)

//go:noescape
func finishNEON(dst, acc, bias []float32, lo, hi float32)

//go:noescape
func scaleNEON(dst, src, m, a []float32)

//go:noescape
func eluNEON(dst, src []float32)

//go:noescape
func depthInt8NEON(t *DepthInt8)

//go:noescape
func depthFloat32NEON(t *DepthFloat32)

//go:noescape
func tileDotx1(t *TileInt8)

//go:noescape
func tileDotx2(t *TileInt8)

//go:noescape
func tileDotx3(t *TileInt8)

//go:noescape
func tileDotx4(t *TileInt8)

//go:noescape
func tileDotx5(t *TileInt8)

//go:noescape
func tileDotx6(t *TileInt8)

var tilesDot = [7]func(*TileInt8){nil, tileDotx1, tileDotx2, tileDotx3, tileDotx4, tileDotx5, tileDotx6}

//go:noescape
func tileMullx1(t *TileInt8)

//go:noescape
func tileMullx2(t *TileInt8)

//go:noescape
func tileMullx3(t *TileInt8)

//go:noescape
func tileMullx4(t *TileInt8)

//go:noescape
func tileMullx5(t *TileInt8)

//go:noescape
func tileMullx6(t *TileInt8)

var tilesMull = [7]func(*TileInt8){nil, tileMullx1, tileMullx2, tileMullx3, tileMullx4, tileMullx5, tileMullx6}

//go:noescape
func tileFmlax1(t *TileFloat32)

//go:noescape
func tileFmlax2(t *TileFloat32)

//go:noescape
func tileFmlax3(t *TileFloat32)

//go:noescape
func tileFmlax4(t *TileFloat32)

//go:noescape
func tileFmlax5(t *TileFloat32)

//go:noescape
func tileFmlax6(t *TileFloat32)

var tilesFmla = [7]func(*TileFloat32){nil, tileFmlax1, tileFmlax2, tileFmlax3, tileFmlax4, tileFmlax5, tileFmlax6}
