package train

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"

	"mien/runtime/model"
	"mien/train/data"
)

// wild makes of a face from a data set one as it may be met anywhere. A change
// whose key is 0 draws nothing.
type wild struct {
	face  [data.Pixels]uint8
	other [data.Pixels]float32
	coded bytes.Buffer
}

// scene changes what the camera looks at: it covers a part of the face, throws
// a shadow over it and exposes the picture otherwise.
func (w *wild) scene(face []uint8, a *Augment, rng *rand.Rand) []uint8 {
	if a.Cover == 0 && a.Shadow == 0 && a.Exposure == 0 && a.Gamma == 0 {
		return face
	}
	copy(w.face[:], face)
	if a.Cover > 0 && rng.Float64() < a.Cover {
		covers[rng.IntN(len(covers))](&w.face, rng)
	}
	if a.Shadow > 0 && rng.Float64() < a.Shadow {
		shadow(&w.face, rng)
	}
	if a.Exposure > 0 || a.Gamma > 0 {
		expose(&w.face, math.Exp2(a.Exposure*between(rng)), math.Exp(a.Gamma*between(rng)))
	}
	return w.face[:]
}

// file does what a lens, a sensor and a file do.
func (w *wild) file(dst []float32, a *Augment, rng *rand.Rand) {
	if a.Far > 0 {
		w.far(dst, int(model.Side*(1-a.Far*rng.Float64())+0.5))
	}
	if a.Blur > 0 {
		w.blur(dst, a.Blur*rng.Float64())
	}
	if a.Noise > 0 {
		deviation := float32(a.Noise * rng.Float64())
		for i, v := range dst {
			dst[i] = min(max(v+deviation*float32(rng.NormFloat64()), 0), 1)
		}
	}
	if a.JPEG > 0 && rng.Float64() < a.JPEG {
		w.jpeg(dst, 15+rng.IntN(61))
	}
}

// covers are what hides a part of a face. The eyes of a prepared face are
// a third from its top, and as far apart as two fifths of its side.
var covers = []func(*[data.Pixels]uint8, *rand.Rand){hat, glasses, mask}

// paint sets the pixels for which inside is true to a grey with a little grain.
// Places are parts of the side.
func paint(face *[data.Pixels]uint8, grey float64, rng *rand.Rand, inside func(x, y float64) bool) {
	for i := range face {
		x, y := (float64(i%model.Side)+0.5)/model.Side, (float64(i/model.Side)+0.5)/model.Side
		if inside(x, y) {
			face[i] = uint8(min(max(grey+8*between(rng), 0), 255))
		}
	}
}

// hat covers what is above a brim, which hangs lower in the middle.
func hat(face *[data.Pixels]uint8, rng *rand.Rand) {
	brim, bend := 0.16+0.06*between(rng), 0.15*rng.Float64()
	grey := 255 * rng.Float64()
	paint(face, grey, rng, func(x, y float64) bool { return y < brim+bend*(0.25-(x-0.5)*(x-0.5)) })
}

// glasses are two frames about the eyes and a bridge; a third of them is dark.
func glasses(face *[data.Pixels]uint8, rng *rand.Rand) {
	wide, high, rim := 0.13+0.03*between(rng), 0.10+0.03*between(rng), 0.75+0.1*between(rng)
	eyes, dark := 0.34+0.03*between(rng), rng.IntN(3) == 0
	paint(face, 110*rng.Float64(), rng, func(x, y float64) bool {
		u, v := (math.Abs(x-0.5)-0.2)/wide, (y-eyes)/high
		r := u*u + v*v
		return r < 1 && (dark || r > rim*rim) || math.Abs(x-0.5) < 0.2-wide && math.Abs(y-eyes) < 0.015
	})
}

// mask covers nose, mouth and chin.
func mask(face *[data.Pixels]uint8, rng *rand.Rand) {
	top, half := 0.52+0.05*between(rng), 0.36+0.05*between(rng)
	grey := 60 + 195*rng.Float64()
	paint(face, grey, rng, func(x, y float64) bool {
		off := math.Abs(x - 0.5)
		return y > top+0.2*off*off && y < 0.97 && off < half-0.35*max(y-0.72, 0)
	})
}

