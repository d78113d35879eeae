package mjpeg

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"testing"

	"mien/camera"
	"mien/camera/replay/portrait"
)

// pictures are JPEG files of several shapes and their luma by the standard
// library's decoder.
func pictures(t testing.TB) (files [][]byte, want []*image.Gray) {
	add := func(img image.Image, quality int) {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
			t.Fatal(err)
		}
		files = append(files, b.Bytes())
		want = append(want, luma(t, b.Bytes()))
	}
	grey := portrait.Gray()
	for _, r := range []image.Rectangle{grey.Rect, image.Rect(100, 30, 357, 247), image.Rect(0, 0, 1, 1), image.Rect(5, 5, 20, 13)} {
		add(grey.SubImage(r), 90)
	}
	add(grey, 30)
	// Coloured ones have colour at half the resolution.
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []image.Point{{160, 120}, {33, 47}, {8, 300}} {
		img := image.NewRGBA(image.Rectangle{Max: size})
		for y := range size.Y {
			for x := range size.X {
				img.Set(x, y, color.RGBA{uint8(x*3 + rng.IntN(20)), uint8(y*2 + rng.IntN(40)), uint8(x ^ y), 255})
			}
		}
		add(img, 75)
		add(img, 100)
	}
	files = append(files, portrait.JPEG())
	want = append(want, luma(t, portrait.JPEG()))
	return files, want
}

func luma(t testing.TB, file []byte) *image.Gray {
	img, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	switch img := img.(type) {
	case *image.Gray:
		return img
	case *image.YCbCr:
		return &image.Gray{Pix: img.Y, Stride: img.YStride, Rect: img.Rect}
	}
	t.Fatalf("%T", img)
	return nil
}

// The standard library's decoder rounds elsewhere; nothing may be off by more
// than two grey levels.
func same(t *testing.T, f *camera.Frame, want *image.Gray) {
	t.Helper()
	if f.Rect.Dx() != want.Rect.Dx() || f.Rect.Dy() != want.Rect.Dy() {
		t.Fatalf("%v, want %v", f.Rect, want.Rect)
	}
	off := 0
	for y := range f.Rect.Dy() {
		for x := range f.Rect.Dx() {
			a, b := int(f.Pix[y*f.Stride+x]), int(want.Pix[y*want.Stride+x])
			if a-b > 2 || b-a > 2 {
				t.Fatalf("pixel %d,%d is %d, want %d", x, y, a, b)
			}
			if a != b {
				off++
			}
		}
	}
	if n := f.Rect.Dx() * f.Rect.Dy(); off > n/20+1 {
		t.Errorf("%d of %d pixels differ", off, n)
	}
}

func TestDecode(t *testing.T) {
	var d Decoder
	var f camera.Frame
	files, want := pictures(t)
	for i, file := range files {
		if err := d.Decode(file, &f); err != nil {
			t.Errorf("picture %d: %v", i, err)
			continue
		}
		same(t, &f, want[i])
	}
}

// strip removes the segments of one kind.
func strip(t *testing.T, file []byte, kind byte) []byte {
	out := append([]byte{}, file[:2]...)
	n := 0
	for pos := 2; ; {
		code, _, next, err := marker(file, pos)
		if err != nil {
			t.Fatal(err)
		}
		if code == 0xda {
			if n == 0 {
				t.Fatalf("no segment %#x to remove", kind)
			}
			return append(out, file[pos:]...)
		}
		if code != kind {
			out = append(out, file[pos:next]...)
		} else {
			n++
		}
		pos = next
	}
}

// Many USB cameras leave the Huffman tables out; the standard library's
// encoder uses those of annex K, so they can be left out of its files too.
func TestDecodeWithoutHuffmanTables(t *testing.T) {
	files, want := pictures(t)
	for i, file := range files[:len(files)-1] {
		var d Decoder
		var f camera.Frame
		if err := d.Decode(strip(t, file, 0xc4), &f); err != nil {
			t.Fatalf("picture %d: %v", i, err)
		}
		same(t, &f, want[i])
	}
}

