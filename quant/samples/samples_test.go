package samples

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/quant"
	"mien/runtime/graph"
)

// npy writes an array as numpy.save does.
func npy(shape string, v ...float32) []byte {
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }\n", shape)
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	b = append(b, header...)
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func model(shapes ...[]int) *graph.Graph {
	g := &graph.Graph{}
	for i, s := range shapes {
		g.Tensors = append(g.Tensors, &graph.Tensor{Name: string(rune('a' + i)), Shape: s})
		g.Inputs = append(g.Inputs, i)
	}
	return g
}

func write(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestArrays(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range map[string][]byte{"a.npy": npy("2, 3", 1, 2, 3, 4, 5, 6), "b.npy": npy("2, 1, 1", 7, 8)} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	archive := write(t, filepath.Join(dir, "x.npz"), b.Bytes())
	g := model([]int{1, 3}, []int{1, 1})
	s, err := ReadArrays([]string{archive}, g)
	if err != nil || s.Len() != 2 {
		t.Fatalf("%v, %v", s, err)
	}
	v, w := make([]float32, 3), make([]float32, 1)
	if err := s.Fill(1, 0, v); err != nil || v[0] != 4 || v[2] != 6 {
		t.Errorf("%v, %v", v, err)
	}
	if err := s.Fill(1, 1, w); err != nil || w[0] != 8 {
		t.Errorf("%v, %v", w, err)
	}
	one := write(t, filepath.Join(dir, "a.npy"), npy("3,", 1, 2, 3))
	for _, c := range []struct {
		files []string
		want  string
	}{
		{[]string{one}, "an array of shape [3], want [1 3]"},
		{[]string{"c=" + one, archive}, `no input "c"`},
		{[]string{"b=" + archive}, "not a .npy file"},
		{[]string{filepath.Join(dir, "none.npy")}, "no such file"},
	} {
		if _, err := ReadArrays(c.files, g); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.files, err, c.want)
		}
	}
}

func TestParseNPYTypes(t *testing.T) {
	array := func(descr string, data ...byte) []byte {
		h := fmt.Sprintf("{'fortran_order': False, 'shape': (1,), 'descr': '%s'}\n", descr)
		return append(append([]byte("\x93NUMPY\x02\x00"), byte(len(h)), 0, 0, 0), append([]byte(h), data...)...)
	}
	for _, c := range []struct {
		b    []byte
		want float32
	}{{array("|u1", 200), 200}, {array("|i1", 0xff), -1}, {array("<f2", 0, 0x3c), 1}, {array("<f2", 1, 0), 1. / (1 << 24)}, {array(">f4", 0x3f, 0x80, 0, 0), 1},
		{array("<i8", 5, 0, 0, 0, 0, 0, 0, 0), 5}, {array("<f8", 0, 0, 0, 0, 0, 0, 0, 0xc0), -2}} {
		a, err := ParseNPY(c.b)
		if err != nil || len(a.Data) != 1 || a.Data[0] != c.want {
			t.Errorf("%v, %v, want %v", a, err, c.want)
		}
	}
	for _, bad := range [][]byte{nil, []byte("\x93NUMPY"), array("|O8", 1), array("<f4", 1), npy("99999999999, 99999999999"), npy("-1,", 1)} {
		if a, err := ParseNPY(bad); err == nil {
			t.Errorf("%q became %v", bad, a)
		}
	}
}

func FuzzParseNPY(f *testing.F) {
	f.Add(npy("2, 3", 1, 2, 3, 4, 5, 6))
	f.Add(npy("", 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseNPY(b)
		if err != nil {
			return
		}
		n := 1
		for _, d := range a.Shape {
			n *= d
		}
		if n != len(a.Data) {
			t.Errorf("%v values for shape %v", len(a.Data), a.Shape)
		}
	})
}

// picture writes a PNG of one colour on the left and another on the right.
func picture(t *testing.T, path string, w, h int, left, right color.Color) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := left
			if x >= w/2 {
				c = right
			}
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	write(t, path, b.Bytes())
}

