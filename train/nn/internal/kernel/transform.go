package kernel

import "mien/train/nn/internal/cooktoom"

// Filter is a Winograd algorithm that has kernels. Its matrices follow in the
// order of MatrixNames.
type Filter struct {
	cooktoom.Algorithm
	index int // in Filters
}

// Filters are the algorithms in use: 4x4 and 5x5 outputs of a 3x3 filter, 2x2
// and 4x4 outputs of a 5x5 filter.
var Filters = []Filter{{cooktoom.New(4, 3), 0}, {cooktoom.New(5, 3), 1}, {cooktoom.New(2, 5), 2}, {cooktoom.New(4, 5), 3}}

// The matrices of a filter: of inputs, outputs and weights, and their
// transposes, which take gradients the other way.
const (
	BT = iota
	B
	AT
	A
	G
	GT
	matrixCount
)

// MatrixNames are what the assembly calls them.
var MatrixNames = [matrixCount]string{"BT", "B", "AT", "A", "G", "GT"}

// Matrices returns the filter's matrices by BT to GT.
func (f Filter) Matrices() [matrixCount]cooktoom.Matrix {
	a := f.Algorithm
	return [matrixCount]cooktoom.Matrix{a.BT, a.BT.T(), a.AT, a.AT.T(), a.G, a.G.T()}
}

// View is a grid of rows and columns of c channels each: where it starts in a
// slice, and the steps from one row and one column to the next.
type View struct {
	V        []float32
	Row, Col int
}

// Transform multiplies columns by one of the filter's matrices P, channel by
// channel:
//
//	for col := range cols {
//		for i := range P {
//			for ch := range c {
//				sum := float32(0)
//				for j := range P[i] {
//					sum += P[i][j] * src.V[j*src.Row+col*src.Col+ch]
//				}
//				dst.V[i*dst.Row+col*dst.Col+ch] = sum
//			}
//		}
//	}
func (f Filter) Transform(matrix, cols, c int, dst, src View) {
	m := matrices[f.index][matrix]
	_ = dst.V[(len(m)-1)*dst.Row+(cols-1)*dst.Col+c-1]
	_ = src.V[(len(m[0])-1)*src.Row+(cols-1)*src.Col+c-1]
	if c%cpu.lanes == 0 {
		cpu.transforms[f.index][matrix](cols, c/cpu.lanes, &dst.V[0], 4*dst.Row, 4*dst.Col, &src.V[0], 4*src.Row, 4*src.Col)
		return
	}
	transformGo(m, cols, c, dst, src)
}

// matrices are those of Filters in float32.
var matrices = func() (all [][matrixCount][][]float32) {
	for _, f := range Filters {
		var set [matrixCount][][]float32
		for k, m := range f.Matrices() {
			for _, row := range m {
				var r []float32
				for _, v := range row {
					r = append(r, float32(v))
				}
				set[k] = append(set[k], r)
			}
		}
		all = append(all, set)
	}
	return all
}()

func transformGo(m [][]float32, cols, c int, dst, src View) {
	for col := range cols {
		for i, row := range m {
			d := dst.V[i*dst.Row+col*dst.Col:][:c]
			clear(d)
			for j, p := range row {
				if p != 0 {
					axpy(d, p, src.V[j*src.Row+col*src.Col:][:c])
				}
			}
		}
	}
}

// transform is the kernel of one matrix; strides are in bytes.
type transform func(cols, v int, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int)
