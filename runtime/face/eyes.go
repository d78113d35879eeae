package face

import (
	_ "embed"
	"fmt"
	"image"
	"math"

	"mien/runtime/model"
	"mien/runtime/portable"
)

//go:embed eyes/eyes-int8.tflite
var eyeFile []byte

// EyeHeads are what the eye net answers: where both eyes are in the square that
// it looks at, scaled to model.Side.
func EyeHeads() []model.Head {
	return []model.Head{
		model.NewNumber("left_x", 4, 29, model.Pixels), model.NewNumber("left_y", 9, 34, model.Pixels),
		model.NewNumber("right_x", 21, 46, model.Pixels), model.NewNumber("right_y", 9, 34, model.Pixels),
	}
}

// eyesApart is how far the eyes are apart in a window, as a share of its side.
const eyesApart = 0.37

// WindowOf returns the side of the window of a face whose eyes are there.
func WindowOf(left, right Point) float64 {
	return math.Hypot(right.X-left.X, right.Y-left.Y) / eyesApart
}

// EyeSquare returns the square of a picture that the eye net looks at when the
// eyes of an upright face are there: the finder's window. It is moved, and made
// smaller, to be within bounds.
func EyeSquare(left, right Point, bounds image.Rectangle) image.Rectangle {
	side := WindowOf(left, right)
	n := min(int(side+0.5), bounds.Dx(), bounds.Dy())
	corner := func(middle float64, lo, hi int) int {
		return min(max(int(math.Floor(middle+1-float64(n)/2)), lo), hi-n)
	}
	x := corner((left.X+right.X)/2, bounds.Min.X, bounds.Max.X)
	y := corner((left.Y+right.Y)/2+windowRise*side, bounds.Min.Y, bounds.Max.Y)
	return image.Rect(x, y, x+n, y+n)
}

// eyeNet tells where the eyes are in a window, and how sure it is.
type eyeNet struct {
	engine *portable.Engine
	scales [4][]float64
	scores *model.Scores
	input  image.Gray
}

func newEyeNet(file []byte) (*eyeNet, error) {
	e, err := portable.Open(file, portable.Options{})
	if err != nil {
		return nil, fmt.Errorf("face: the eye net: %w", err)
	}
	n := &eyeNet{engine: e, scores: e.Spec().NewScores(), input: *image.NewGray(image.Rect(0, 0, model.Side, model.Side))}
	for i, h := range EyeHeads() {
		if len(e.Spec().Heads) != len(n.scales) || !e.Spec().Heads[i].Equal(h) {
			return nil, fmt.Errorf("face: the eye net does not answer %s", h.Name)
		}
		n.scales[i] = h.Values()
	}
	return n, nil
}

// look returns the eyes in a window of img, and the standard deviation of the
// tilt of the line through them, in degrees.
func (n *eyeNet) look(img *image.Gray, w window) (left, right Point, doubt float64) {
	at := frame{x: w.col, y: w.row, side: w.size, turn: w.angle}
	sampleUpTo(&n.input, img, at, 2)
	if err := n.engine.Predict(&n.input, n.scores); err != nil {
		return left, right, math.Inf(1) // of a shape of picture that this is not
	}
	var v, deviation [4]float64
	for i, s := range n.scales {
		v[i], deviation[i] = model.Mean(s, n.scores.Heads[i])
	}
	t, k := turnOf(at.turn), at.side/model.Side
	place := func(x, y float64) Point {
		dy, dx := t.by((y+0.5)*k-at.side/2, (x+0.5)*k-at.side/2)
		return Point{at.x + dx, at.y + dy}
	}
	doubt = math.Atan2(math.Hypot(deviation[1], deviation[3]), math.Hypot(v[2]-v[0], v[3]-v[1])) * 180 / math.Pi
	return place(v[0], v[1]), place(v[2], v[3]), doubt
}
