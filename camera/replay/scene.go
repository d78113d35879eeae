package replay

import (
	"cmp"
	"image"
	"io"
	"math"
	"time"

	"mien/camera"
	"mien/camera/replay/portrait"
)

// Key says where the subject of a scene is at a moment. Between two keys it
// moves evenly from one to the other; before the first and after the last it
// stands still.
type Key struct {
	At    time.Duration
	X, Y  float64 // where the anchor is, as shares of the frame's width and height
	Scale float64 // pixels of the frame per pixel of the picture
	Tilt  float64 // degrees, clockwise
	Fade  float64 // 0 the subject is there, 1 only the background is
}

// SceneOptions describe a scene: a picture on a grey wall, moving from key to
// key.
type SceneOptions struct {
	Picture       *image.Gray   // the subject
	Anchor        image.Point   // the place of Picture that the keys speak of and that it turns about
	Width, Height int           // of the frames; 0 means 640x480
	Length        time.Duration // 0 means until the last key
	Keys          []Key         // in order of At
	Options
}

// NewScene plays a scene.
func NewScene(o SceneOptions) *Source {
	o.Width, o.Height = cmp.Or(o.Width, 640), cmp.Or(o.Height, 480)
	if o.Length == 0 && len(o.Keys) > 0 {
		o.Length = o.Keys[len(o.Keys)-1].At
	}
	rate := cmp.Or(o.Rate, 25)
	return newSource(&scene{o: o, rate: rate, frames: int(math.Ceil(o.Length.Seconds()*rate - 1e-9))}, rate, o.Options)
}

// Demo returns the scene of the demo, ten seconds long: a face comes in from
// the right, comes near, tilts to one side and to the other, and fades away.
func Demo(o Options) *Source {
	s := time.Second
	return NewScene(SceneOptions{
		Picture: portrait.Gray(),
		Anchor:  portrait.LeftEye.Add(portrait.RightEye).Div(2),
		Options: o,
		Length:  10 * s,
		Keys: []Key{
			{At: s / 2, X: 1.7, Y: 0.36, Scale: 1.0},
			{At: 2 * s, X: 0.55, Y: 0.36, Scale: 1.0},
			{At: 4 * s, X: 0.5, Y: 0.34, Scale: 1.5},
			{At: 5 * s, X: 0.5, Y: 0.36, Scale: 1.5, Tilt: 15},
			{At: 6 * s, X: 0.48, Y: 0.36, Scale: 1.4, Tilt: 0},
			{At: 7 * s, X: 0.48, Y: 0.38, Scale: 1.4, Tilt: -15},
			{At: 8 * s, X: 0.5, Y: 0.38, Scale: 1.4},
			{At: 17 * s / 2, X: 0.5, Y: 0.38, Scale: 1.4},
			{At: 9 * s, X: 0.5, Y: 0.38, Scale: 1.3, Fade: 1},
		},
	})
}

type scene struct {
	o      SceneOptions
	rate   float64
	n      int
	frames int
}

func (s *scene) rewind() error { s.n = 0; return nil }
func (s *scene) close() error  { return nil }

func (s *scene) frame(f *camera.Frame) error {
	if s.n >= s.frames {
		return io.EOF
	}
	at := time.Duration(float64(s.n) / s.rate * float64(time.Second))
	s.n++
	f.Resize(s.o.Width, s.o.Height)
	wall(f)
	if k, ok := s.at(at); ok && k.Scale > 0 && k.Fade < 1 {
		s.draw(f, k)
	}
	return nil
}

// at returns the key of a moment.
func (s *scene) at(t time.Duration) (Key, bool) {
	keys := s.o.Keys
	if len(keys) == 0 {
		return Key{}, false
	}
	if t <= keys[0].At {
		return keys[0], true
	}
	for i, b := range keys[1:] {
		if a := keys[i]; t < b.At {
			u := float64(t-a.At) / float64(b.At-a.At)
			mix := func(p, q float64) float64 { return p + (q-p)*u }
			return Key{t, mix(a.X, b.X), mix(a.Y, b.Y), mix(a.Scale, b.Scale), mix(a.Tilt, b.Tilt), mix(a.Fade, b.Fade)}, true
		}
	}
	return keys[len(keys)-1], true
}

// wall fills f with a wall that is lighter above.
func wall(f *camera.Frame) {
	w, h := f.Rect.Dx(), f.Rect.Dy()
	for y := range h {
		row := f.Pix[y*f.Stride:][:w]
		for x := range row {
			row[x] = uint8(150 - 50*y/h + (x*7+y*13)%5)
		}
	}
}

// draw lays the subject over f: for each pixel the place of the picture that
// is there, bilinear between its pixels.
func (s *scene) draw(f *camera.Frame, k Key) {
	w, h := f.Rect.Dx(), f.Rect.Dy()
	src := s.o.Picture
	sw, sh := src.Rect.Dx(), src.Rect.Dy()
	sin, cos := math.Sincos(k.Tilt * math.Pi / 180)
	sin, cos = sin/k.Scale, cos/k.Scale
	ox, oy := k.X*float64(w), k.Y*float64(h)
	ax, ay := float64(s.o.Anchor.X-src.Rect.Min.X), float64(s.o.Anchor.Y-src.Rect.Min.Y)
	const one = 1 << 16
	show := int((1 - min(max(k.Fade, 0), 1)) * 256)
	dx, dy := int(cos*one), int(-sin*one)
	for y := range h {
		u, v := -ox, float64(y)-oy
		px := int((ax + cos*u + sin*v) * one)
		py := int((ay - sin*u + cos*v) * one)
		row := f.Pix[y*f.Stride:][:w]
		for x := range row {
			ix, iy := px>>16, py>>16
			if uint(ix) < uint(sw-1) && uint(iy) < uint(sh-1) {
				p := src.Pix[iy*src.Stride+ix:]
				fx, fy := px>>8&255, py>>8&255
				top := int(p[0])<<8 + (int(p[1])-int(p[0]))*fx
				low := int(p[src.Stride])<<8 + (int(p[src.Stride+1])-int(p[src.Stride]))*fx
				pix := (top<<8 + (low-top)*fy) >> 16
				row[x] = uint8(int(row[x]) + (pix-int(row[x]))*show>>8)
			}
			px += dx
			py += dy
		}
	}
}
