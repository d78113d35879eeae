package upright

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"testing"
)

// f is a picture in which every pixel differs; rows are longer than it is.
func f(w, h int) *image.Gray {
	g := image.NewGray(image.Rect(0, 0, w+3, h))
	for y := range h {
		for x := range w {
			g.SetGray(x, y, color.Gray{uint8(1 + y*w + x)})
		}
	}
	return g.SubImage(image.Rect(0, 0, w, h)).(*image.Gray)
}

func rows(g *image.Gray) [][]byte {
	var out [][]byte
	for y := range g.Rect.Dy() {
		out = append(out, g.Pix[y*g.Stride:][:g.Rect.Dx()])
	}
	return out
}

// What each orientation shows, as the standard draws it.
func TestTurns(t *testing.T) {
	//	1 2 3
	//	4 5 6
	want := [8][][]byte{
		{{1, 2, 3}, {4, 5, 6}},
		{{3, 2, 1}, {6, 5, 4}},
		{{6, 5, 4}, {3, 2, 1}},
		{{4, 5, 6}, {1, 2, 3}},
		{{1, 4}, {2, 5}, {3, 6}},
		{{4, 1}, {5, 2}, {6, 3}},
		{{6, 3}, {5, 2}, {4, 1}},
		{{3, 6}, {2, 5}, {1, 4}},
	}
	for i, turn := range turns {
		got := turn.Image(f(3, 2))
		if r := rows(got.(*image.Gray)); len(r) != len(want[i]) || !bytes.Equal(bytes.Join(r, nil), bytes.Join(want[i], nil)) {
			t.Errorf("orientation %d: %v, want %v", i+1, r, want[i])
		}
		rgb := image.NewNRGBA(image.Rect(5, 5, 8, 7))
		for y := range 2 {
			for x := range 3 {
				rgb.Set(5+x, 5+y, color.NRGBA{uint8(1 + y*3 + x), 9, 9, 255})
			}
		}
		colour := turn.Image(rgb)
		for y := range len(want[i]) {
			for x := range len(want[i][0]) {
				if r, g, _, _ := colour.At(colour.Bounds().Min.X+x, colour.Bounds().Min.Y+y).RGBA(); byte(r>>8) != want[i][y][x] || g>>8 != 9 {
					t.Fatalf("orientation %d in colour: pixel %d,%d is %d, want %d", i+1, x, y, r>>8, want[i][y][x])
				}
			}
		}
	}
}

// Large pictures go by tiles; each pixel is where the small ones say.
func TestTiles(t *testing.T) {
	src := f(101, 67)
	for _, turn := range turns {
		w, h := turn.Size(101, 67)
		dst := image.NewGray(image.Rect(0, 0, w, h))
		turn.Gray(dst, src)
		for y := range h {
			for x := range w {
				if sx, sy := turn.source(x, y, 101, 67); dst.GrayAt(x, y) != src.GrayAt(sx, sy) {
					t.Fatalf("%+v: pixel %d,%d is wrong", turn, x, y)
				}
			}
		}
	}
	for _, d := range []int{-90, 45, 360, 1} {
		if (Turn{Degrees: d}).Check() == nil {
			t.Errorf("%d degrees were accepted", d)
		}
	}
}

// exif is a TIFF structure with a few tags.
func exif(order binary.AppendByteOrder, n int) []byte {
	b := []byte("MM\x00*")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		b = []byte("II*\x00")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 3)
	for _, tag := range [][4]uint32{{0x010f, 2, 1, 0}, {0x0112, 3, 1, uint32(n)}, {0x011a, 5, 1, 50}} {
		b = order.AppendUint16(b, uint16(tag[0]))
		b = order.AppendUint16(b, uint16(tag[1]))
		b = order.AppendUint32(b, tag[2])
		if tag[1] == 3 {
			b = order.AppendUint16(order.AppendUint16(b, uint16(tag[3])), 0)
		} else {
			b = order.AppendUint32(b, tag[3])
		}
	}
	return order.AppendUint32(b, 0)
}

// files are files of each kind with that orientation.
func files(order binary.AppendByteOrder, n int) map[string][]byte {
	x := exif(order, n)
	app := append([]byte("Exif\x00\x00"), x...)
	jpeg := append([]byte{0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xe1, 0, byte(len(app) + 2)}, app...)
	png := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x03tEXtabcCRC!")
	png = append(binary.BigEndian.AppendUint32(png, uint32(len(x))), "eXIf"...)
	webp := []byte("RIFF....WEBPVP8 \x03\x00\x00\x00abc_EXIF")
	webp = append(binary.LittleEndian.AppendUint32(webp, uint32(len(app))), app...)
	return map[string][]byte{"TIFF": x, "JPEG": append(jpeg, 0xff, 0xda), "PNG": append(append(png, x...), "CRC!"...), "WebP": webp}
}

func TestEXIF(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for n := range 10 {
			want := Turn{}
			if n >= 1 && n <= 8 {
				want = turns[n-1]
			}
			for kind, b := range files(order, n) {
				if got := EXIF(b); got != want {
					t.Errorf("%s, orientation %d: %+v, want %+v", kind, n, got, want)
				}
				for k := range b {
					_ = EXIF(b[:k]) // no part of it may panic
				}
			}
		}
	}
	for _, b := range []string{"", "\xff\xd8", "\xff\xd8\xff\xe1\xff\xff", "MM\x00*\xff\xff\xff\xff", "hello", "RIFF....WEBP"} {
		if got := EXIF([]byte(b)); got != (Turn{}) {
			t.Errorf("%q: %+v", b, got)
		}
	}
}

func FuzzEXIF(f *testing.F) {
	for _, b := range files(binary.LittleEndian, 6) {
		f.Add(b)
	}
	for _, b := range files(binary.BigEndian, 8) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := EXIF(b).Check(); err != nil {
			t.Error(err)
		}
	})
}
