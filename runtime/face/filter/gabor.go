package filter

import "math"

// The bank.
const (
	gaborTurns = 6
	gaborShape = 0.56 // deviation of the window, in wavelengths: an octave of bandwidth
	gaborGain  = 85   // level of what is as strong as the picture's mean energy: three times that is white
)

var gaborWaves = [...]float64{4, 8} // wavelengths, in pixels

// A Gabor filter with a round window is a product of two complex exponentials
// with Gaussian windows, one along the rows and one along the columns, and is
// computed as that. What it answers to an even grey, which is the window's blur
// times a constant, is taken off (as Wiskott et al. 1997, "Face recognition by
// elastic bunch graph matching").
type gabor struct {
	waves       []wave
	energy      [pixels]float32
	re, im      [pixels]float32
	src, smooth [pixels]float32
}

// wave is the filters of one wavelength.
type wave struct {
	blur  blur
	turns [gaborTurns]turned
}

// turned is a filter: its factors along x and along y, from the middle on.
type turned struct {
	xRe, xIm, yRe, yIm []float32
	flat               float32 // what it answers to a grey of 1
}

func newGabor() func(dst, src *[pixels]uint8) {
	g := &gabor{}
	for _, length := range gaborWaves {
		deviation := gaborShape * length
		w := wave{blur: newBlur(deviation, 3)}
		for k := range w.turns {
			s, c := math.Sincos(float64(k) * math.Pi / gaborTurns)
			t := &w.turns[k]
			t.xRe, t.xIm = w.blur.times(2 * math.Pi * c / length)
			t.yRe, t.yIm = w.blur.times(2 * math.Pi * s / length)
			t.flat = answer(t.xRe) * answer(t.yRe)
		}
		g.waves = append(g.waves, w)
	}
	return g.apply
}

// answer is what an even factor answers to a grey of 1.
func answer(half []float32) float32 {
	sum := half[0]
	for _, v := range half[1:] {
		sum += 2 * v
	}
	return sum
}

func (g *gabor) apply(dst, src *[pixels]uint8) {
	for i, v := range src {
		g.src[i] = float32(v)
	}
	clear(g.energy[:])
	for i := range g.waves {
		w := &g.waves[i]
		g.smooth = g.src
		w.blur.apply(&g.smooth)
		for k := range w.turns {
			g.turn(&w.turns[k])
		}
	}
	var sum float32
	for _, v := range g.energy {
		sum += v
	}
	const least = 1e-3 * pixels // an even picture has no energy but what rounding makes
	if sum < least {
		clear(dst[:])
		return
	}
	unit := pixels / sum
	for i, v := range g.energy {
		dst[i] = level(gaborGain * float32(math.Sqrt(float64(v*unit))))
	}
}

// turn adds the energy of a filter.
func (g *gabor) turn(t *turned) {
	reach := len(t.xRe) - 1
	var line [side + 2*64]float32
	for y := range side {
		row := g.src[y*side:][:side]
		padded := line[:side+2*reach]
		for i := range padded {
			padded[i] = row[mirrored(i-reach)]
		}
		for x := range side {
			at := padded[x : x+2*reach+1]
			re, im := at[reach]*t.xRe[0], float32(0)
			for k := 1; k <= reach; k++ {
				a, b := at[reach+k], at[reach-k]
				re += float32((a + b) * t.xRe[k])
				im += float32((a - b) * t.xIm[k])
			}
			g.re[y*side+x], g.im[y*side+x] = re, im
		}
	}
	var re, im [side]float32
	for y := range side {
		for x := range side {
			re[x], im[x] = g.re[y*side+x]*t.yRe[0], g.im[y*side+x]*t.yRe[0]
		}
		for k := 1; k <= reach; k++ {
			below, above := mirrored(y+k)*side, mirrored(y-k)*side
			aRe, aIm, bRe, bIm := g.re[below:][:side], g.im[below:][:side], g.re[above:][:side], g.im[above:][:side]
			even, odd := t.yRe[k], t.yIm[k]
			for x := range side {
				re[x] += float32(even*(aRe[x]+bRe[x])) - float32(odd*(aIm[x]-bIm[x]))
				im[x] += float32(even*(aIm[x]+bIm[x])) + float32(odd*(aRe[x]-bRe[x]))
			}
		}
		for x := range side {
			r := re[x] - float32(t.flat*g.smooth[y*side+x])
			g.energy[y*side+x] += float32(r*r) + float32(im[x]*im[x])
		}
	}
}

// blur is a Gaussian blur along the rows, then along the columns.
type blur struct{ half []float32 } // its factors, from the middle on; they sum to 1

// newBlur cuts off after so many deviations.
func newBlur(deviation, reach float64) blur {
	b := blur{half: make([]float32, int(math.Round(reach*deviation))+1)}
	sum := 0.0
	for i := range b.half {
		v := math.Exp(-float64(i*i) / (2 * deviation * deviation))
		b.half[i] = float32(v)
		sum += 2 * v
	}
	sum-- // the middle counts once
	for i := range b.half {
		b.half[i] /= float32(sum)
	}
	return b
}

// times returns the factors times the cosine and the sine of a frequency, in
// radians a pixel.
func (b blur) times(frequency float64) (re, im []float32) {
	for i, v := range b.half {
		s, c := math.Sincos(frequency * float64(i))
		re, im = append(re, v*float32(c)), append(im, v*float32(s))
	}
	return re, im
}

// apply blurs a picture in place. Beyond the border it is mirrored.
func (b blur) apply(p *[pixels]float32) {
	b.along(p, 1, side)
	b.along(p, side, 1)
}

func (b blur) along(p *[pixels]float32, step, across int) {
	var line [side]float32
	for l := range side {
		for i := range line {
			line[i] = p[l*across+i*step]
		}
		for i := range line {
			sum := line[i] * b.half[0]
			for k := 1; k < len(b.half); k++ {
				sum += float32((line[mirrored(i+k)] + line[mirrored(i-k)]) * b.half[k])
			}
			p[l*across+i*step] = sum
		}
	}
}
