package main

import (
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"mien/runtime/atomicfile"
	"mien/runtime/model"
	"mien/train"
	"mien/train/data"
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
