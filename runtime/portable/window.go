package portable

import (
	"fmt"

	"mien/runtime/graph"
)

// window is how a filter moves over a picture: pictures, their size, the
// output's size, the filter, its strides and dilations, and the padding above
// and to the left.
type window struct {
	n, ih, iw, ic  int
	oh, ow, oc     int
	kh, kw         int
	sh, sw, dh, dw int
	top, left      int
}

// newWindow checks that output has the shape that TFLite would give it.
func newWindow(in, out *graph.Tensor, oc, kh, kw, sh, sw, dh, dw int, padding graph.Padding) (window, error) {
	if len(in.Shape) != 4 || len(out.Shape) != 4 {
		return window{}, fmt.Errorf("input %v and output %v, want four dimensions of both", in.Shape, out.Shape)
	}
	w := window{
		n: in.Shape[0], ih: in.Shape[1], iw: in.Shape[2], ic: in.Shape[3], oc: oc,
		kh: kh, kw: kw, sh: sh, sw: sw, dh: dh, dw: dw,
	}
	for _, v := range []int{kh, kw, sh, sw, dh, dw} {
		if v < 1 || v > maxElems {
			return window{}, fmt.Errorf("filter %dx%d, stride %dx%d, dilation %dx%d: all must be at least 1", kh, kw, sh, sw, dh, dw)
		}
	}
	var err error
	if w.oh, w.top, err = slide(w.ih, kh, sh, dh, padding); err != nil {
		return window{}, err
	}
	if w.ow, w.left, err = slide(w.iw, kw, sw, dw, padding); err != nil {
		return window{}, err
	}
	if s := out.Shape; s[0] != w.n || s[1] != w.oh || s[2] != w.ow || s[3] != oc {
		return window{}, fmt.Errorf("output %v, want [%d %d %d %d]", s, w.n, w.oh, w.ow, oc)
	}
	if int64(w.bandRows(w.oh))*int64(w.bandWidth())*int64(max(w.ic, w.oc)) > maxElems {
		return window{}, fmt.Errorf("filter %dx%d with dilation %dx%d needs too much padding", kh, kw, dh, dw)
	}
	return w, nil
}

// padded says whether any window reaches outside of the input.
func (g *window) padded() bool {
	return g.top > 0 || g.left > 0 || g.bandRows(g.oh) > g.ih || g.bandWidth() > g.iw
}

// longRow is how many sums a row of output should have at most: they stay in
// the first level cache between tiles and epilogue.
const longRow = 6000

// flatten makes the rows of a 1x1 convolution longer, as there it does not
// matter where a row ends: tiles are fuller and rows fewer. At least as many
// rows as there are threads remain.
func (g *window) flatten(threads int) {
	if g.kh*g.kw*g.sh*g.sw != 1 {
		return
	}
	pixels := g.n * g.oh * g.ow
	for l := g.ow; l <= pixels/threads && l*g.oc <= longRow; l++ {
		if pixels%l == 0 {
			g.ow = l
		}
	}
	g.n, g.iw, g.oh = 1, g.ow, pixels/g.ow
	g.ih = g.oh
}

// slide returns the positions of a filter along one side and the padding
// before the first.
func slide(in, k, stride, dilation int, padding graph.Padding) (out, before int, err error) {
	if int64(k-1)*int64(dilation) >= maxElems {
		return 0, 0, fmt.Errorf("filter of %d with dilation %d is too large", k, dilation)
	}
	reach := (k-1)*dilation + 1
	switch padding {
	case graph.Same:
		out = (in + stride - 1) / stride
		return out, max((out-1)*stride+reach-in, 0) / 2, nil
	case graph.Valid:
		if in < reach {
			return 0, 0, fmt.Errorf("filter of %d is larger than its input of %d", reach, in)
		}
		return (in - reach + stride) / stride, 0, nil
	}
	return 0, 0, fmt.Errorf("padding %d is neither SAME nor VALID", padding)
}

// rows is the number of output rows of all pictures.
func (g *window) rows() int { return g.n * g.oh }

// bandWidth and bandRows are the size of the padded input that output rows see.
func (g *window) bandWidth() int          { return (g.ow-1)*g.sw + (g.kw-1)*g.dw + 1 }
func (g *window) bandRows(rows int) int   { return (rows-1)*g.sh + (g.kh-1)*g.dh + 1 }
func (g *window) maxBandRows(n int) int   { return g.bandRows(min((g.rows()+n-1)/n, g.oh)) }
func (g *window) pictures(lo, hi int) int { return (hi-1)/g.oh - lo/g.oh + 1 }

// piece returns the output rows [y0, y1) of picture b that are in the rows
// [lo, hi) of all pictures; i counts the pictures that these touch.
func (g *window) piece(lo, hi, i int) (b, y0, y1 int) {
	b = lo/g.oh + i
	return b, max(lo-b*g.oh, 0), min(hi-b*g.oh, g.oh)
}

// fillBand copies the input rows of picture b that the output rows [y0, y1)
// see into band, with the padding written out. load copies activations, each
// into elem elements; pad is a row of padding.
func fillBand[T int8 | float32](g *window, band, src, pad []T, b, y0, y1, elem int, load func(dst, src []T)) {
	width := g.bandWidth()
	left := g.left * g.ic
	mid := min(g.iw, width-g.left) * g.ic
	row := width * g.ic
	src = src[b*g.ih*g.iw*g.ic:]
	for r := range g.bandRows(y1 - y0) {
		dst := band[r*row*elem:][:row*elem]
		iy := y0*g.sh - g.top + r
		if iy < 0 || iy >= g.ih {
			load(dst, pad[:row])
			continue
		}
		load(dst[:left*elem], pad[:left])
		load(dst[left*elem:][:mid*elem], src[iy*g.iw*g.ic:][:mid])
		load(dst[(left+mid)*elem:], pad[:row-left-mid])
	}
}

// fillCols copies the windows of one output row, whose first band row is y,
// side by side: each step elements after the one before, the rest zero if fill.
func fillCols[T int8 | float32](g *window, cols, band []T, y, elem, step int, fill bool) {
	row := g.bandWidth() * g.ic * elem
	run, taps, next := g.kw*g.ic*elem, 1, 0
	if g.dw > 1 {
		run, taps, next = g.ic*elem, g.kw, g.dw*g.ic*elem
	}
	for ky := range g.kh {
		line := band[(y+ky*g.dh)*row:]
		for x := range g.ow {
			dst, src := cols[x*step+ky*run*taps:], line[x*g.sw*g.ic*elem:]
			for k := range taps {
				short(dst[k*run:][:run], src[k*next:][:run])
			}
		}
	}
	if !fill {
		return
	}
	for x := range g.ow {
		clear(cols[x*step+g.kh*run*taps : (x+1)*step])
	}
}

// short is copy for runs that are mostly a few values long, for which calling
// the runtime's copy takes longer than copying.
func short[T int8 | float32](dst, src []T) {
	if len(dst) > 16 {
		copy(dst, src)
		return
	}
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = src[i]
	}
}
