package kernel

import (
	"math"
	"sync"
)

// BF16 is a bfloat16: the upper half of a float32.
type BF16 uint16

// Float returns the value, which is exact.
func (b BF16) Float() float32 { return math.Float32frombits(uint32(b) << 16) }

// RoundBF16 returns the nearest bfloat16, of two equally near the even one. A
// NaN that arithmetic makes stays one.
func RoundBF16(x float32) BF16 {
	u := math.Float32bits(x)
	return BF16((u + 0x7fff + u>>16&1) >> 16)
}

// Round is dst[i] = RoundBF16(src[i]).
func Round(dst []BF16, src []float32) {
	dst = dst[:len(src)]
	n := 0
	if cpu.round != nil {
		if n = len(src) / 16; n > 0 {
			cpu.round(n, &src[0], &dst[0])
		}
	}
	roundGo(dst[16*n:], src[16*n:])
}

func roundGo(dst []BF16, src []float32) {
	for i, v := range src {
		dst[i] = RoundBF16(v)
	}
}

// Block is the number of rows, of columns and of summands that bfloat16
// products are made of.
const Block = 32

// blockSize is the number of values of a block.
const blockSize = Block * Block

// PairAt is where MulTiles' right factor B, of k by any number of columns,
// keeps the value of row i and column j. B is made of blocks of 32 by 32, the
// blocks of 32 columns one after the other, each of two halves of 16 columns,
// in which two rows are interleaved.
func PairAt(k, i, j int) int {
	return (j/Block*(k/Block)+i/Block)*blockSize + j/16%2*(blockSize/2) + i%Block/2*32 + j%16*2 + i%2
}

// Pairs writes steps*32 rows of c values, c a multiple of 32, as a right
// factor of which they are rows; next is the distance of the parts of dst for
// 32 columns.
//
//	dst[j/32*next+PairAt(32*steps, i, j%32)] = src[i*c+j]
func Pairs(dst []BF16, next int, src []BF16, c, steps int) {
	if steps < 1 || c < Block {
		return
	}
	_, _ = src[Block*steps*c-1], dst[(c/Block-1)*next+blockSize*steps-1]
	if cpu.pairs == nil {
		pairsGo(dst, next, src, c, steps)
		return
	}
	for j := range c / Block {
		cpu.pairs(steps, &src[j*Block], &dst[j*next], 2*c)
	}
}

func pairsGo(dst []BF16, next int, src []BF16, c, steps int) {
	for i := range Block * steps {
		for j, v := range src[i*c:][:c] {
			dst[j/Block*next+PairAt(Block*steps, i, j%Block)] = v
		}
	}
}

// Planes transposes steps*32 rows of c values, c a multiple of 32; rows of dst
// begin plane values apart.
//
//	dst[j*plane+i] = src[i*c+j]
func Planes(dst []BF16, plane int, src []BF16, c, steps int) {
	if steps < 1 || c < Block {
		return
	}
	_, _ = src[Block*steps*c-1], dst[(c-1)*plane+Block*steps-1]
	if cpu.planes == nil {
		planesGo(dst, plane, src, c, steps)
		return
	}
	for j := 0; j < c; j += 16 {
		cpu.planes(steps, &src[j], &dst[j*plane], 2*c, 2*plane)
	}
}

func planesGo(dst []BF16, plane int, src []BF16, c, steps int) {
	for i := range Block * steps {
		for j, v := range src[i*c:][:c] {
			dst[j*plane+i] = v
		}
	}
}

// Job is a block of 32 by 32 values of a product: how far behind the
// beginnings of A and C its rows begin, in bytes.
type Job struct{ A, C int }

// MulTiles multiplies bfloat16 matrices in float32: for each job, C, 32 rows
// of 32 columns, is A times B, and added to C with add. The sum over k is made
// in steps of 32, and step s finds its 32 columns of A another offs[s] bytes
// on. Rows of A begin row values apart, rows of C ldc. B is as PairAt has it.
//
//	for _, job := range jobs {
//		for i := range 32 {
//			for j := range 32 {
//				for k := range 32 * len(offs) {
//					x := a[(job.A+offs[k/32])/2+i*row+k%32]
//					c[job.C/4+i*ldc+j] += float(x) * float(b[PairAt(32*len(offs), k, j)])
//				}
//			}
//		}
//	}
//
// Products are exact; the order of the summands of one value of C does not
// depend on jobs.
func MulTiles(jobs []Job, offs []int, a []BF16, row int, b []BF16, c []float32, ldc int, add bool) {
	if len(jobs) < 1 {
		return
	}
	if len(offs) < 1 {
		for _, job := range jobs {
			clearRows(Block, Block, c[job.C/4:], ldc, add)
		}
		return
	}
	var end Job
	last := 0
	for _, o := range offs {
		last = max(last, o)
	}
	for _, job := range jobs {
		end = Job{max(end.A, job.A), max(end.C, job.C)}
	}
	_, _, _ = a[(end.A+last)/2+(Block-1)*row+Block-1], b[len(offs)*blockSize-1], c[end.C/4+(Block-1)*ldc+Block-1]
	if cpu.mulTiles == nil {
		mulTilesGo(jobs, offs, a, row, b, c, ldc, add)
		return
	}
	plus := 0
	if add {
		plus = 1
	}
	cpu.mulTiles(&jobs[0], len(jobs), &offs[0], len(offs), &a[0], 2*row, &b[0], &c[0], 4*ldc, plus)
}

// factors are blocks in float32.
var factors = sync.Pool{New: func() any { return new([2][blockSize]float32) }}

// mulTilesGo is MulTiles for processors without tiles: it makes the factors
// float32 block by block.
func mulTilesGo(jobs []Job, offs []int, a []BF16, row int, b []BF16, c []float32, ldc int, add bool) {
	f := factors.Get().(*[2][blockSize]float32)
	defer factors.Put(f)
	x, y := &f[0], &f[1]
	for s, o := range offs {
		for i := range Block {
			for j := range Block {
				y[i*Block+j] = b[s*blockSize+PairAt(Block, i, j)].Float()
			}
		}
		for _, job := range jobs {
			for i := range Block {
				for j, v := range a[(job.A+o)/2+i*row:][:Block] {
					x[i*Block+j] = v.Float()
				}
			}
			Gemm(Block, Block, Block, x[:], Block, 1, y[:], Block, c[job.C/4:], ldc, add || s > 0)
		}
	}
}

// FastBF16 reports whether this processor multiplies bfloat16 by itself.
func FastBF16() bool { return cpu.mulTiles != nil }
