package device_test

import (
	"image"
	"math/rand/v2"
	"testing"
	"time"

	"mien/camera"
	"mien/camera/replay/portrait"
	"mien/device"
	"mien/device/config"
	"mien/runtime/face"
	"mien/runtime/model"
)

// Finders take blurred noise for faces now and then. The face line does not:
// nothing is seen in it, still as it stands, and the portrait is.
func TestNoiseIsNobody(t *testing.T) {
	finder, err := face.NewDetector(face.Options{Finder: face.Pigo}) // the network takes none of it for a face
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	head := model.Heads()[0]
	look := func(img *image.Gray) (found int, counts bool) {
		l := &lastSeen{}
		m := &inTurn{faces: &crowd{boxes: make([]image.Rectangle, 1)}, spec: model.Spec{Heads: []model.Head{head}}}
		p, err := device.NewPipeline(finder, m, l, nil, device.PipelineOptions{Heads: []string{head.Name}, Track: cfg.TrackOptions()})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			f := &camera.Frame{Gray: *img, Seq: uint64(i), Time: time.Unix(0, int64(i)*int64(40*time.Millisecond))}
			if _, err := p.Process(f); err != nil {
				t.Fatal(err)
			}
		}
		return len(finder.Detect(img, nil)), l.Face
	}
	taken := 0
	for _, radius := range []int{3, 4, 6, 8} {
		for seed := range uint64(6) {
			n, counts := look(noise(320, 240, radius, seed))
			taken += n
			if counts {
				t.Errorf("noise %d, blurred over %d pixels, is somebody", seed, radius)
			}
		}
	}
	if taken == 0 {
		t.Error("the finder took no noise for a face: this test shows nothing")
	}
	if _, counts := look(portrait.Gray()); !counts {
		t.Error("the portrait is nobody")
	}
}

// noise is white noise after three box blurs of 2r+1 pixels either way, its
// contrast stretched to the full range.
func noise(w, h, r int, seed uint64) *image.Gray {
	rng := rand.New(rand.NewPCG(seed, uint64(r)))
	a, b := make([]float64, w*h), make([]float64, w*h)
	for i := range a {
		a[i] = rng.Float64()
	}
	blur := func(dst, src []float64, n, step, lines, stride int) {
		for l := range lines {
			for x := range n {
				s, k := 0.0, 0.0
				for i := max(x-r, 0); i <= min(x+r, n-1); i++ {
					s, k = s+src[l*stride+i*step], k+1
				}
				dst[l*stride+x*step] = s / k
			}
		}
	}
	for range 3 {
		blur(b, a, w, 1, h, w)
		blur(a, b, h, w, w, 1)
	}
	lo, hi := 1.0, 0.0
	for _, v := range a {
		lo, hi = min(lo, v), max(hi, v)
	}
	img := image.NewGray(image.Rect(0, 0, w, h))
	for i, v := range a {
		img.Pix[i] = uint8((v - lo) / (hi - lo) * 255)
	}
	return img
}
