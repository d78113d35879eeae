package kernel

import "math"

// isa is an instruction set's assembly. Counts are of vectors or of rows and
// vectors in a row; pointers are in the order of the generated kernels.
type isa struct {
	name  string
	lanes int // floats in a vector
	tiles [][2]gemmTile

	transforms [][matrixCount]transform // by Filters

	elu       func(n int, x *float32)
	eluGrad   func(n int, g, y *float32)
	clamp     func(n int, x *float32, limit float32)
	clampGrad func(n int, g, y *float32, limit float32)
	add       func(n int, y, x *float32)
	adam      func(n int, p, g, m, v *float32, invBeta1, beta2, invBeta2, step, root, eps, keep float32)

	drop func(n int, x *float32, k0, k1, limit uint32, scale float32)

	normPool        func(n, v, row int, x, y, scale, shift *float32)
	normPoolMoments func(n, v, row int, x, dy, scale, sum, dot, mean *float32)
	normPoolGrad    func(n, v, row int, x, dx, dy, a, b, d *float32)

	sumRows     func(n, v int, x, sum *float32)
	addRow      func(n, v int, x, row *float32)
	moments     func(n, v int, x, sum, sq, shift *float32)
	affine      func(n, v int, y, x, scale, shift *float32)
	gradMoments func(n, v int, g, x, sum, dot, mean *float32)
	affine2     func(n, v int, g, x, a, b, d *float32)

	// On bfloat16; nil where there is only the Go loop.
	round    func(n int, x *float32, y *BF16)
	pairs    func(steps int, x, y *BF16, row int)
	planes   func(steps int, x, y *BF16, row, plane int)
	mulTiles func(jobs *Job, n int, offs *int, steps int, a *BF16, row int, b *BF16, c *float32, ldc, add int)
}

// portable runs the Go loops: nothing is as long as one of its vectors.
var portable = isa{name: "go", lanes: math.MaxInt}

// cpu is the best set of this machine; tests try the others.
var cpu = sets()[0]

// Name is what this machine computes with: the same name, the same bits.
func Name() string {
	if FastBF16() {
		return cpu.name + " and AMX"
	}
	return cpu.name
}

// gemmTile is a micro-kernel: blocks times its number of rows of C, by one or
// two vectors. Strides are in bytes; mask, one int32 a lane, says which lanes
// of a single vector count.
type gemmTile func(blocks, k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, add int, mask *int32)

// slab says how many of x's rows of c values a kernel takes at once, so that
// they stay in the first-level cache, and the vectors in a row: 0 rows where
// the Go loop must do it.
func slab(x []float32, c int) (rows, vectors int) {
	if c%cpu.lanes != 0 || len(x) < c {
		return 0, 0
	}
	return min(len(x)/c, max(1, 4096/c)), c / cpu.lanes
}

//lint:file-ignore U1000 the tables are read by assembly

// Constants of the assembly: the range where exp(x)-1 is not -1, 1/ln 2, ln 2
// in two parts, 1/7! to 1/2!, and a float's exponent bias; the multipliers of
// mix and the numbers of lanes; and counters to begin with.
var (
	expTable = [11]float32{-30, 1 / math.Ln2, 0.693359375, -2.12194440e-4,
		1. / 5040, 1. / 720, 1. / 120, 1. / 24, 1. / 6, 1. / 2, math.Float32frombits(127)}
	oneTable   = [1]float32{1}
	mixTable   = [4]uint32{mixA, mixB, 8, 16}
	countTable = [16]uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	roundTable = [2]uint32{1, 0x7fff}
	pairTable  = interleaved()
)

// interleaved takes 32 values of each of two rows in turns.
func interleaved() (t [64]uint16) {
	for i := range t {
		t[i] = uint16(i/2 + i%2*32)
	}
	return t
}
