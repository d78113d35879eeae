// Package display shows readings to people: a picture with boxes and bars, an
// OLED, LEDs, a buzzer. Nothing here can hold up the pipeline, and a part that
// fails leaves the others running.
package display

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"

	"mien/device"
	"mien/device/signal"
)

// Size of an annotated picture: the frame on the left, the answers beside it,
// the lines below.
const (
	pictureW, pictureH = 960, 720
	panelW, footH      = 400, 84
)

var (
	ground = color.RGBA{0x12, 0x14, 0x1a, 0xff}
	panel  = color.RGBA{0x1a, 0x1d, 0x26, 0xff}
	track  = color.RGBA{0x2a, 0x2e, 0x3a, 0xff}
	faint  = color.RGBA{0x8b, 0x93, 0xa7, 0xff}
	text   = color.RGBA{0xe8, 0xec, 0xf4, 0xff}
	bar    = color.RGBA{0x52, 0x5b, 0x73, 0xff}
	accent = color.RGBA{0xff, 0xb4, 0x3a, 0xff}
	live   = color.RGBA{0x4a, 0xd6, 0x8b, 0xff}
)

// Annotator draws readings. It keeps its fonts, and serves one goroutine.
type Annotator struct {
	small, plain, strong, title font.Face
}

// NewAnnotator returns an annotator.
func NewAnnotator() (*Annotator, error) {
	a := &Annotator{}
	for _, f := range []struct {
		to   *font.Face
		data []byte
		size float64
	}{{&a.small, goregular.TTF, 14}, {&a.plain, goregular.TTF, 17}, {&a.strong, gomedium.TTF, 17}, {&a.title, gomedium.TTF, 28}} {
		parsed, err := opentype.Parse(f.data)
		if err != nil {
			return nil, fmt.Errorf("display: font: %w", err)
		}
		if *f.to, err = opentype.NewFace(parsed, &opentype.FaceOptions{Size: f.size, DPI: 72, Hinting: font.HintingFull}); err != nil {
			return nil, fmt.Errorf("display: font: %w", err)
		}
	}
	return a, nil
}

// Draw returns frame with the box and the eyes of every face of r, bars for
// each head of its subject, and the lines as they stand.
func (a *Annotator) Draw(frame *image.Gray, r *device.Reading, lines []signal.Line) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, pictureW+panelW, pictureH+footH))
	draw.Draw(out, out.Rect, image.NewUniform(ground), image.Point{}, draw.Src)
	at, scale := fit(frame.Rect)
	xdraw.ApproxBiLinear.Scale(out, at, frame, frame.Rect, draw.Src, nil) // smoother ones need 15 MB
	for i := range r.Faces {
		a.face(out, &r.Faces[i], at.Min, scale, r.Faces[i].ID == r.Subject)
	}
	side := image.Rect(pictureW, 0, pictureW+panelW, pictureH)
	draw.Draw(out, side, image.NewUniform(panel), image.Point{}, draw.Src)
	a.panel(out, side.Inset(28), r)
	a.foot(out, image.Rect(0, pictureH, pictureW+panelW, pictureH+footH), lines)
	return out
}

// fit returns where a frame goes, and how many pixels of the picture one of
// the frame's takes.
func fit(frame image.Rectangle) (image.Rectangle, float64) {
	s := math.Min(float64(pictureW)/float64(frame.Dx()), float64(pictureH)/float64(frame.Dy()))
	w, h := int(s*float64(frame.Dx())), int(s*float64(frame.Dy()))
	x, y := (pictureW-w)/2, (pictureH-h)/2
	return image.Rect(x, y, x+w, y+h), s
}