func TestPictures(t *testing.T) {
	dir := t.TempDir()
	picture(t, filepath.Join(dir, "0.png"), 2, 2, color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 255, 255})
	g := model([]int{1, 2, 2, 3})
	first := func(o PictureOptions, g *graph.Graph) []float32 {
		p, err := ReadPictures(dir, g, o)
		if err != nil {
			t.Fatal(err)
		}
		v := make([]float32, g.Tensors[0].Elems())
		if err := p.Fill(0, 0, v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := first(PictureOptions{}, g); v[0] != 1 || v[1] != -1 || v[2] != -1 || v[3] != -1 || v[5] != 1 {
		t.Errorf("rgb in -1..1: %v", v)
	}
	if v := first(PictureOptions{Order: BGR, Normalise: Normalise{[]float64{0}, []float64{255}}}, g); v[0] != 0 || v[2] != 1 {
		t.Errorf("bgr in 0..1: %v", v)
	}
	if v := first(PictureOptions{}, model([]int{1, 3, 2, 2})); v[0] != 1 || v[1] != -1 || v[9] != 1 {
		t.Errorf("planes: %v", v)
	}
	if v := first(PictureOptions{Normalise: Normalise{[]float64{0}, []float64{1}}}, model([]int{1, 2, 2, 1})); v[0] != 76 || v[1] != 29 {
		t.Errorf("grey: %v", v)
	}
	if v := first(PictureOptions{Resize: Fit}, model([]int{1, 4, 2, 3})); v[0] != -1 || v[2*3] != 1 {
		t.Errorf("fit: black above, and then the picture: %v", v)
	}
	for _, c := range []struct {
		dir  string
		g    *graph.Graph
		want string
	}{
		{filepath.Join(dir, "none"), g, "is missing"},
		{t.TempDir(), g, "no .png or .jpg"},
		{dir, model([]int{1, 3}), "no picture of one or three channels"},
		{dir, model([]int{1, 2, 2, 3}, []int{1}), "2 inputs"},
	} {
		if _, err := ReadPictures(c.dir, c.g, PictureOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	for _, s := range []string{"", "1", "1,2,3", "a,b", "0,0", "NaN,1"} {
		if _, err := ParseNormalise(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
	if n, err := ParseNormalise("123.7,116.8,103.9,58.4,57.1,57.4"); err != nil || n.String() != "123.7,116.8,103.9,58.4,57.1,57.4" {
		t.Errorf("%v, %v", n, err)
	}
}

// What shows a model nothing is named.
func TestDoubts(t *testing.T) {
	dir := t.TempDir()
	for i := range 30 {
		picture(t, filepath.Join(dir, fmt.Sprintf("%02d.png", i)), 4, 4, color.Gray{uint8(8 * i)}, color.Gray{200})
	}
	g := model([]int{1, 4, 4, 1})
	check := func(want ...string) {
		t.Helper()
		p, err := ReadPictures(dir, g, PictureOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Doubts(g, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Errorf("%q, want %q", got, want)
			return
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%q, want %q", got[i], want[i])
			}
		}
	}
	check("1 of 30 samples are one value throughout") // 25*8 is 200
	picture(t, filepath.Join(dir, "constant.png"), 4, 4, color.Gray{9}, color.Gray{9})
	picture(t, filepath.Join(dir, "copy.png"), 4, 4, color.Gray{0}, color.Gray{200})
	picture(t, filepath.Join(dir, "dark.png"), 4, 4, color.Gray{1}, color.Gray{3})
	check("constant.png", "dark.png", "copy.png")
}

// Samples that are measured are looked at, too, and have to be like those of the
// calibration.
func TestDoubtsOfWhatIsMeasured(t *testing.T) {
	g := model([]int{1, 4, 4, 1})
	read := func(n, from, to int) quant.Samples {
		dir := t.TempDir()
		for i := range n {
			picture(t, filepath.Join(dir, fmt.Sprintf("%02d.png", i)), 4, 4, color.Gray{uint8(from + i%5)}, color.Gray{uint8(to)})
		}
		p, err := ReadPictures(dir, g, PictureOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	dark, copies := read(5, 20, 60), read(200, 100, 240)
	got, err := Doubts(g, dark, copies)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{"of the calibration, there are 5 different", "of what is measured, 195 of 200 samples are copies", "calibrate with samples like those"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q does not say %q", all, want)
		}
	}
	if len(got) != 3 {
		t.Errorf("%q", got)
	}
}
