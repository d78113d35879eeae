package main

import (
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"mien/runtime/atomicfile"
	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/train"
	"mien/train/data"
	"mien/train/nn"
	"mien/train/review"
)

// Files of --mistakes.
const (
	mistakesFile = "mistakes.csv"
	sheetMost    = 24 // faces of a sheet
)

// writeMistakes writes a table of all wrong answers and, for each head, a sheet
// of the worst.
func writeMistakes(e env, dir string, heads []model.Head, samples []data.Sample, m *train.Metrics, ask review.Ask) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("--mistakes: %w", err)
	}
	var all []review.Mistake
	for i, h := range heads {
		some := review.Mistakes(heads, i, samples, m)
		all = append(all, some...)
		if len(some) == 0 {
			continue
		}
		cells, err := review.MistakeCells(heads, some[:min(len(some), sheetMost)], ask)
		if err != nil {
			return err
		}
		doubtful := 0
		for _, x := range some {
			if x.Doubtful {
				doubtful++
			}
		}
		path := filepath.Join(dir, "mistakes-"+h.Name+".png")
		if err := atomicfile.Replace(path, func(w io.Writer) error { return png.Encode(w, review.Sheet(cells)) }); err != nil {
			return fmt.Errorf("--mistakes: %w", err)
		}
		fmt.Fprintf(e.stderr, "%s: %d mistakes, of which %d labels are likely wrong themselves (framed in %s)\n", h.Name, len(some), doubtful, path)
	}
	path := filepath.Join(dir, mistakesFile)
	if err := atomicfile.Replace(path, func(w io.Writer) error { return review.WriteCSV(w, heads, all) }); err != nil {
		return fmt.Errorf("--mistakes: %w", err)
	}
	return nil
}

// askNet asks a network one face at a time; heads are some of its own.
func askNet(net *nn.Net, heads []model.Head) review.Ask {
	x := make([]float32, data.Pixels)
	var at []int
	for _, h := range heads {
		for k, own := range net.Arch.Heads {
			if own.Name == h.Name {
				at = append(at, k)
			}
		}
	}
	out := make([][]float32, len(at))
	return func(face []uint8) ([][]float32, error) {
		for i, v := range face {
			x[i] = float32(v) / 255
		}
		logits := net.Predict(x, 1)
		for i, k := range at {
			out[i] = logits[k]
			train.Softmax(out[i])
		}
		return out, nil
	}
}

// askModel asks a model in an engine.
func askModel(mod infer.Model) review.Ask {
	img := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	scores := mod.Spec().NewScores()
	return func(face []uint8) ([][]float32, error) {
		copy(img.Pix, face)
		err := mod.Predict(img, scores)
		return scores.Heads, err
	}
}