func (a *Annotator) face(out *image.RGBA, f *device.FaceReading, at image.Point, s float64, subject bool) {
	px := func(x float64, origin int) float32 { return float32(x*s) + float32(origin) }
	x0, y0 := px(float64(f.Box.X), at.X), px(float64(f.Box.Y), at.Y)
	x1, y1 := px(float64(f.Box.X+f.Box.W), at.X), px(float64(f.Box.Y+f.Box.H), at.Y)
	c := accent
	if !subject {
		c = faint
	}
	corners(out, x0, y0, x1, y1, c)
	if f.Eyes != nil {
		e := f.Eyes
		for _, p := range e {
			ring(out, px(p[0], at.X), px(p[1], at.Y), 9, 2.5, c)
			ring(out, px(p[0], at.X), px(p[1], at.Y), 2.5, 2.5, c)
		}
	}
	words := fmt.Sprintf("face %d", f.ID)
	if len(f.Heads) > 0 && !f.Heads[0].Uncertain {
		words += "  " + f.Heads[0].Label
	}
	w := float32(a.width(a.strong, words)) + 20
	x0, y0 = min(max(x0, 4), pictureW-w-4), max(y0, 42)
	rounded(out, x0, y0-38, x0+w, y0-8, 6, c)
	a.write(out, a.strong, words, int(x0)+10, int(y0)-17, ground)
}

func (a *Annotator) panel(out *image.RGBA, in image.Rectangle, r *device.Reading) {
	y := in.Min.Y + 26
	a.write(out, a.title, "mien", in.Min.X, y, text)
	a.right(out, a.small, r.Time.Format("15:04:05.000"), in.Max.X, y-6, faint)
	y += 24
	f := r.SubjectFace()
	if f == nil {
		a.write(out, a.plain, "nobody there", in.Min.X, y+20, faint)
		return
	}
	a.write(out, a.small, fmt.Sprintf("frame %d   picture %s   %.1f ms", r.Seq, cmp.Or(f.Flaw(), "fine"), float64(r.Latency.Total.Microseconds())/1000), in.Min.X, y, faint)
	rows := 0
	for i := range f.Heads {
		rows += len(f.Heads[i].Probs)
	}
	step := min(30, (in.Max.Y-y-60*len(f.Heads))/max(rows, 1))
	for i := range f.Heads {
		y = a.head(out, &f.Heads[i], in, y+42, step)
	}
}

func (a *Annotator) head(out *image.RGBA, h *device.HeadReading, in image.Rectangle, y, step int) int {
	a.write(out, a.strong, h.Name, in.Min.X, y, text)
	answer, c := h.Label, accent
	if h.Uncertain {
		answer, c = "uncertain", faint
	}
	a.right(out, a.strong, answer, in.Max.X, y, c)
	left, right := float32(in.Min.X+92), float32(in.Max.X-52)
	for _, p := range h.Probs {
		y += step
		fill, words := bar, faint
		if p.Label == h.Label && !h.Uncertain {
			fill, words = accent, text
		}
		a.write(out, a.small, p.Label, in.Min.X, y, words)
		a.right(out, a.small, fmt.Sprintf("%.0f %%", 100*p.P), in.Max.X, y, words)
		rounded(out, left, float32(y-10), right, float32(y), 5, track)
		if w := (right - left) * min(max(p.P, 0), 1); w >= 1 {
			rounded(out, left, float32(y-10), left+w, float32(y), 5, fill)
		}
	}
	return y
}

// foot shows the lines as lamps.
func (a *Annotator) foot(out *image.RGBA, in image.Rectangle, lines []signal.Line) {
	x := in.Min.X + 24
	for _, l := range lines {
		w := max(a.width(a.small, l.Name), a.width(a.small, l.Pin)) + 44
		if x+w > in.Max.X-12 {
			break
		}
		lamp, c := track, faint
		if l.Active {
			lamp, c = live, text
		}
		ring(out, float32(x+8), float32(in.Min.Y+34), 8, 8, lamp)
		a.write(out, a.small, l.Name, x+26, in.Min.Y+39, c)
		a.write(out, a.small, l.Pin, x+26, in.Min.Y+59, faint)
		x += w + 6
	}
}

func (a *Annotator) width(f font.Face, s string) int { return font.MeasureString(f, s).Ceil() }

