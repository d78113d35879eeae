package face

import (
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Set these to folders to measure the constants of this package again:
//
//	MIEN_FER=fer2013/train MIEN_UTK=utkface MIEN_EMPTY=pictures \
//	  go test -run '^$' -bench 'Framing|FromCrop|FalseFaces' -benchtime 1x ./runtime/face
const (
	ferFolder = "MIEN_FER"   // FER-2013 as Kaggle's folders of pictures, one folder an emotion
	utkFolder = "MIEN_UTK"   // UTKFace's crops
	noFaces   = "MIEN_EMPTY" // pictures of anything but faces
)

// pictures returns every n-th picture of a folder that a variable names.
func pictures(b *testing.B, variable, glob string, n int) []*image.Gray {
	dir := os.Getenv(variable)
	if dir == "" {
		b.Skipf("set %s to a folder to measure", variable)
	}
	names, err := filepath.Glob(filepath.Join(dir, glob))
	if err != nil || len(names) == 0 {
		b.Fatalf("no pictures match %s/%s", dir, glob)
	}
	var out []*image.Gray
	for i := 0; i < len(names); i += n {
		out = append(out, readGray(b, names[i]))
	}
	return out
}

func readGray(b testing.TB, path string) *image.Gray {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		b.Fatalf("%s: %v", path, err)
	}
	r := img.Bounds()
	g := image.NewGray(image.Rect(0, 0, r.Dx(), r.Dy()))
	for y := range r.Dy() {
		for x := range r.Dx() {
			g.Set(x, y, img.At(r.Min.X+x, r.Min.Y+y))
		}
	}
	return g
}

// BenchmarkFraming says where boxes and eyes are in the pictures of the data
// sets. The constants in align.go, crop.go and pupils.go are its medians.
func BenchmarkFraming(b *testing.B) {
	for _, set := range []struct{ name, variable, glob string }{{"FER-2013", ferFolder, "*/*"}, {"UTKFace", utkFolder, "*.jpg"}} {
		b.Run(set.name, func(b *testing.B) {
			imgs := pictures(b, set.variable, set.glob, 10)
			for b.Loop() {
				measureFraming(b, imgs)
			}
		})
	}
}

func measureFraming(b *testing.B, imgs []*image.Gray) {
	c, err := NewCropper()
	if err != nil {
		b.Fatal(err)
	}
	found := 0
	rows := make([]struct {
		name string
		v    []float64
	}, 11)
	add := func(i int, name string, v float64) { rows[i].name, rows[i].v = name, append(rows[i].v, v) }
	for _, g := range imgs {
		side := float64(g.Rect.Dx())
		f, ok := c.find(g, frame{x: side/2 - 0.5, y: side/2 - 0.5, side: side})
		if !ok {
			continue
		}
		found++
		box := float64(f.Box.Dx())
		col, row := float64(f.Box.Min.X)+(box-1)/2, float64(f.Box.Min.Y)+(box-1)/2
		add(0, "box side", box/side)
		add(1, "box x", (col+0.5)/side)
		add(2, "box y", (row+0.5)/side)
		add(3, "score", float64(f.Score))
		apart := math.Hypot(f.Right.X-f.Left.X, f.Right.Y-f.Left.Y) / box
		mx, my := (f.Left.X+f.Right.X)/2, (f.Left.Y+f.Right.Y)/2
		add(4, "eyes x", (mx+0.5)/side)
		add(5, "eyes y", (my+0.5)/side)
		add(6, "eyes apart / box", apart)
		add(7, "eyes x / box", (mx-col)/box)
		add(8, "eyes y / box", (my-row)/box)
		add(9, "tilt", f.Tilt())
		add(10, "tilt - angle", f.Tilt()-f.Angle)
	}
	fmt.Printf("%d pictures, %d faces, %d with eyes\n", len(imgs), found, len(rows[4].v))
	for _, r := range rows {
		n := len(r.v)
		slices.Sort(r.v)
		var mean, dev float64
		for _, v := range r.v {
			mean += v / float64(n)
		}
		for _, v := range r.v {
			dev += (v - mean) * (v - mean) / float64(n)
		}
		fmt.Printf("  %-17s median %6.3f  sd %5.3f  5%% %6.3f  95%% %6.3f\n", r.name, r.v[n/2], math.Sqrt(dev), r.v[n/20], r.v[n*19/20])
	}
}

// BenchmarkFromCrop prepares the pictures of a data set.
func BenchmarkFromCrop(b *testing.B) {
	imgs := pictures(b, utkFolder, "*.jpg", 200)
	c, err := NewCropper()
	if err != nil {
		b.Fatal(err)
	}
	dst := newFace()
	for i := 0; b.Loop(); i++ {
		c.FromCrop(dst, imgs[i%len(imgs)], Loose)
	}
}

// BenchmarkFalseFaces says what the second look is good for: how many of the
// places that the scan likes are let through by the scan's own score and by the
// second look, of crops of faces tilted by up to 24 degrees and of pictures
// without an upright face.
func BenchmarkFalseFaces(b *testing.B) {
	d, err := NewDetector(Options{Finder: Pigo, Angles: []float64{-20, 20}})
	if err != nil {
		b.Fatal(err)
	}
	crops := pictures(b, utkFolder, "*.jpg", 60)
	var faces, upsideDown []*image.Gray
	for i, g := range crops {
		img := image.NewGray(image.Rect(0, 0, 240, 240))
		sample(img, g, frame{49.5, 49.5, 200, float64(i%7-3) * 8})
		faces = append(faces, img)
		img = image.NewGray(img.Rect)
		sample(img, g, frame{49.5, 49.5, 200, 180})
		upsideDown = append(upsideDown, img)
	}
	for b.Loop() {
		falseFaces(d, "faces", faces)
		falseFaces(d, "faces upside down", upsideDown)
		falseFaces(d, "pictures without faces", pictures(b, noFaces, "*", 1))
	}
}

func falseFaces(d *Detector, name string, imgs []*image.Gray) {
	places := 0
	scan := map[float32]int{8: 0, 16: 0, 30: 0}
	second := map[float32]int{0.25: 0, DefaultScore: 0, 1: 0}
	for _, img := range imgs {
		d.hits = d.hits[:0]
		for _, a := range d.angles {
			d.hits = d.scan(img, a, d.hits)
		}
		for _, w := range cluster(d.hits, nil) {
			places++
			count(scan, w.score)
			if w.score < promising {
				continue
			}
			if w = d.look(img, w); w.score > 0 {
				f := d.face(img, w)
				if !f.Eyes {
					f.Score /= blind
				}
				count(second, f.Score)
			}
		}
	}
	fmt.Printf("%s: %d pictures, %d places; score of the scan %v; of the second look %v\n", name, len(imgs), places, scan, second)
}

// count adds to every limit that v reaches.
func count(limits map[float32]int, v float32) {
	for l := range limits {
		if v >= l {
			limits[l]++
		}
	}
}
