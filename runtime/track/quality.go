package track

import (
	"image"
	"math"
)

// Quality is what can be said about one picture of a face before any model
// has seen it.
type Quality struct {
	Size       float64 // shorter side of the face's box, pixels of the camera
	Sharpness  float64 // variance of the Laplacian of the aligned face; blur lowers it
	Brightness float64 // mean of the aligned face, 0 to 255
	Contrast   float64 // standard deviation of the aligned face
	Tilt       float64 // of the line through the eyes before levelling, degrees, clockwise positive; 0 without eyes
	Turn       float64 // how far the eyes' middle is from the box's, as a share of its width; 0 without eyes
	Eyes       bool    // both eyes were found
}

// Problem says why a picture of a face was not believed.
type Problem uint8

// The problems, in the order in which they are looked for.
const (
	Fine Problem = iota
	TooSmall
	TooDark
	TooBright
	Flat // hardly any contrast
	Blurred
	NoEyes
	Tilted
	Turned
	Unclear // the picture is good, the model is not sure
	Stale   // no good picture for too long
)

var problems = [...]string{"fine", "too small", "too dark", "too bright", "too flat", "blurred",
	"no eyes", "tilted", "turned away", "unclear", "stale"}

func (p Problem) String() string {
	if int(p) < len(problems) {
		return problems[p]
	}
	return "unknown"
}

// Gates are the limits a picture has to keep to be believed. Zero means the
// default, below zero switches a gate off.
//
// The defaults for Sharpness, Brightness and Contrast let more than 99 % of
// FER-2013's pictures through, scaled to 50 x 50 (3000 drawn at random: 0.5th
// percentiles 104, 44 and 21). Under a Gaussian blur of 2 pixels three
// quarters of the same pictures fall below 25, under 3 pixels all do.
type Gates struct {
	MinSize       float64 // 40 pixels
	MinSharpness  float64 // 25
	MinBrightness float64 // 30
	MaxBrightness float64 // 230
	MinContrast   float64 // 12
	MaxTilt       float64 // 25 degrees: levelling takes at most 10 of them away
	MaxTurn       float64 // 0.2
	NeedEyes      bool    // refuse faces whose eyes were not found
}

func (g Gates) defaults() Gates {
	for _, v := range []struct {
		p *float64
		d float64
	}{{&g.MinSize, 40}, {&g.MinSharpness, 25}, {&g.MinBrightness, 30}, {&g.MaxBrightness, 230},
		{&g.MinContrast, 12}, {&g.MaxTilt, 25}, {&g.MaxTurn, 0.2}} {
		if *v.p == 0 {
			*v.p = v.d
		}
	}
	return g
}

// check returns the first limit that q breaks. g has its defaults filled in.
func (g *Gates) check(q Quality) Problem {
	switch {
	case q.Size < g.MinSize:
		return TooSmall
	case q.Brightness < g.MinBrightness:
		return TooDark
	case g.MaxBrightness >= 0 && q.Brightness > g.MaxBrightness:
		return TooBright
	case q.Contrast < g.MinContrast:
		return Flat
	case q.Sharpness < g.MinSharpness:
		return Blurred
	case g.NeedEyes && !q.Eyes:
		return NoEyes
	case g.MaxTilt >= 0 && math.Abs(q.Tilt) > g.MaxTilt:
		return Tilted
	case g.MaxTurn >= 0 && math.Abs(q.Turn) > g.MaxTurn:
		return Turned
	}
	return Fine
}

// Measure judges one picture: f is the face as found, aligned the same face
// levelled and scaled for the model. It allocates nothing.
func Measure(f Found, aligned *image.Gray) Quality {
	q := Quality{Size: float64(min(f.Box.Dx(), f.Box.Dy())), Eyes: f.Eyes}
	q.Brightness, q.Contrast, q.Sharpness = texture(aligned)
	if f.Eyes && f.Box.Dx() > 0 {
		q.Tilt = math.Atan2(f.Right.Y-f.Left.Y, f.Right.X-f.Left.X) * 180 / math.Pi
		middle := float64(f.Box.Min.X+f.Box.Max.X) / 2
		q.Turn = ((f.Left.X+f.Right.X)/2 - middle) / float64(f.Box.Dx())
	}
	return q
}

// texture returns the mean and the standard deviation of m and the variance
// of its Laplacian (the four-neighbour kernel 0 1 0, 1 -4 1, 0 1 0) over all
// pixels that have four neighbours.
func texture(m *image.Gray) (mean, deviation, sharpness float64) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	if w < 3 || h < 3 {
		return 0, 0, 0
	}
	var sum, squares, lap, laps int64
	for y := range h {
		row := m.Pix[y*m.Stride : y*m.Stride+w]
		for _, v := range row {
			sum += int64(v)
			squares += int64(v) * int64(v)
		}
		if y == 0 || y == h-1 {
			continue
		}
		up, down := m.Pix[(y-1)*m.Stride:][:w], m.Pix[(y+1)*m.Stride:][:w]
		for x := 1; x < w-1; x++ {
			l := int64(up[x]) + int64(down[x]) + int64(row[x-1]) + int64(row[x+1]) - 4*int64(row[x])
			lap += l
			laps += l * l
		}
	}
	mean, variance := moments(sum, squares, w*h)
	_, sharpness = moments(lap, laps, (w-2)*(h-2))
	return mean, math.Sqrt(variance), sharpness
}

func moments(sum, squares int64, n int) (mean, variance float64) {
	mean = float64(sum) / float64(n)
	return mean, math.Max(float64(squares)/float64(n)-mean*mean, 0)
}
