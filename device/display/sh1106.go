package display

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
)

// Wire is the bus that an SH1106 hangs on: periph's i2c.Bus is one.
type Wire interface {
	Tx(address uint16, w, r []byte) error
}

// The dots of an SH1106 display. Its memory has 132 columns, of which such
// displays show the middle ones.
const (
	sh1106W, sh1106H = 128, 64
	sh1106Left       = 2
)

// SH1106 is a Screen of that controller, which periph has no driver for. Its
// commands are those of the data sheet (Sino Wealth, SH1106 V2.3).
type SH1106 struct {
	bus     Wire
	address uint16
	pages   [sh1106H / 8][]byte // as they were written last
}

// NewSH1106 switches a display on, dark; turned it is mounted upside down.
func NewSH1106(bus Wire, address uint16, turned bool) (*SH1106, error) {
	s := &SH1106{bus: bus, address: address}
	columns, rows := byte(0xa1), byte(0xc8)
	if turned {
		columns, rows = 0xa0, 0xc0
	}
	if err := s.command(0xae, // off
		0xd5, 0x80, // clock
		0xa8, sh1106H-1, // rows
		0xd3, 0x00, 0x40, // the first is the first
		0xad, 0x8b, // the voltage is made on board
		columns, rows,
		0xda, 0x12, // wiring of the rows
		0x81, 0x80, // contrast
		0xd9, 0x22, 0xdb, 0x35, // precharge, and the voltage between
		0xa4, 0xa6, // what is in memory, not inverted
	); err != nil {
		return nil, err
	}
	// What is in its memory when power comes is noise.
	if err := s.Draw(s.Bounds(), image.Black, image.Point{}); err != nil {
		return nil, err
	}
	return s, s.command(0xaf)
}

// Bounds implements Screen.
func (s *SH1106) Bounds() image.Rectangle { return image.Rect(0, 0, sh1106W, sh1106H) }

// Draw implements Screen for the whole of it. Pages, of eight rows each, that
// have not changed are not sent.
func (s *SH1106) Draw(r image.Rectangle, src image.Image, sp image.Point) error {
	if r != s.Bounds() {
		return fmt.Errorf("display: SH1106: %v is not the whole display", r)
	}
	for p := range s.pages {
		page := make([]byte, sh1106W)
		for x := range page {
			for bit := range 8 {
				if color.GrayModel.Convert(src.At(sp.X+x, sp.Y+8*p+bit)).(color.Gray).Y >= 128 {
					page[x] |= 1 << bit
				}
			}
		}
		if bytes.Equal(page, s.pages[p]) {
			continue
		}
		s.pages[p] = nil // unknown if this fails
		if err := s.command(0xb0|byte(p), 0x00|sh1106Left, 0x10); err != nil {
			return err
		}
		if err := s.bus.Tx(s.address, append([]byte{0x40}, page...), nil); err != nil {
			return err
		}
		s.pages[p] = page
	}
	return nil
}

// Halt switches the display off.
func (s *SH1106) Halt() error { return s.command(0xae) }

func (s *SH1106) command(c ...byte) error {
	return s.bus.Tx(s.address, append([]byte{0x00}, c...), nil)
}
