package display

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"io"
	"strings"
	"time"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"mien/device"
	"mien/device/internal/retry"
	"mien/device/signal"
)

// Screen is a display of single dots: periph's ssd1306.Dev and SH1106 are.
type Screen interface {
	Bounds() image.Rectangle
	Draw(r image.Rectangle, src image.Image, sp image.Point) error
	Halt() error
}

// OLED shows the first head in large letters with a bar for its confidence, the
// other heads below, and a mark while the camera can be watched.
type OLED struct {
	Screen  Screen
	Preview bool        // say that pictures can be seen on the status page
	Watched func() bool // the same, where it can change; may be nil
	Bus     io.Closer   // closed with the part; may be nil
	state   device.State
}

// Tell implements Teller.
func (o *OLED) Tell(s device.State) { o.state = s }

// Show implements Part.
func (o *OLED) Show(r *device.Reading) error {
	b := o.Screen.Bounds()
	if err := o.Screen.Draw(b, o.picture(r, b), image.Point{}); err != nil {
		return fmt.Errorf("display: OLED: %w", err)
	}
	return nil
}

// Close implements Part.
func (o *OLED) Close() error {
	err := o.Screen.Halt()
	if o.Bus != nil {
		if e := o.Bus.Close(); err == nil {
			err = e
		}
	}
	return err
}

func (o *OLED) picture(r *device.Reading, b image.Rectangle) *image.Gray {
	out := image.NewGray(image.Rect(0, 0, b.Dx(), b.Dy()))
	foot := ""
	if o.Preview || o.Watched != nil && o.Watched() {
		foot = "camera watched"
	}
	var who *device.FaceReading
	if r != nil {
		who = r.SubjectFace()
	}
	if who == nil {
		words := "nobody there"
		if r == nil {
			if words = "not reading"; o.state.State != "" && !o.state.Ready {
				words = o.state.State.Meaning().Title
			}
		}
		letters(out, 0, 0, 1, words)
		letters(out, 0, b.Dy()-13, 1, foot)
		return out
	}
	y := 0
	for i := range who.Heads {
		h := &who.Heads[i]
		label := h.Label
		if h.Uncertain {
			label = "?"
		}
		scale := 1
		if i == 0 && b.Dy() >= 64 {
			scale = 2
		}
		letters(out, 0, y, scale, label)
		// The bar is what a glance across a room can read.
		y += 13 * scale
		bar := image.Rect(0, y-1, int(h.Confidence*float32(b.Dx())), y+1)
		draw.Draw(out, bar.Intersect(out.Rect), image.White, image.Point{}, draw.Src)
		if y += 3; y+13 > b.Dy() {
			break
		}
	}
	if foot != "" { // the notice goes before an answer
		draw.Draw(out, image.Rect(0, b.Dy()-13, b.Dx(), b.Dy()), image.Black, image.Point{}, draw.Src)
		letters(out, 0, b.Dy()-13, 1, foot)
	}
	return out
}

// letters writes s with its top left corner at x, y, in dots of scale: of a
// smaller one, and at last cut short, where it would not fit.
func letters(out *image.Gray, x, y, scale int, s string) {
	f := basicfont.Face7x13
	room := out.Rect.Max.X - x
	for scale > 1 && font.MeasureString(f, s).Ceil()*scale > room {
		scale--
	}
	if whole := []rune(s); font.MeasureString(f, s).Ceil()*scale > room {
		for n := len(whole) - 1; n > 0 && font.MeasureString(f, s).Ceil()*scale > room; n-- {
			s = string(whole[:n]) + ".."
		}
	}
	w := font.MeasureString(f, s).Ceil()
	if w == 0 {
		return
	}
	line := image.NewGray(image.Rect(0, 0, w, 13))
	d := font.Drawer{Dst: line, Src: image.White, Face: f, Dot: fixed.P(0, 11)}
	d.DrawString(s)
	xdraw.NearestNeighbor.Scale(out, image.Rect(x, y, x+w*scale, y+13*scale), line, line.Rect, draw.Over, nil)
}

// Strip is a row of coloured lights, written as red, green, blue bytes:
// periph's apa102.Dev and nrzled.Dev are.
type Strip interface {
	Write(rgb []byte) (int, error)
	Halt() error
}

// Orders are those in which a strip can take its colours.
var Orders = []string{"rgb", "rbg", "grb", "gbr", "brg", "bgr"}

