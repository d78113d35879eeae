package mjpeg

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/camera"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "libjpeg", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What libjpeg writes the standard library reads as we do, up to rounding.
func TestDecodeKinds(t *testing.T) {
	names := map[string][]byte{}
	for _, n := range []string{"progressive.jpg", "progressive-grey.jpg", "1x2.jpg", "restart.jpg",
		"rgb.jpg", "cmyk.jpg", "cmyk-progressive.jpg", "ycck.jpg"} {
		names[n] = fixture(t, n)
	}
	var d Decoder
	for name, file := range names {
		for _, ended := range []bool{true, false} {
			if !ended {
				file = file[:len(file)-2]
			}
			var f camera.Frame
			if err := d.Decode(file, &f); err != nil {
				t.Errorf("%s, with its end %v: %v", name, ended, err)
				continue
			}
			img, err := jpeg.Decode(bytes.NewReader(names[name]))
			if err != nil {
				t.Fatal(name, err)
			}
			if f.Rect != img.Bounds() {
				t.Fatalf("%s: %v, want %v", name, f.Rect, img.Bounds())
			}
			for y := range f.Rect.Dy() {
				for x := range f.Rect.Dx() {
					a, b := int(f.GrayAt(x, y).Y), int(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y)
					if c, ok := img.At(x, y).(color.YCbCr); ok {
						b = int(c.Y)
					}
					if a-b > 3 || b-a > 3 {
						t.Fatalf("%s: pixel %d,%d is %d, want %d", name, x, y, a, b)
					}
				}
			}
		}
	}
	// The standard library (of Go 1.24) does not read this one. Its luma is that
	// of another.
	var f, want camera.Frame
	if err := errors.Join(d.Decode(fixture(t, "progressive-restart.jpg"), &f), d.Decode(fixture(t, "progressive.jpg"), &want)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(f.Pix, want.Pix) {
		t.Error("progressive-restart.jpg differs from progressive.jpg")
	}
	err := d.Decode(fixture(t, "arithmetic.jpg"), &f)
	if fault(t, err) != camera.Unsupported || !strings.Contains(err.Error(), "arithmetic-coded") {
		t.Errorf("arithmetic coding: %v", err)
	}
}

// Progressive pictures that are cut are not given: they would be blurred.
func TestDecodeProgressiveCut(t *testing.T) {
	var d Decoder
	var f camera.Frame
	file := fixture(t, "progressive.jpg")
	for n := 2; n < len(file)-12; n += 7 {
		if err := d.Decode(file[:n], &f); err == nil || fault(t, err) == camera.Unsupported {
			t.Errorf("%d bytes of %d: %v", n, len(file), err)
		}
	}
}

// Damage between two restarts costs what is between them, and moves nothing
// else: numbers are followed as libjpeg does.
func TestDecodeRestarts(t *testing.T) {
	file := fixture(t, "restart.jpg") // intervals of 2 MCUs of 16x16, 10 across
	var at []int
	for i := bytes.Index(file, []byte{0xff, 0xda}); i+1 < len(file); i++ {
		if file[i] == 0xff && file[i+1] >= 0xd0 && file[i+1] <= 0xd7 {
			at = append(at, i)
		}
	}
	// at[k] begins interval k+1.
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	middle := (at[5] + at[6]) / 2
	for _, c := range []struct {
		name string
		file []byte
		lost []int // intervals
	}{
		{"whole", file, nil},
		{"interval lost", join(file[:at[5]], file[at[6]:]), []int{6}},
		{"two intervals lost", join(file[:at[5]], file[at[7]:]), []int{6, 7}},
		{"interval twice", join(file[:at[5]], file[at[4]:]), nil},
		{"number damaged", join(file[:at[5]+1], []byte{0xd0 + (file[at[5]+1]-0xd0+4)&7}, file[at[5]+2:]), nil},
		{"interval short", join(file[:middle], file[at[6]:]), []int{6}},
		{"marker within", join(file[:middle], []byte{0xff, 0x05}, file[middle+2:]), []int{6}},
		{"long", join(file[:at[6]], []byte{1, 2, 3, 4, 5, 6, 7, 8}, file[at[6]:]), nil},
	} {
		var whole, got camera.Frame
		var d Decoder
		if err := d.Decode(file, &whole); err != nil {
			t.Fatal(err)
		}
		// A frame that held something else: what is lost must not show it.
		got.Resize(whole.Rect.Dx(), whole.Rect.Dy())
		for i := range got.Pix {
			got.Pix[i] = 7
		}
		if err := d.Decode(c.file, &got); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var bad []int
		for k := range 40 {
			for p := range 2 * 16 * 16 {
				unit := 2*k + p/256
				x, y := unit%10*16+p%16, unit/10*16+p%256/16
				if x < 147 && y < 123 && got.GrayAt(x, y) != whole.GrayAt(x, y) {
					bad = append(bad, k)
					break
				}
			}
		}
		if fmt.Sprint(bad) != fmt.Sprint(c.lost) {
			t.Errorf("%s: intervals %v differ, want %v", c.name, bad, c.lost)
		}
		if len(c.lost) > 0 && bytes.IndexByte(got.Pix, 7) >= 0 && bytes.IndexByte(whole.Pix, 7) < 0 {
			t.Errorf("%s: the picture before shows through", c.name)
		}
	}
	var d Decoder
	var f camera.Frame
	if err := d.Decode(join(file[:at[3]], file[at[12]:]), &f); err == nil {
		t.Error("a picture that lacks a quarter was given")
	}
}

// A picture's tables are its own: one with and one without them may follow
// each other, and a damaged one harms none but itself.
func TestTablesAreForgotten(t *testing.T) {
	own := fixture(t, "progressive.jpg") // with tables made for it
	files, want := pictures(t)
	plain := strip(t, files[0], 0xc4)
	var d Decoder
	var f camera.Frame
	for _, before := range [][]byte{own, own[:len(own)/3]} {
		_ = d.Decode(before, &f)
		if err := d.Decode(plain, &f); err != nil {
			t.Fatal(err)
		}
		same(t, &f, want[0])
	}
}

// A picture without quantisation tables is told as one, and does not take those
// of the picture before for its own.
func TestQuantisationIsThePicturesOwn(t *testing.T) {
	files, _ := pictures(t)
	var d Decoder
	var f camera.Frame
	for range 2 {
		if err := d.Decode(strip(t, files[0], 0xdb), &f); fault(t, err) != camera.Damaged || !strings.Contains(err.Error(), "quantisation table") {
			t.Errorf("%v", err)
		}
		if err := d.Decode(files[0], &f); err != nil {
			t.Fatal(err)
		}
	}
}

// A few bytes must ask neither for much memory nor for much time.
func TestDecodeBounds(t *testing.T) {
	var d Decoder
	var f camera.Frame
	file := fixture(t, "progressive.jpg")
	sof := bytes.Index(file, []byte{0xff, 0xc2})
	huge := bytes.Clone(file)
	copy(huge[sof+5:], []byte{0x10, 0, 0x10, 0}) // 4096x4096
	if err := d.Decode(huge, &f); fault(t, err) != camera.TooLarge || cap(f.Pix) > MaxPixels {
		t.Errorf("%v", err)
	}
	copy(huge[sof+5:], []byte{0x08, 0x70, 0x10, 0}) // 4096x2160: its coefficients are too many
	if err := d.Decode(huge, &f); fault(t, err) != camera.TooLarge || len(d.comps[0].coef) > 0 {
		t.Errorf("%v", err)
	}
	sos := bytes.Index(file, []byte{0xff, 0xda})
	end := sos + 2 + scanEnd(file[sos+2:])
	many := append(bytes.Clone(file[:end]), bytes.Repeat(file[sos:end], 200)...)
	if err := d.Decode(many, &f); fault(t, err) != camera.Damaged || !strings.Contains(err.Error(), "scans") {
		t.Errorf("%v", err)
	}
}