func TestDecodeDamaged(t *testing.T) {
	var d Decoder
	var f camera.Frame
	file := portrait.JPEG()
	for n := 0; n < len(file)-400; n += 3001 {
		if err := d.Decode(file[:n], &f); err == nil {
			t.Fatalf("a picture cut to %d of %d bytes was accepted", n, len(file))
		}
	}
	if err := d.Decode(file[:len(file)/2], &f); !errors.Is(err, errShort) {
		t.Errorf("half a picture: %v", err)
	}
	progressive := bytes.Clone(file)
	progressive[bytes.Index(progressive, []byte{0xff, 0xc0})+1] = 0xc2
	if err := d.Decode(progressive, &f); err == nil {
		t.Error("a progressive picture was accepted")
	}
	if err := d.Decode(file, &f); err != nil {
		t.Errorf("a good picture after bad ones: %v", err)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	var d Decoder
	var f camera.Frame
	files, _ := pictures(t)
	turn := func() {
		for _, file := range files {
			if err := d.Decode(file, &f); err != nil {
				t.Fatal(err)
			}
		}
	}
	turn()
	if n := testing.AllocsPerRun(5, turn); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := pictures(f)
	for _, file := range files[2:8] {
		f.Add(file)
	}
	f.Add([]byte{0xff, 0xd8, 0xff, 0xd9})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Decoder
		var frame camera.Frame
		if len(b) > 1<<16 {
			return
		}
		if err := d.Decode(b, &frame); err == nil && len(frame.Pix) != frame.Rect.Dx()*frame.Rect.Dy() {
			t.Errorf("%d pixels for %v", len(frame.Pix), frame.Rect)
		}
	})
}

func TestSplit(t *testing.T) {
	files, _ := pictures(t)
	var stream bytes.Buffer
	for i, file := range files {
		switch i % 3 {
		case 1:
			stream.WriteString("\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 17\r\n\r\n")
		case 2:
			stream.Write([]byte{0xff, 0xff, 0xfe, 0xff}) // rubbish
		}
		stream.Write(file)
	}
	stream.WriteString("\r\n--frame--\r\n")
	s := NewSplitter(iotestOneByte{&stream})
	for i, file := range files {
		got, err := s.Next()
		if err != nil || !bytes.Equal(got, file) {
			t.Fatalf("picture %d: %d bytes, want %d: %v", i, len(got), len(file), err)
		}
	}
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("after the last picture: %v", err)
	}
}

// iotestOneByte gives its reader's bytes in small pieces of odd lengths.
type iotestOneByte struct{ r io.Reader }

func (r iotestOneByte) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), 7)]) }

// A preview inside a picture is a JPEG file of its own in an APP segment.
func TestSplitPreview(t *testing.T) {
	files, _ := pictures(t)
	inner, outer := files[2], files[0]
	n := len(inner) + 2
	file := append([]byte{0xff, 0xd8, 0xff, 0xe1, byte(n >> 8), byte(n)}, inner...)
	file = append(file, outer[2:]...)
	got, err := NewSplitter(bytes.NewReader(file)).Next()
	if err != nil || !bytes.Equal(got, file) {
		t.Fatalf("%d bytes of %d: %v", len(got), len(file), err)
	}
	var d Decoder
	var f camera.Frame
	if err := d.Decode(got, &f); err != nil || f.Rect.Dx() != portrait.Side {
		t.Errorf("%v %v", f.Rect, err)
	}
}

func TestSplitCut(t *testing.T) {
	file := portrait.JPEG()
	for _, n := range []int{3, 100, 700, len(file) - 1} {
		if _, err := NewSplitter(bytes.NewReader(file[:n])).Next(); err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	// A cut picture with a good one behind it costs only the cut one.
	s := NewSplitter(bytes.NewReader(append(bytes.Clone(file[:5000]), file...)))
	got, err := s.Next()
	if err != nil || !bytes.Equal(got, file) {
		t.Errorf("after a cut picture: %d bytes, %v", len(got), err)
	}
}

func FuzzSplit(f *testing.F) {
	files, _ := pictures(f)
	f.Add(append(bytes.Clone(files[2]), files[3]...))
	f.Add([]byte{0xff, 0xd8, 0xff, 0xda, 0, 2, 1, 0xff, 0xff, 0xd9})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewSplitter(bytes.NewReader(b))
		for range len(b) {
			p, err := s.Next()
			if err != nil {
				return
			}
			if !bytes.HasPrefix(p, []byte{0xff, 0xd8}) || !bytes.HasSuffix(p, []byte{0xff, 0xd9}) {
				t.Fatalf("% x", p)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var d Decoder
	var f camera.Frame
	for b.Loop() {
		if err := d.Decode(portrait.JPEG(), &f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeStandardLibrary(b *testing.B) {
	for b.Loop() {
		if _, err := jpeg.Decode(bytes.NewReader(portrait.JPEG())); err != nil {
			b.Fatal(err)
		}
	}
}
