// Package facetest composes frames in which it is known where the faces are:
// crops of faces laid on backgrounds of many kinds, at a place, size, tilt and
// brightness of the test's choosing. What is random comes from a generator
// that the caller seeds.
package facetest

import (
	"image"
	"math"
	"math/rand/v2"
)

// Placing says how a crop is laid into a frame.
type Placing struct {
	X     float64 `json:"x"` // centre of the crop, pixels of the frame
	Y     float64 `json:"y"`
	Side  float64 `json:"side"`  // of the crop, pixels of the frame
	Tilt  float64 `json:"tilt"`  // degrees, clockwise
	Gain  float64 `json:"gain"`  // of its grey levels
	Shift float64 `json:"shift"` // added to them
}

// Range bounds what Random draws. Zero values take the defaults.
type Range struct {
	MinSide, MaxSide float64 // 0 means 60 and 300 pixels; drawn evenly on a logarithmic scale
	MaxTilt          float64 // 0 means 25 degrees to either side
}

// Random draws how a crop is laid into a frame of w by h pixels, all of it
// inside.
func (r Range) Random(rng *rand.Rand, w, h int) Placing {
	lo, hi, tilt := r.MinSide, r.MaxSide, r.MaxTilt
	if lo == 0 {
		lo = 60
	}
	if hi == 0 {
		hi = 300
	}
	if tilt == 0 {
		tilt = 25
	}
	p := Placing{Side: lo * math.Pow(hi/lo, rng.Float64()), Tilt: tilt * (2*rng.Float64() - 1), Gain: 0.6 + 0.6*rng.Float64(), Shift: 40*rng.Float64() - 20}
	sin, cos := math.Sincos(math.Abs(p.Tilt) * math.Pi / 180)
	half := p.Side / 2 * (sin + cos)
	within := func(n int) float64 {
		if float64(n) <= 2*half {
			return float64(n) / 2
		}
		return half + rng.Float64()*(float64(n)-2*half)
	}
	p.X, p.Y = within(w), within(h)
	return p
}

// feather is the part of a crop's side over which it fades into the
// background, so that no edge is drawn around it.
const feather = 0.05

// Place lays crop into dst.
func Place(dst, crop *image.Gray, p Placing) {
	sin, cos := math.Sincos(p.Tilt * math.Pi / 180)
	half := p.Side / 2 * (math.Abs(sin) + math.Abs(cos))
	area := image.Rect(int(p.X-half), int(p.Y-half), int(p.X+half)+2, int(p.Y+half)+2).Intersect(dst.Rect)
	k := float64(crop.Rect.Dx()) / p.Side
	n := max(1, int(math.Ceil(k))) // samples a pixel and side, so that small faces are not jagged
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			var sum, cover float64
			for i := range n * n {
				u := float64(x) + (float64(i%n)+0.5)/float64(n) - 0.5 - p.X
				v := float64(y) + (float64(i/n)+0.5)/float64(n) - 0.5 - p.Y
				cx, cy := (cos*u+sin*v)/p.Side, (cos*v-sin*u)/p.Side
				a := min(1, (0.5-max(math.Abs(cx), math.Abs(cy)))/feather)
				if a <= 0 {
					continue
				}
				sum += a * bilinear(crop, (cx+0.5)*float64(crop.Rect.Dx())-0.5, (cy+0.5)*float64(crop.Rect.Dy())-0.5)
				cover += a
			}
			if cover == 0 {
				continue
			}
			grey := min(max(sum/cover*p.Gain+p.Shift, 0), 255)
			cover /= float64(n * n)
			at := dst.PixOffset(x, y)
			dst.Pix[at] = uint8(grey*cover + float64(dst.Pix[at])*(1-cover) + 0.5)
		}
	}
}

// bilinear returns img between its pixels; its border goes on around it.
func bilinear(img *image.Gray, x, y float64) float64 {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	fx, fy := math.Floor(x), math.Floor(y)
	at := func(x, y int) float64 {
		return float64(img.Pix[min(max(y, 0), h-1)*img.Stride+min(max(x, 0), w-1)])
	}
	ix, iy := int(fx), int(fy)
	u, v := x-fx, y-fy
	top := at(ix, iy)*(1-u) + at(ix+1, iy)*u
	low := at(ix, iy+1)*(1-u) + at(ix+1, iy+1)*u
	return top*(1-v) + low*v
}

