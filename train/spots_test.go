package train

import (
	"math"
	"testing"

	"mien/runtime/face"
	"mien/runtime/model"
	"mien/train/data"
)

// A place goes where its pixels go, whatever is done to the picture: a bright
// spot is found where the target says.
func TestSpotsMoveWithTheirPixels(t *testing.T) {
	r, err := LoadRecipe("eyes", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Heads) != 4 {
		t.Fatalf("the recipe eyes asks %v", r.Heads)
	}
	for i, h := range face.EyeHeads() {
		if !r.Heads[i].Equal(h) {
			t.Errorf("head %d of the recipe is %s %s, the firmware reads %s %s", i, r.Heads[i].Name, r.Heads[i].Say(), h.Name, h.Say())
		}
	}
	r.Augment = Augment{Flip: 0.5, Shift: 4, Rotate: 20, Zoom: 0.2}
	r.Batch, r.Seed = 64, 3
	var heads []head
	x := data.Sample{Face: make([]uint8, data.Pixels), Soft: make([][]float32, 4)}
	at := []float64{16, 22, 34, 21}
	for i, h := range r.Heads {
		heads = append(heads, head{h, i})
		x.Labels = append(x.Labels, int8(model.Nearest(h.Values(), at[i])))
		x.Soft[i] = model.Target(h.Values(), at[i])
	}
	for dy := -2; dy <= 2; dy++ { // the left eye alone, of five by five pixels
		for dx := -2; dx <= 2; dx++ {
			x.Face[(22+dy)*model.Side+16+dx] = 255
		}
	}
	b := newBatcher(&r, heads, []data.Sample{x, x}).at(0, 64)
	mirrored := 0
	for i := range b.N {
		var sum, mx, my float64
		for k, v := range b.X[i*data.Pixels:][:data.Pixels] {
			sum, mx, my = sum+float64(v), mx+float64(v)*float64(k%model.Side), my+float64(v)*float64(k/model.Side)
		}
		mx, my = mx/sum, my/sum
		k := 0 // the heads that tell it: the left eye's, or after mirroring the right one's
		if mx > 25 {
			k = 2
			mirrored++
		}
		for axis, want := range []float64{mx, my} {
			h := r.Heads[k+axis]
			got, _ := model.Mean(h.Values(), b.Target[k+axis][i*len(h.Labels):][:len(h.Labels)])
			if b.Weight[k+axis][i] != 1 || math.Abs(got-want) > 0.3 {
				t.Errorf("picture %d: %s says %.2f with weight %g, its pixels are at %.2f", i, h.Name, got, b.Weight[k+axis][i], want)
			}
		}
	}
	if mirrored < 16 || mirrored > 48 {
		t.Errorf("%d of 64 are mirrored", mirrored)
	}
}

// A place that leaves its scale teaches nothing, and neither does one that the
// picture has no mark of.
func TestSpotsThatAreNone(t *testing.T) {
	r, err := LoadRecipe("eyes", []string{"augment.shift=50"})
	if err != nil {
		t.Fatal(err)
	}
	var heads []head
	known, blank := data.Sample{Face: make([]uint8, data.Pixels), Soft: make([][]float32, 4)}, data.Sample{Face: make([]uint8, data.Pixels)}
	for i, h := range r.Heads {
		heads = append(heads, head{h, i})
		known.Labels, blank.Labels = append(known.Labels, 10), append(blank.Labels, data.NoLabel)
		known.Soft[i] = model.Target(h.Values(), h.Values()[10])
	}
	b := newBatcher(&r, heads, []data.Sample{known, known}).at(0, 64)
	taught := 0
	for k, h := range r.Heads {
		for i := range b.N {
			if w := b.Weight[k][i]; w != 0 {
				taught++
				if got, _ := model.Mean(h.Values(), b.Target[k][i*len(h.Labels):][:len(h.Labels)]); math.IsNaN(got) || w != 1 {
					t.Errorf("%s of picture %d: weight %g, target %g", h.Name, i, w, got)
				}
			}
		}
	}
	if taught == 0 || taught > 3*64 {
		t.Errorf("%d of 256 places stayed, shifted by up to 50 pixels", taught)
	}
	b = newBatcher(&r, heads, []data.Sample{blank, blank}).at(0, 4)
	for k := range heads {
		for i := range b.N {
			if b.Weight[k][i] != 0 {
				t.Errorf("%s is taught by a picture without marks", heads[k].Name)
			}
		}
	}
}
