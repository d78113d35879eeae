package mjpeg

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
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
		code, _, next, ok := marker(file, pos)
		if !ok {
			t.Fatal("no marker")
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
	var bad *camera.BadPicture
	if err := d.Decode(file[:len(file)/2], &f); !errors.As(err, &bad) || bad.Fault != camera.Cut {
		t.Errorf("half a picture: %v", err)
	}
	arithmetic := bytes.Clone(file)
	arithmetic[bytes.Index(arithmetic, []byte{0xff, 0xc0})+1] = 0xc9
	if err := d.Decode(arithmetic, &f); !errors.As(err, &bad) || bad.Fault != camera.Unsupported || !strings.Contains(bad.Why, "arithmetic") {
		t.Errorf("an arithmetic-coded picture: %v", err)
	}
	tall := bytes.Clone(file)
	copy(tall[bytes.Index(tall, []byte{0xff, 0xc0})+5:], []byte{0, 0})
	if err := d.Decode(tall, &f); !errors.As(err, &bad) || bad.Fault != camera.Unsupported || !strings.Contains(bad.Why, "DNL") {
		t.Errorf("a picture that tells its height later: %v", err)
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
	for _, name := range []string{"progressive-grey.jpg", "progressive-restart.jpg", "restart.jpg"} {
		f.Add(fixture(f, name))
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

// iotestOneByte gives its reader's bytes in pieces of odd lengths.
type iotestOneByte struct{ r io.Reader }

func (r iotestOneByte) Read(p []byte) (int, error) { return r.r.Read(p[:min(len(p), 1999)]) }

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

// fault is the kind of an error of Decode.
func fault(t *testing.T, err error) camera.Fault {
	t.Helper()
	var bad *camera.BadPicture
	if !errors.As(err, &bad) {
		t.Fatalf("%v is no BadPicture", err)
	}
	return bad.Fault
}

// split returns the pictures of a stream, and what was dropped.
func split(t *testing.T, stream []byte) ([][]byte, camera.Dropped) {
	t.Helper()
	s := NewSplitter(iotestOneByte{bytes.NewReader(stream)})
	var all [][]byte
	for {
		p, err := s.Next()
		if err == io.EOF {
			return all, s.Dropped()
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(p))
	}
}

// Whatever a picture lacks, the pictures after it are whole; and it is not
// taken for whole itself.
func TestSplitCut(t *testing.T) {
	files, _ := pictures(t)
	file := files[1]
	boundary := "\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 52391\r\n\r\n"
	for _, between := range []string{boundary, "", "\n--a\n\n", "\x00\x00"} {
		for n := range len(file) - 2 {
			if n > 100 && n < 700 && n%3 != 0 || n > 700 && n%1999 != 0 {
				continue
			}
			stream := slices.Concat(file[:n], []byte(between), file, []byte(between), file[:n])
			got, dropped := split(t, stream)
			whole := 0
			for _, p := range got {
				var d Decoder
				var f camera.Frame
				if bytes.Equal(p, file) {
					whole++
				} else if err := d.Decode(p, &f); err == nil {
					t.Errorf("%d bytes, then %q: picture of %d bytes: %v", n, between, len(p), err)
				}
			}
			if whole != 1 || n > 3 && len(got)-whole+int(dropped.Total()) != 2 {
				t.Errorf("%d bytes, then %q: %d pictures whole, %d cut, %d dropped", n, between, whole, len(got)-whole, dropped.Total())
			}
		}
	}
}

// Cameras that leave the end marker out, pad segments with zeros, or put an
// AVI1 segment in front lose nothing.
func TestSplitOddities(t *testing.T) {
	files, want := pictures(t)
	files, want = files[1:8], want[1:8]
	for _, c := range []struct {
		name string
		make func([]byte) []byte
	}{
		{"as it is", bytes.Clone},
		{"no end", func(b []byte) []byte { return bytes.Clone(b[:len(b)-2]) }},
		{"zeros", func(b []byte) []byte { return padded(t, b, []byte{0, 0}) }},
		{"fill bytes", func(b []byte) []byte { return padded(t, b, []byte{0xff}) }},
		{"AVI1", func(b []byte) []byte {
			return slices.Concat(b[:2], []byte{0xff, 0xe0, 0, 16}, []byte("AVI1"), make([]byte, 10), b[2:])
		}},
	} {
		for _, between := range []string{"", "\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n", "\n--x\n\n"} {
			var stream []byte
			for _, f := range files {
				stream = append(append(stream, c.make(f)...), between...)
			}
			got, dropped := split(t, stream)
			if len(got) != len(files) || dropped.Total() != 0 {
				t.Errorf("%s, %q: %d pictures of %d, %v", c.name, between, len(got), len(files), dropped)
				continue
			}
			var d Decoder
			var f camera.Frame
			for i, p := range got {
				if err := d.Decode(p, &f); err != nil {
					t.Errorf("%s, %q: picture %d: %v", c.name, between, i, err)
					continue
				}
				same(t, &f, want[i])
			}
		}
	}
}

// padded puts pad in front of each marker up to the scan.
func padded(t *testing.T, file, pad []byte) []byte {
	out := bytes.Clone(file[:2])
	for pos := 2; ; {
		code, _, next, ok := marker(file, pos)
		if !ok {
			t.Fatal("no marker")
		}
		out = append(out, pad...)
		if code == 0xda {
			return append(out, file[pos:]...)
		}
		out = append(out, file[pos:next]...)
		pos = next
	}
}

// What has no end is not kept: neither segments, nor restart markers, nor
// padding, nor pixels, nor what is no picture at all.
func TestSplitEndless(t *testing.T) {
	file := portrait.JPEG()
	app := append([]byte{0xff, 0xe5, 0xff, 0xfd}, make([]byte, 0xfffb)...)
	scan := file[:bytes.Index(file, []byte{0xff, 0xda})+14]
	for _, c := range []struct {
		name       string
		head, tail []byte
		dropped    bool
	}{
		{"segments", file[:20], app, true},
		{"restart markers", scan, []byte{0xff, 0xd3}, true},
		{"restart markers before the pixels", file[:20], []byte{0xff, 0xd3}, true},
		{"padding", file[:20], []byte{0}, true},
		{"fill bytes", file[:20], []byte{0xff}, true},
		{"pixels", scan, []byte{0x55}, true},
		{"no picture", nil, []byte("hello\xff\xd8 "), false},
	} {
		s := NewSplitter(io.MultiReader(bytes.NewReader(c.head), io.LimitReader(&endless{of: c.tail}, 6<<20), bytes.NewReader(file)))
		got, err := s.Next()
		if err != nil || !bytes.Equal(got, file) {
			t.Errorf("%s: %d bytes, %v; want the picture behind", c.name, len(got), err)
		}
		if cap(s.buf) > maxPicture+4*chunk {
			t.Errorf("%s: %d bytes are kept", c.name, cap(s.buf))
		}
		if n := s.Dropped().Counts[camera.TooLarge]; (n > 0) != c.dropped {
			t.Errorf("%s: dropped %v", c.name, s.Dropped())
		}
		if n := s.Dropped().Counts[camera.Unsupported]; c.head == nil && n < 90 {
			t.Errorf("%s: 6 MiB of it are told %d times", c.name, n)
		}
	}
}

// endless repeats its bytes.
type endless struct {
	of []byte
	at int
}

func (e *endless) Read(p []byte) (int, error) {
	for len(e.of) < 1<<12 {
		e.of = append(e.of, e.of...)
	}
	n := copy(p, e.of[e.at:])
	e.at = (e.at + n) % len(e.of)
	return n, nil
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
			if start(p) != 0 || len(p) > maxPicture+1<<16 {
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
