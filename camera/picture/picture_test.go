package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"mien/camera"
	"mien/runtime/upright"
)

func portrait(t testing.TB) *image.Gray {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(fixture(t, "portrait.png")))
	if err != nil {
		t.Fatal(err)
	}
	return img.(*image.Gray)
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// off is the mean difference of two pictures in grey levels.
func off(t *testing.T, a, b *image.Gray) float64 {
	t.Helper()
	if a.Rect.Size() != b.Rect.Size() {
		t.Fatalf("%v, want %v", a.Rect, b.Rect)
	}
	sum := 0
	for y := range a.Rect.Dy() {
		for x := range a.Rect.Dx() {
			d := int(a.GrayAt(x, y).Y) - int(b.GrayAt(x, y).Y)
			sum += max(d, -d)
		}
	}
	return float64(sum) / float64(a.Rect.Dx()*a.Rect.Dy())
}

func encode(t testing.TB, write func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// kinds is the portrait as a file of every kind.
func kinds(t testing.TB) map[string][]byte {
	p := portrait(t)
	rgb := image.NewNRGBA(p.Rect)
	for y := range 64 {
		for x := range 64 {
			rgb.Set(x, y, p.GrayAt(x, y))
		}
	}
	levels := make(color.Palette, 256)
	for i := range levels {
		levels[i] = color.Gray{uint8(i)}
	}
	indexed := image.NewPaletted(p.Rect, levels)
	copy(indexed.Pix, p.Pix)
	return map[string][]byte{
		"JPEG":          encode(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, p, &jpeg.Options{Quality: 95}) }),
		"JPEG, colour":  encode(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, rgb, &jpeg.Options{Quality: 95}) }),
		"PNG":           encode(t, func(b *bytes.Buffer) error { return png.Encode(b, rgb) }),
		"GIF":           encode(t, func(b *bytes.Buffer) error { return gif.Encode(b, indexed, nil) }),
		"BMP":           encode(t, func(b *bytes.Buffer) error { return bmp.Encode(b, rgb) }),
		"TIFF":          encode(t, func(b *bytes.Buffer) error { return tiff.Encode(b, p, &tiff.Options{Compression: tiff.Deflate}) }),
		"WebP":          fixture(t, "portrait.webp"),
		"WebP lossless": fixture(t, "portrait-lossless.webp"),
	}
}

func TestKinds(t *testing.T) {
	var r Reader
	for kind, file := range kinds(t) {
		var f camera.Frame
		if err := r.Read(file, &f); err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if d := off(t, &f.Gray, portrait(t)); d > 4 {
			t.Errorf("%s: off by %.1f grey levels", kind, d)
		}
		for n := range len(file) - 1 {
			if n > 64 && n%37 != 0 {
				continue
			}
			var bad *camera.BadPicture
			if err := r.Read(file[:n], &f); err != nil && !errors.As(err, &bad) {
				t.Fatalf("%s, %d bytes of it: %v is no BadPicture", kind, n, err)
			}
		}
	}
	var f camera.Frame
	if err := r.Read([]byte("hello"), &f); err == nil || !strings.Contains(err.Error(), "WebP") {
		t.Errorf("text: %v", err)
	}
	small := Reader{MaxPixels: 64*64 - 1}
	for kind, file := range kinds(t) {
		var bad *camera.BadPicture
		if err := small.Read(file, &f); !errors.As(err, &bad) || bad.Fault != camera.TooLarge {
			t.Errorf("%s of more pixels than are taken: %v", kind, err)
		}
	}
}

// A picture that EXIF says is turned comes out upright.
func TestEXIF(t *testing.T) {
	want := portrait(t)
	for n, stored := range map[int]upright.Turn{2: {Mirror: true}, 3: {Degrees: 180}, 6: {Degrees: 270}, 8: {Degrees: 90}} {
		flat := encode(t, func(b *bytes.Buffer) error {
			return jpeg.Encode(b, stored.Image(want), &jpeg.Options{Quality: 97})
		})
		tiff := binary.LittleEndian.AppendUint32([]byte("II*\x00"), 8)
		tiff = append(tiff, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, byte(n), 0, 0, 0, 0, 0, 0, 0)
		app := append([]byte("Exif\x00\x00"), tiff...)
		file := append([]byte{0xff, 0xd8, 0xff, 0xe1, 0, byte(len(app) + 2)}, app...)
		var r Reader
		var f camera.Frame
		if err := r.Read(append(file, flat[2:]...), &f); err != nil {
			t.Fatal(err)
		}
		if d := off(t, &f.Gray, want); d > 3 {
			t.Errorf("orientation %d: off by %.1f grey levels", n, d)
		}
	}
}

func FuzzRead(f *testing.F) {
	for kind, file := range kinds(f) {
		if !strings.HasPrefix(kind, "JPEG") { // mjpeg has a target of its own
			f.Add(file)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := Reader{MaxPixels: 1 << 16}
		var frame camera.Frame
		_ = r.Read(b, &frame)
	})
}
