package display

import (
	"bytes"
	"image"
	"image/color"
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi/spitest"
	"periph.io/x/devices/v3/apa102"
	"periph.io/x/devices/v3/nrzled"
)

// glass is an SH1106's memory, filled by what went over the bus.
func glass(t *testing.T, ops []i2ctest.IO, address uint16) (dots [64][132]bool, lit bool) {
	t.Helper()
	page, column := 0, 0
	for _, op := range ops {
		if op.Addr != address || len(op.W) < 2 {
			t.Fatalf("%#x: % x", op.Addr, op.W)
		}
		if op.W[0] == 0x40 {
			for _, b := range op.W[1:] {
				for bit := range 8 {
					dots[8*page+bit][column] = b>>bit&1 == 1
				}
				column++
			}
			continue
		}
		if len(op.W) == 4 && op.W[1]&0xf0 == 0xb0 {
			page, column = int(op.W[1]&0x0f), int(op.W[2]&0x0f)|int(op.W[3]&0x0f)<<4
		}
		switch op.W[len(op.W)-1] {
		case 0xaf:
			lit = true
		case 0xae:
			lit = false
		}
	}
	return dots, lit
}

// Each dot of a picture is where the display shows it, two columns in; what has not
// changed is not sent again.
func TestSH1106(t *testing.T) {
	var bus i2ctest.Record
	s, err := NewSH1106(&bus, 0x3d, false)
	if err != nil {
		t.Fatal(err)
	}
	if first := bus.Ops[0].W; first[0] != 0 || first[1] != 0xae || !bytes.Contains(first, []byte{0xa1, 0xc8}) || !bytes.Contains(first, []byte{0xad, 0x8b}) {
		t.Errorf("it begins with % x", first)
	}
	img := image.NewGray(s.Bounds())
	for _, p := range []image.Point{{0, 0}, {127, 0}, {0, 63}, {127, 63}, {70, 33}} {
		img.SetGray(p.X, p.Y, color.Gray{Y: 255})
	}
	if err := s.Draw(s.Bounds(), img, image.Point{}); err != nil {
		t.Fatal(err)
	}
	dots, lit := glass(t, bus.Ops, 0x3d)
	if !lit {
		t.Error("it is off")
	}
	for y := range 64 {
		for x := range 132 {
			want := x >= 2 && x < 130 && img.GrayAt(x-2, y).Y > 0
			if dots[y][x] != want {
				t.Errorf("dot %d,%d is %v", x-2, y, dots[y][x])
			}
		}
	}
	n := len(bus.Ops)
	img.SetGray(5, 17, color.Gray{Y: 255})
	for range 2 {
		if err := s.Draw(s.Bounds(), img, image.Point{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(bus.Ops) - n; got != 2 { // one page: where, and what
		t.Errorf("one changed dot took %d messages", got)
	}
	if err := s.Draw(image.Rect(0, 0, 5, 5), img, image.Point{}); err == nil {
		t.Error("a part was drawn")
	}
	if err := s.Halt(); err != nil {
		t.Error(err)
	}
	if _, lit := glass(t, bus.Ops, 0x3d); lit {
		t.Error("it stays on")
	}
	var turned i2ctest.Record
	if _, err := NewSH1106(&turned, 0x3c, true); err != nil || !bytes.Contains(turned.Ops[0].W, []byte{0xa0, 0xc0}) {
		t.Errorf("upside down it begins with % x, %v", turned.Ops[0].W, err)
	}
}

// A display that does not answer is an error, at the beginning and later.
func TestSH1106Silent(t *testing.T) {
	if _, err := NewSH1106(&i2ctest.Playback{DontPanic: true}, 0x3c, false); err == nil {
		t.Error("a display that is not there was opened")
	}
}

// Whatever order a strip takes its colours in, they go over the wire in that order.
func TestOrder(t *testing.T) {
	for _, takes := range Orders {
		var port spitest.Record
		dev, err := apa102.New(&port, &apa102.Opts{NumPixels: 1, Intensity: 255, Temperature: apa102.NeutralTemp, DisableGlobalPWM: true})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := Order(dev, "bgr", takes).Write([]byte{255, 100, 10}); err != nil || n != 3 {
			t.Fatal(n, err)
		}
		sent := port.Ops[len(port.Ops)-1].W[5:8] // after four zeros, and the brightness
		brightest, darkest := bytes.IndexByte([]byte(takes), 'r'), bytes.IndexByte([]byte(takes), 'b')
		for i := range sent {
			if sent[i] > sent[brightest] || sent[i] < sent[darkest] || sent[brightest] == sent[darkest] {
				t.Errorf("%s: % x", takes, sent)
			}
		}
	}
}

// So they do with WS2812, whose driver sends each bit as four.
func TestOrderOfWS2812(t *testing.T) {
	for _, takes := range Orders {
		var port spitest.Record
		dev, err := nrzled.NewSPI(&port, &nrzled.Opts{NumPixels: 1, Channels: 3, Freq: 2500 * physic.KiloHertz})
		if err != nil {
			t.Fatal(err)
		}
		for i, colour := range []byte("rgb") {
			rgb := make([]byte, 3)
			rgb[i] = 255
			if n, err := Order(dev, "grb", takes).Write(rgb); err != nil || n != 3 {
				t.Fatal(n, err)
			}
			want := bytes.Repeat([]byte{0x88}, 12) // all bits 0
			copy(want[4*bytes.IndexByte([]byte(takes), colour):], bytes.Repeat([]byte{0xee}, 4))
			if sent := bytes.Trim(port.Ops[len(port.Ops)-1].W, "\x00"); !bytes.Equal(sent, want) {
				t.Errorf("%s, %c alone: % x", takes, colour, sent)
			}
		}
	}
}
