package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"mien/runtime/model"
	"mien/train/data"
)

// texture is a picture with edges everywhere.
func texture() []uint8 {
	face := make([]uint8, data.Pixels)
	for i := range face {
		face[i] = uint8(60 + 120*((i%model.Side)/5%2) + 2*(i/model.Side/5%2))
	}
	return face
}

// wildKeys are the changes that photographs of elsewhere have.
var wildKeys = map[string]Augment{
	"cover": {Cover: 1}, "shadow": {Shadow: 1}, "exposure": {Exposure: 1}, "gamma": {Gamma: 0.5},
	"far": {Far: 0.7}, "blur": {Blur: 1.5}, "noise": {Noise: 0.1}, "jpeg": {JPEG: 1},
}

// TestWild: each key changes pictures on its own, keeps them in [0,1] and never
// touches the face it is given; the same draw gives the same picture, whatever
// was made before.
func TestWild(t *testing.T) {
	face := texture()
	plain := make([]float32, data.Pixels)
	pixels(plain, face)
	for key, a := range wildKeys {
		t.Run(key, func(t *testing.T) {
			changed := 0
			used := &warp{}
			for seed := range uint64(20) {
				got, again := make([]float32, data.Pixels), make([]float32, data.Pixels)
				used.apply(got, face, &a, rand.New(rand.NewPCG(seed, 1)))
				(&warp{}).apply(again, face, &a, rand.New(rand.NewPCG(seed, 1)))
				if !slices.Equal(got, again) {
					t.Fatal("the same draw gave another picture")
				}
				var off float64
				for i, v := range got {
					if !(v >= 0 && v <= 1) {
						t.Fatalf("pixel %d is %g", i, v)
					}
					off += math.Abs(float64(v - plain[i]))
				}
				if off > 1 {
					changed++
				}
			}
			if changed < 10 {
				t.Errorf("%d of 20 pictures changed", changed)
			}
			if !slices.Equal(face, texture()) {
				t.Error("the face it was given was changed")
			}
		})
	}
}

// TestFarAndBlur: both take detail away, and leave the mean light as it was.
func TestFarAndBlur(t *testing.T) {
	contrast := func(x []float32) (mean, deviation float64) {
		for _, v := range x {
			mean += float64(v) / data.Pixels
		}
		for _, v := range x {
			deviation += (float64(v) - mean) * (float64(v) - mean) / data.Pixels
		}
		return mean, math.Sqrt(deviation)
	}
	x := make([]float32, data.Pixels)
	pixels(x, texture())
	was, sharp := contrast(x)
	var w wild
	for name, change := range map[string]func([]float32){
		"far": func(x []float32) { w.far(x, 6) }, "blur": func(x []float32) { w.blur(x, 3) },
	} {
		pixels(x, texture())
		change(x)
		mean, deviation := contrast(x)
		if math.Abs(mean-was) > 0.02 || deviation > sharp/2 {
			t.Errorf("%s: mean %.3f, deviation %.3f; before %.3f, %.3f", name, mean, deviation, was, sharp)
		}
	}
	pixels(x, texture())
	whole := slices.Clone(x)
	w.far(x, model.Side)
	if !slices.Equal(x, whole) {
		t.Error("all of the resolution is not the picture itself")
	}
}

// TestCovers: glasses are at the eyes, a cap above them, a mask below.
func TestCovers(t *testing.T) {
	for name, c := range map[string]struct {
		draw     func(*[data.Pixels]uint8, *rand.Rand)
		in, free [2]int // a row that it touches, and one that it does not
	}{
		"hat": {hat, [2]int{1, 4}, [2]int{20, 49}}, "mask": {mask, [2]int{32, 42}, [2]int{0, 22}}, "glasses": {glasses, [2]int{10, 24}, [2]int{28, 49}},
	} {
		for seed := range uint64(50) {
			var face [data.Pixels]uint8
			for i := range face {
				face[i] = 128
			}
			c.draw(&face, rand.New(rand.NewPCG(seed, 2)))
			touched := func(rows [2]int) bool {
				return slices.ContainsFunc(face[rows[0]*model.Side:rows[1]*model.Side], func(v uint8) bool { return v != 128 })
			}
			if !touched(c.in) || touched(c.free) {
				t.Fatalf("%s, seed %d: in its rows %v, in the others %v", name, seed, touched(c.in), touched(c.free))
			}
		}
	}
}

// TestAugmentTable: every change has a greatest value, and the check knows it.
func TestAugmentTable(t *testing.T) {
	if err := (Augment{Cover: 1, Exposure: 4, Shift: 50}).check(); err != nil {
		t.Error(err)
	}
	for _, a := range []Augment{{Cover: 1.1}, {Far: 0.95}, {Noise: -0.1}, {JPEG: math.NaN()}} {
		if err := a.check(); err == nil {
			t.Errorf("%+v was taken", a)
		}
	}
}

func BenchmarkWarp(b *testing.B) {
	all := Augment{Flip: 0.5, Shift: 3, Rotate: 10, Zoom: 0.12, Brightness: 0.1, Contrast: 0.2, Erase: 0.2}
	wild := all
	wild.Cover, wild.Shadow, wild.Exposure, wild.Gamma, wild.Far, wild.Blur, wild.Noise, wild.JPEG = 0.1, 0.2, 0.5, 0.3, 0.6, 1, 0.05, 0.3
	for name, a := range map[string]Augment{"framing": all, "wild": wild} {
		b.Run(name, func(b *testing.B) {
			face, dst := texture(), make([]float32, data.Pixels)
			rng := rand.New(rand.NewPCG(1, 1))
			var w warp
			for b.Loop() {
				w.apply(dst, face, &a, rng)
			}
		})
	}
}
