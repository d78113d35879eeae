package facetest

import (
	"image"
	"math"
	"math/rand/v2"
)

// Empty fills dst with a thing that cameras look at and that is no face, many of
// them things that finders take for one: what Background paints, leaves, print,
// round things in pairs and rows, and blurred noise.
func Empty(dst *image.Gray, rng *rand.Rand) {
	paint := []func(*image.Gray, *rand.Rand){Background, leaves, printed, dots, Noise}
	paint[rng.IntN(len(paint))](dst, rng)
}

// leaves lays leaves over each other, lit from one side.
func leaves(dst *image.Gray, rng *rand.Rand) {
	wall(dst, rng)
	w, h := float64(dst.Rect.Dx()), float64(dst.Rect.Dy())
	size := 8 + 50*rng.Float64()
	for range int(6 * w * h / (size * size)) {
		cx, cy := rng.Float64()*w, rng.Float64()*h
		long := size * (0.5 + rng.Float64())
		slim := long * (0.25 + 0.3*rng.Float64())
		sin, cos := math.Sincos(2 * math.Pi * rng.Float64())
		grey, lit := 30+170*rng.Float64(), 50*(rng.Float64()-0.5)
		r := image.Rect(int(cx-long), int(cy-long), int(cx+long)+1, int(cy+long)+1).Intersect(dst.Rect)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				u, v := (float64(x)-cx)*cos+(float64(y)-cy)*sin, (float64(y)-cy)*cos-(float64(x)-cx)*sin
				edge := slim * (1 - u*u/(long*long)) // a lens with two tips
				if math.Abs(v) < edge {
					dst.Pix[y*dst.Stride+x] = uint8(min(max(grey+lit*v/slim, 0), 255))
				}
			}
		}
	}
}

// printed fills lines with strokes as letters have them.
func printed(dst *image.Gray, rng *rand.Rand) {
	paper, ink := 160+90*rng.Float64(), 10+90*rng.Float64()
	each(dst, func(x, y float64) float64 { return paper })
	size := 6 + rng.IntN(60)
	for y := size / 2; y < dst.Rect.Dy(); y += size * 3 / 2 {
		for x := size / 2; x < dst.Rect.Dx(); x += size * 3 / 4 {
			if rng.IntN(7) == 0 {
				continue // between words
			}
			for range 2 + rng.IntN(3) {
				r := image.Rect(0, 0, max(1, size/7), size*(1+rng.IntN(2))/2)
				if rng.IntN(2) == 0 {
					r = image.Rect(0, 0, size/2, max(1, size/7))
				}
				r = r.Add(image.Pt(x+rng.IntN(size/3+1), y+rng.IntN(size/2+1))).Intersect(dst.Rect)
				for y := r.Min.Y; y < r.Max.Y; y++ {
					for x := r.Min.X; x < r.Max.X; x++ {
						dst.Pix[y*dst.Stride+x] = uint8(ink)
					}
				}
			}
		}
	}
}

// dots puts round and long dark things on light panels, in pairs and rows, as
// sockets, knobs, windows and the fronts of cars have them.
func dots(dst *image.Gray, rng *rand.Rand) {
	clouds(dst, rng)
	for range 6 + rng.IntN(12) {
		w := 30 + 150*rng.Float64()
		h := w * (0.8 + 0.6*rng.Float64())
		cx, cy := rng.Float64()*float64(dst.Rect.Dx()), rng.Float64()*float64(dst.Rect.Dy())
		panel, dark := 120+120*rng.Float64(), 10+80*rng.Float64()
		ellipse(dst, cx, cy, w/2, h/2, panel, 4+20*rng.Float64())
		n := 2 + rng.IntN(3)
		radius := w / float64(n) / (3 + 3*rng.Float64())
		up := h * (0.05 + 0.2*rng.Float64())
		for i := range n {
			ellipse(dst, cx+w*0.6*(float64(i)/float64(n-1)-0.5), cy-up, radius, radius, dark, 8)
		}
		ellipse(dst, cx, cy+up, w*(0.1+0.2*rng.Float64()), radius*(0.3+rng.Float64()), dark, 8)
	}
}

// ellipse lays a soft one into dst, the harder the sharper.
func ellipse(dst *image.Gray, cx, cy, rx, ry, grey, hard float64) {
	r := image.Rect(int(cx-2*rx), int(cy-2*ry), int(cx+2*rx)+1, int(cy+2*ry)+1).Intersect(dst.Rect)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			dx, dy := (float64(x)-cx)/rx, (float64(y)-cy)/ry
			a := 1 / (1 + math.Exp(hard*(dx*dx+dy*dy-1)))
			at := y*dst.Stride + x
			dst.Pix[at] = uint8(float64(dst.Pix[at])*(1-a) + grey*a)
		}
	}
}

// Noise is white noise, smooth over 2 to 14 pixels, its contrast stretched.
func Noise(dst *image.Gray, rng *rand.Rand) {
	n := max(dst.Rect.Dx(), dst.Rect.Dy())/(4+rng.IntN(25)) + 3
	g := image.NewGray(image.Rect(0, 0, n, n))
	for i := range g.Pix {
		g.Pix[i] = uint8(rng.IntN(256))
	}
	k := float64(n-2) / float64(max(dst.Rect.Dx(), dst.Rect.Dy()))
	each(dst, func(x, y float64) float64 { return bilinear(g, x*k, y*k) })
}