// Order returns a strip that takes its colours in another order than its driver
// sends them, both of Orders.
func Order(s Strip, sends, takes string) Strip {
	o := &ordered{Strip: s}
	for i := range o.from {
		o.from[strings.IndexByte("rgb", sends[i])] = strings.IndexByte("rgb", takes[i])
	}
	return o
}

type ordered struct {
	Strip
	from [3]int // which colour stands in the place of red, green, blue
	b    []byte
}

// Write implements Strip.
func (o *ordered) Write(rgb []byte) (int, error) {
	o.b = append(o.b[:0], rgb...)
	for i := range rgb {
		o.b[i] = rgb[i-i%3+o.from[i%3]]
	}
	return o.Strip.Write(o.b)
}

// LEDs show one head's answer about the reading's subject: its colour on as many
// lights as the answer is sure.
type LEDs struct {
	Head    string
	Strip   Strip
	Count   int
	Colours map[string]color.RGBA // by label, and "uncertain"
	Dim     uint8                 // brightness, 255 is full
	Bus     io.Closer             // closed with the part; may be nil
	rgb     []byte
}

// Show implements Part.
func (l *LEDs) Show(r *device.Reading) error {
	if len(l.rgb) != 3*l.Count {
		l.rgb = make([]byte, 3*l.Count)
	}
	clear(l.rgb)
	if r != nil {
		if who := r.SubjectFace(); who != nil {
			l.light(who.Head(l.Head))
		}
	}
	if _, err := l.Strip.Write(l.rgb); err != nil {
		return fmt.Errorf("display: LEDs: %w", err)
	}
	return nil
}

func (l *LEDs) light(h *device.HeadReading) {
	if h == nil {
		return
	}
	c, n := l.Colours["uncertain"], l.Count
	if !h.Uncertain {
		n = max(1, int(h.Confidence*float32(l.Count)+0.5))
		if label, ok := l.Colours[h.Label]; ok { // a number has none of its own
			c = label
		}
	}
	dim := func(v uint8) byte { return byte(int(v) * int(l.Dim) / 255) }
	for i := range min(n, l.Count) {
		l.rgb[3*i], l.rgb[3*i+1], l.rgb[3*i+2] = dim(c.R), dim(c.G), dim(c.B)
	}
}

// Close implements Part.
func (l *LEDs) Close() error {
	err := l.Strip.Halt()
	if l.Bus != nil {
		if e := l.Bus.Close(); err == nil {
			err = e
		}
	}
	return err
}

// Buzzer is a device.Observer that beeps when a face begins or ends, or when a
// head's answer about it becomes one of those to beep on. A beep that is asked for during another is left out.
type Buzzer struct {
	Pin    device.Pin
	Low    bool            // the buzzer sounds at level 0
	Head   string          // whose labels may be in On
	On     map[string]bool // begin, end, labels
	Length time.Duration
	Note   func(error)
	ask    chan struct{}
}

// NewBuzzer returns a buzzer, silent.
func NewBuzzer(p device.Pin, low bool, on []string, length time.Duration, note func(error)) *Buzzer {
	b := &Buzzer{Pin: p, Low: low, On: map[string]bool{}, Length: length, Note: note, ask: make(chan struct{}, 1)}
	for _, k := range on {
		b.On[k] = true
	}
	return b
}

// Reading implements device.Observer.
func (b *Buzzer) Reading(*device.Reading) {}

// Transition implements device.Observer.
func (b *Buzzer) Transition(signal.Transition) {}

// Track implements device.Observer.
func (b *Buzzer) Track(t *device.Track) {
	h := t.Face.Head(b.Head)
	if !b.On[string(t.Kind)] && !(t.Kind == device.Update && h != nil && b.On[h.Label]) {
		return
	}
	select {
	case b.ask <- struct{}{}:
	default:
	}
}

// Run beeps until ctx ends, and leaves silence.
func (b *Buzzer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			b.sound(false)
			return
		case <-b.ask:
		}
		b.sound(true)
		retry.Pause(ctx, b.Length)
		b.sound(false)
	}
}

func (b *Buzzer) sound(on bool) {
	level := 0
	if on != b.Low {
		level = 1
	}
	if err := b.Pin.Write(level); err != nil && b.Note != nil {
		b.Note(err)
	}
}