// Background fills dst with something that is not a face: a wall, clouds,
// shelves, blobs or stripes, with noise.
func Background(dst *image.Gray, rng *rand.Rand) {
	paint := []func(*image.Gray, *rand.Rand){wall, clouds, shelves, blobs, stripes}
	paint[rng.IntN(len(paint))](dst, rng)
	amount := rng.IntN(12) + 1
	for i := range dst.Pix {
		dst.Pix[i] = uint8(min(max(int(dst.Pix[i])+rng.IntN(2*amount+1)-amount, 0), 255))
	}
}

func each(dst *image.Gray, f func(x, y float64) float64) {
	for y := range dst.Rect.Dy() {
		for x := range dst.Rect.Dx() {
			dst.Pix[y*dst.Stride+x] = uint8(min(max(f(float64(x), float64(y)), 0), 255))
		}
	}
}

func wall(dst *image.Gray, rng *rand.Rand) {
	a, b, c := 40+160*rng.Float64(), 0.4*rng.Float64()-0.2, 0.4*rng.Float64()-0.2
	each(dst, func(x, y float64) float64 { return a + b*(x-320) + c*(y-240) })
}

// clouds adds smooth random pictures of several scales.
func clouds(dst *image.Gray, rng *rand.Rand) {
	var layers []*image.Gray
	for n := 3; n <= 96; n *= 2 {
		g := image.NewGray(image.Rect(0, 0, n+2, n+2))
		for i := range g.Pix {
			g.Pix[i] = uint8(rng.IntN(256))
		}
		layers = append(layers, g)
	}
	w := float64(dst.Rect.Dx())
	each(dst, func(x, y float64) float64 {
		sum, weight := 0.0, 0.5
		for _, g := range layers {
			n := float64(g.Rect.Dx() - 2)
			sum += weight * bilinear(g, x/w*n, y/w*n)
			weight *= 0.55
		}
		return sum
	})
}

// shelves fills the picture with boxes before boxes.
func shelves(dst *image.Gray, rng *rand.Rand) {
	wall(dst, rng)
	for range 120 {
		w, h := 8+rng.IntN(120), 8+rng.IntN(120)
		x, y, v := rng.IntN(dst.Rect.Dx())-w/2, rng.IntN(dst.Rect.Dy())-h/2, uint8(rng.IntN(256))
		r := image.Rect(x, y, x+w, y+h).Intersect(dst.Rect)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				dst.Pix[y*dst.Stride+x] = v
			}
		}
	}
}

// blobs puts soft round things of face size before a wall.
func blobs(dst *image.Gray, rng *rand.Rand) {
	wall(dst, rng)
	for range 40 {
		cx, cy := rng.Float64()*float64(dst.Rect.Dx()), rng.Float64()*float64(dst.Rect.Dy())
		rx, ry, v := 8+80*rng.Float64(), 8+80*rng.Float64(), 255*rng.Float64()
		r := image.Rect(int(cx-2*rx), int(cy-2*ry), int(cx+2*rx), int(cy+2*ry)).Intersect(dst.Rect)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				dx, dy := (float64(x)-cx)/rx, (float64(y)-cy)/ry
				a := 1 / (1 + math.Exp(8*(dx*dx+dy*dy-1)))
				at := y*dst.Stride + x
				dst.Pix[at] = uint8(float64(dst.Pix[at])*(1-a) + v*a)
			}
		}
	}
}

func stripes(dst *image.Gray, rng *rand.Rand) {
	a, b, c, d := 0.02+0.2*rng.Float64(), 0.02+0.2*rng.Float64(), 6*rng.Float64(), 6*rng.Float64()
	each(dst, func(x, y float64) float64 { return 128 + 60*math.Sin(a*x+0.3*b*y+c) + 50*math.Sin(b*y-0.2*a*x+d) })
}
