package train

import (
	"math"
	"math/rand/v2"

	"mien/runtime/model"
)

// warp changes pictures at random. It keeps its working memory and serves one
// goroutine at a time.
type warp struct {
	wild  wild
	moved motion // of the last picture
}

// motion is where the places of a picture have gone: by how much it was turned
// and scaled about its middle, then shifted, then mirrored.
type motion struct {
	c, s   float64 // from a place of the changed picture to the old one's
	dx, dy float64
	mirror float64 // 1, or -1
}

// still is no motion.
var still = motion{c: 1, mirror: 1}

// of returns where a place of the old picture is in the changed one.
func (m motion) of(x, y float64) (float64, float64) {
	x, y = x-middle, y-middle
	k := m.c*m.c + m.s*m.s
	return m.mirror*(m.c*x+m.s*y)/k + middle + m.dx, (m.c*y-m.s*x)/k + middle + m.dy
}

// middle is the middle of a picture, in pixels from the centre of its first.
const middle = float64(model.Side-1) / 2

// apply writes the changed face in [0,1], in the order in which a picture comes
// about: what stands before the face and lights it, how it is framed, what lens
// and file make of it. A recipe without augmentation draws nothing.
func (w *warp) apply(dst []float32, face []uint8, a *Augment, rng *rand.Rand) {
	w.moved = still
	if *a == (Augment{}) {
		pixels(dst, face)
		return
	}
	w.move(dst, w.wild.scene(face, a, rng), a, rng)
	w.light(dst, a, rng)
	w.wild.file(dst, a, rng)
	if rng.Float64() < a.Erase {
		erase(dst, rng)
	}
}

// move mirrors, turns, scales and shifts about the middle of the picture, and
// repeats its border.
func (w *warp) move(dst []float32, face []uint8, a *Augment, rng *rand.Rand) {
	angle := a.Rotate * between(rng) * math.Pi / 180
	zoom := 1 / (1 + a.Zoom*between(rng))
	dx, dy := a.Shift*between(rng), a.Shift*between(rng)
	c, s := math.Cos(angle)*zoom, math.Sin(angle)*zoom
	mirror := 1.0
	if rng.Float64() < a.Flip {
		mirror = -1
	}
	w.moved = motion{c, s, dx, dy, mirror}
	for y := range model.Side {
		v := float64(y) - middle - dy
		for x := range model.Side {
			u := (float64(x) - middle - dx) * mirror
			dst[y*model.Side+x] = bilinear(face, float32(c*u-s*v+middle), float32(s*u+c*v+middle)) / 255
		}
	}
}

func bilinear(face []uint8, x, y float32) float32 {
	const last = model.Side - 1
	x, y = min(max(x, 0), last), min(max(y, 0), last)
	x0, y0 := int(x), int(y)
	x1, y1 := min(x0+1, last), min(y0+1, last)
	fx, fy := x-float32(x0), y-float32(y0)
	a, b := float32(face[y0*model.Side+x0]), float32(face[y0*model.Side+x1])
	c, d := float32(face[y1*model.Side+x0]), float32(face[y1*model.Side+x1])
	top, bottom := a+(b-a)*fx, c+(d-c)*fx
	return top + (bottom-top)*fy
}

// light changes contrast about the mean, then brightness.
func (w *warp) light(dst []float32, a *Augment, rng *rand.Rand) {
	gain := float32(1 + a.Contrast*between(rng))
	shift := float32(a.Brightness * between(rng))
	var sum float32
	for _, v := range dst {
		sum += v
	}
	mean := sum / float32(len(dst))
	for i, v := range dst {
		dst[i] = min(max((v-mean)*gain+mean+shift, 0), 1)
	}
}

// erase fills a rectangle of 2% to 20% of the picture with one grey (Zhong
// et al. 2020, arXiv 1708.04896).
func erase(dst []float32, rng *rand.Rand) {
	area := (0.02 + 0.18*rng.Float64()) * model.Side * model.Side
	aspect := math.Exp(between(rng) * math.Log(3))
	w := min(max(int(math.Sqrt(area*aspect)), 1), model.Side)
	h := min(max(int(math.Sqrt(area/aspect)), 1), model.Side)
	x0, y0 := rng.IntN(model.Side-w+1), rng.IntN(model.Side-h+1)
	grey := rng.Float32()
	for y := y0; y < y0+h; y++ {
		for x := x0; x < x0+w; x++ {
			dst[y*model.Side+x] = grey
		}
	}
}

// between draws from -1 to 1.
func between(rng *rand.Rand) float64 { return 2*rng.Float64() - 1 }