func (a *Annotator) write(out *image.RGBA, f font.Face, s string, x, y int, c color.Color) {
	d := font.Drawer{Dst: out, Src: image.NewUniform(c), Face: f, Dot: fixed.P(x, y)}
	d.DrawString(strings.TrimSpace(s))
}

func (a *Annotator) right(out *image.RGBA, f font.Face, s string, x, y int, c color.Color) {
	a.write(out, f, s, x-a.width(f, s), y, c)
}

// rounded fills a rectangle with round corners.
func rounded(out *image.RGBA, x0, y0, x1, y1, r float32, c color.Color) {
	r = min(r, (x1-x0)/2, (y1-y0)/2)
	path(out, c, x0, y0, x1, y1, func(v *vector.Rasterizer, ox, oy float32) {
		x0, y0, x1, y1 := x0-ox, y0-oy, x1-ox, y1-oy
		v.MoveTo(x0+r, y0)
		v.LineTo(x1-r, y0)
		v.QuadTo(x1, y0, x1, y0+r)
		v.LineTo(x1, y1-r)
		v.QuadTo(x1, y1, x1-r, y1)
		v.LineTo(x0+r, y1)
		v.QuadTo(x0, y1, x0, y1-r)
		v.LineTo(x0, y0+r)
		v.QuadTo(x0, y0, x0+r, y0)
		v.ClosePath()
	})
}

// corners draws the four corners of a box, as a viewfinder does.
func corners(out *image.RGBA, x0, y0, x1, y1 float32, c color.Color) {
	const w = 4
	l := (x1 - x0) / 5
	for _, k := range [][4]float32{{x0, y0, 1, 1}, {x1, y0, -1, 1}, {x0, y1, 1, -1}, {x1, y1, -1, -1}} {
		x, y, dx, dy := k[0], k[1], k[2], k[3]
		rounded(out, min(x, x+dx*l), min(y, y+dy*w), max(x, x+dx*l), max(y, y+dy*w), 2, c)
		rounded(out, min(x, x+dx*w), min(y, y+dy*l), max(x, x+dx*w), max(y, y+dy*l), 2, c)
	}
}

// ring draws a circle of radius r whose line is w wide inwards; w = r fills it.
func ring(out *image.RGBA, x, y, r, w float32, c color.Color) {
	path(out, c, x-r, y-r, x+r, y+r, func(v *vector.Rasterizer, ox, oy float32) {
		circle(v, x-ox, y-oy, r, 1)
		if w < r {
			circle(v, x-ox, y-oy, r-w, -1)
		}
	})
}

// circle adds a circle as 32 chords, turning with dir.
func circle(v *vector.Rasterizer, x, y, r float32, dir float64) {
	for i := range 32 {
		s, c := math.Sincos(dir * float64(i) * math.Pi / 16)
		px, py := x+r*float32(c), y+r*float32(s)
		if i == 0 {
			v.MoveTo(px, py)
		} else {
			v.LineTo(px, py)
		}
	}
	v.ClosePath()
}

// path fills what shape draws within the bounds given.
func path(out *image.RGBA, c color.Color, x0, y0, x1, y1 float32, shape func(v *vector.Rasterizer, ox, oy float32)) {
	r := image.Rect(int(x0)-1, int(y0)-1, int(x1)+2, int(y1)+2)
	if !r.Overlaps(out.Rect) || r.Dx() > 1<<13 || r.Dy() > 1<<13 {
		return
	}
	v := vector.NewRasterizer(r.Dx(), r.Dy())
	shape(v, float32(r.Min.X), float32(r.Min.Y))
	// A face may reach over the border, which the rasteriser must not.
	mask := image.NewAlpha(image.Rect(0, 0, r.Dx(), r.Dy()))
	v.Draw(mask, mask.Rect, image.Opaque, image.Point{})
	draw.DrawMask(out, r, image.NewUniform(c), image.Point{}, mask, image.Point{}, draw.Over)
}
