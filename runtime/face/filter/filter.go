// Package filter makes of a face the picture that a network was taught on in
// its place: what a classical descriptor sees in it, as many pixels wide and
// high. A network has one filter or none. Its input is called after it, so that
// whoever runs the network knows, and an engine that does not refuses the file;
// engines and train/nn filter by themselves, and nobody else has to.
//
//   - gabor: the energy of a bank of Gabor filters, two wavelengths in six
//     directions (Daugman 1985; Lyons et al. 1998, "Coding facial expressions with
//     Gabor wavelets"), at each pixel, as a part of what the picture has on
//     average. It keeps where there is structure of such a width, and neither its
//     direction nor the light.
//   - hog: the whole descriptor of Dalal and Triggs 2005, "Histograms of oriented
//     gradients for human detection": cells of 6x6 pixels, 9 directions, blocks of
//     2x2 cells, L2-Hys. Its 7x7 blocks lie as in the face, each as 6x6 pixels: 2x2
//     cells of 3x3 directions. Levels are square roots, or a quarter of them would be used.
//   - lbp: the code of each pixel (Ojala, Pietikäinen and Harwood 1996): a bit for
//     each of the eight neighbours that is not darker. Levels are names rather than
//     amounts: Levi and Hassner 2015, "Emotion recognition in the wild via
//     convolutional neural networks and mapped binary patterns", say what that costs.
//   - sift: 4x4 upright descriptors of Lowe 2004, "Distinctive image features from
//     scale-invariant keypoints", each of 4x4 cells of 4x4 pixels and 11 pixels from
//     the next, so that they overlap. A cell is a compass of 3x3 pixels, with what
//     rises eastwards in the east, and nothing in its middle.
//
// What hog and sift leave of the picture's border is black. Everything is
// computed from grey levels and gives grey levels, so that eight bits carry it.
package filter

import (
	"fmt"
	"image"

	"mien/runtime/model"
)

// makers make what computes each: it may keep working memory, and is given
// other memory to write than to read.
var makers = map[model.Filter]func() func(dst, src *[pixels]uint8){
	model.Gabor: newGabor,
	model.HOG:   newHOG,
	model.LBP:   func() func(dst, src *[pixels]uint8) { return codes },
	model.SIFT:  newSIFT,
}

const (
	side   = model.Side
	pixels = side * side
)

// Filter is a filter at work. It serves one goroutine at a time.
type Filter struct {
	apply    func(dst, src *[pixels]uint8)
	src, dst [pixels]uint8
	made     image.Gray
}

// New returns a filter. That of model.NoFilter is nil, which leaves faces as they
// are.
func New(name model.Filter) (*Filter, error) {
	if name == model.NoFilter {
		return nil, nil
	}
	maker, ok := makers[name]
	if !ok {
		return nil, fmt.Errorf("filter: %w", name.Check())
	}
	f := &Filter{apply: maker()}
	f.made = image.Gray{Pix: f.dst[:], Stride: side, Rect: image.Rect(0, 0, side, side)}
	return f, nil
}

// Of returns what the filter makes of a face, which has model.Side pixels each
// way. It is the filter's own memory, good until the next call, and allocates
// nothing.
func (f *Filter) Of(face *image.Gray) *image.Gray {
	if f == nil {
		return face
	}
	for y := range side {
		copy(f.src[y*side:][:side], face.Pix[y*face.Stride:])
	}
	f.apply(&f.dst, &f.src)
	return &f.made
}

// Values filters a face of grey levels divided by 255, row by row, in place. It
// rounds them to levels before, so that it computes what Of does.
func (f *Filter) Values(x []float32) {
	if f == nil {
		return
	}
	for i, v := range x {
		f.src[i] = uint8(min(max(v, 0), 1)*255 + 0.5)
	}
	f.apply(&f.dst, &f.src)
	for i, v := range f.dst {
		x[i] = float32(v) / 255
	}
}

// level is v rounded to a grey level.
func level(v float32) uint8 { return uint8(min(v+0.5, 255)) }
