package train

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/runtime/model"
	"mien/train/data"
)

// A head that measures learns a number from a manifest, and is judged by how
// far it is off.
func TestNumberHead(t *testing.T) {
	dir := t.TempDir()
	var table strings.Builder
	table.WriteString("path,light,split\n")
	for i := range 160 {
		rng := rand.New(rand.NewPCG(7, uint64(i)))
		light := rng.Float64() * 10
		img := image.NewGray(image.Rect(0, 0, 50, 50))
		for k := range img.Pix {
			img.Pix[k] = uint8(float64(rng.IntN(60)) + 19*light)
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%03d.png", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		split := "train"
		if i%4 == 0 {
			split = "val"
		}
		fmt.Fprintf(&table, "%03d.png,%.2f,%s\n", i, light, split)
	}
	path := filepath.Join(dir, "m.csv")
	if err := os.WriteFile(path, []byte(table.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := LoadRecipe("paper", []string{"batch=8", "epochs=60", "schedule.kind=constant", "lr=0.003", "dropout=0", "augment.flip=0", "augment.rotate=0", "augment.shift=0", "augment.zoom=0", "augment.brightness=0", "augment.contrast=0", "smoothing=0.1"})
	if err != nil {
		t.Fatal(err)
	}
	light, err := model.ParseHead("light=0..10 klx")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Ask([]model.Head{light}); err != nil {
		t.Fatal(err)
	}
	if b, err := r.YAML(); err != nil {
		t.Error(err)
	} else if again, err := ParseRecipe("again", b, nil); err != nil || len(again.Heads) != 1 || !again.Heads[0].Equal(light) {
		t.Errorf("%v: the recipe came back with %v", err, again.Heads)
	}
	s, err := data.Load(context.Background(), "manifest:"+path, data.Options{Heads: r.Heads})
	if err != nil {
		t.Fatal(err)
	}
	net := tiny()
	net.Heads = r.Heads
	o := Options{Recipe: r, Sets: []*data.Set{s}, Out: t.TempDir(), Threads: 2, Net: net}
	res, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	best := res.Log[res.BestEpoch-1]
	v := best.Val["light"]
	if v.MAE <= 0 || v.MAE > 1 || v.Accuracy < 0.9 { // to guess the middle is off by 2.5
		t.Errorf("off by %g klx, accuracy %g, after epoch %d", v.MAE, v.Accuracy, res.BestEpoch)
	}
	if last := res.Log[len(res.Log)-1].Train["light"]; last.Accuracy < 0.8 || last.Accuracy > 1 {
		t.Errorf("training says %g of the scale", last.Accuracy)
	}
}

func TestNumberMetrics(t *testing.T) {
	years := model.NewNumber("years", 0, 100, "years")
	m := NewMetrics([]model.Head{years})
	h := m.Heads["years"]
	for _, x := range [][2]float64{{20, 25}, {40, 40}, {60, 50}} {
		truth, said := model.Target(years.Values(), x[0]), model.Target(years.Values(), x[1])
		sample := &data.Sample{Labels: data.Labels{int8(model.Nearest(years.Values(), x[0]))}, Soft: [][]float32{truth}}
		h.count(said, sample, 0)
	}
	h.count(model.Target(years.Values(), 3), &data.Sample{Labels: data.Labels{data.NoLabel}}, 0)
	m.Finish()
	if got := fmt.Sprintf("%d %.3f %.3f %.4f", h.N, h.MAE, h.Accuracy, h.R2); got != "3 5.000 0.950 0.8438" {
		t.Errorf("n, error, accuracy and R2 are %s", got)
	}
}