// shadow darkens one side of a line to 25% to 75%.
func shadow(face *[data.Pixels]uint8, rng *rand.Rand) {
	sin, cos := math.Sincos(2 * math.Pi * rng.Float64())
	edge, soft := 15*between(rng), 1+9*rng.Float64()
	dark := 0.25 + 0.5*rng.Float64()
	const mid = float64(model.Side-1) / 2
	for i := range face {
		d := (float64(i%model.Side)-mid)*cos + (float64(i/model.Side)-mid)*sin - edge
		t := min(max(d/soft+0.5, 0), 1)
		face[i] = uint8(float64(face[i])*(1-t*(1-dark)) + 0.5)
	}
}

// expose multiplies the light and bends the curve from light to grey.
func expose(face *[data.Pixels]uint8, gain, exponent float64) {
	var to [256]uint8
	for v := range to {
		to[v] = uint8(255*math.Pow(min(float64(v)/255*gain, 1), exponent) + 0.5)
	}
	for i, v := range face {
		face[i] = to[v]
	}
}

// far is the picture as it is when it was only side pixels wide.
func (w *wild) far(dst []float32, side int) {
	if side >= model.Side {
		return
	}
	small := w.other[:side*side]
	for y := range side {
		y0, y1 := y*model.Side/side, max((y+1)*model.Side/side, y*model.Side/side+1)
		for x := range side {
			x0, x1 := x*model.Side/side, max((x+1)*model.Side/side, x*model.Side/side+1)
			var sum float32
			for r := y0; r < y1; r++ {
				for _, v := range dst[r*model.Side+x0 : r*model.Side+x1] {
					sum += v
				}
			}
			small[y*side+x] = sum / float32((y1-y0)*(x1-x0))
		}
	}
	for y := range model.Side {
		y0, y1, fy := neighbours(y, side)
		for x := range model.Side {
			x0, x1, fx := neighbours(x, side)
			top := small[y0*side+x0] + (small[y0*side+x1]-small[y0*side+x0])*fx
			low := small[y1*side+x0] + (small[y1*side+x1]-small[y1*side+x0])*fx
			dst[y*model.Side+x] = top + (low-top)*fy
		}
	}
}

// neighbours returns the two of side pixels that pixel i of the picture lies
// between, and how far it is from the first to the second.
func neighbours(i, side int) (lo, hi int, part float32) {
	at := min(max((float32(i)+0.5)*float32(side)/model.Side-0.5, 0), float32(side-1))
	lo = int(at)
	return lo, min(lo+1, side-1), at - float32(lo)
}

// blur is a Gaussian; the border goes on.
func (w *wild) blur(dst []float32, deviation float64) {
	reach := int(math.Ceil(2.5 * deviation))
	if deviation < 0.3 { // less than a pixel's own
		return
	}
	kernel := make([]float32, reach+1)
	sum := float32(0)
	for k := range kernel {
		kernel[k] = float32(math.Exp(-float64(k*k) / (2 * deviation * deviation)))
		sum += 2 * kernel[k]
	}
	sum -= kernel[0]
	for k := range kernel {
		kernel[k] /= sum
	}
	along := func(to, from []float32, step, across int) {
		for line := range model.Side {
			for i := range model.Side {
				at := func(k int) float32 { return from[line*across+min(max(i+k, 0), model.Side-1)*step] }
				v := kernel[0] * at(0)
				for k := 1; k <= reach; k++ {
					v += kernel[k] * (at(k) + at(-k))
				}
				to[line*across+i*step] = v
			}
		}
	}
	along(w.other[:], dst, 1, model.Side)
	along(dst, w.other[:], model.Side, 1)
}

// jpeg writes the picture as one and reads it again.
func (w *wild) jpeg(dst []float32, quality int) {
	g := &image.Gray{Pix: w.face[:], Stride: model.Side, Rect: image.Rect(0, 0, model.Side, model.Side)}
	for i, v := range dst {
		g.Pix[i] = uint8(min(max(v, 0), 1)*255 + 0.5)
	}
	w.coded.Reset()
	if err := jpeg.Encode(&w.coded, g, &jpeg.Options{Quality: quality}); err != nil {
		panic(err) // memory takes all
	}
	back, err := jpeg.Decode(&w.coded)
	if err != nil {
		panic(err) // it was just written
	}
	for y, read := 0, back.(*image.Gray); y < model.Side; y++ {
		pixels(dst[y*model.Side:], read.Pix[y*read.Stride:][:model.Side])
	}
}
