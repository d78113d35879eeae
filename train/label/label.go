// Package label lets a model say what is to be seen in the pictures of a data
// set, as a manifest that a network can learn from.
package label

import (
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"mien/runtime/model"
	"mien/train/data"
	"mien/train/review"
)

// Options say what to fill in.
type Options struct {
	Dir   string   // the manifest's folder, which the pictures lie in
	Heads []string // those that the model is asked; a label that the set has stays
	Least float64  // an answer that is less likely is left empty
}

// Count is what came of one head.
type Count struct{ Had, Said, Unsure int }

// Write writes the manifest of samples, whose labels go by heads, and so do the
// answers of ask: path, split, a column for each head, and beside those that were
// asked NAME_p, how likely the answer is; 1 where the label was there before.
// Pictures that validate are written as train: whoever learns from the manifest
// splits them again, by the same seed alike.
func Write(w io.Writer, heads []model.Head, samples []data.Sample, ask review.Ask, o Options, progress func(done int)) (map[string]*Count, error) {
	counts := map[string]*Count{}
	columns := []string{"path", "split"}
	for _, h := range heads {
		columns = append(columns, h.Name)
		if slices.Contains(o.Heads, h.Name) {
			columns = append(columns, h.Name+"_p")
		}
		counts[h.Name] = &Count{}
	}
	t := csv.NewWriter(w)
	if err := t.Write(columns); err != nil {
		return nil, err
	}
	for i := range samples {
		row, err := line(heads, &samples[i], ask, o, counts)
		if err != nil {
			return nil, err
		}
		if err := t.Write(row); err != nil {
			return nil, err
		}
		progress(i + 1)
	}
	t.Flush()
	return counts, t.Error()
}

func line(heads []model.Head, x *data.Sample, ask review.Ask, o Options, counts map[string]*Count) ([]string, error) {
	path, err := filepath.Rel(o.Dir, x.Path)
	if err != nil || !filepath.IsLocal(path) {
		return nil, fmt.Errorf("label: %s does not lie in the manifest's folder, %s", x.Path, o.Dir)
	}
	split := x.Split
	if split == data.Val || split == "" {
		split = data.Train // of "" the loader finds again that it shows a picture that is held out
	}
	row := []string{filepath.ToSlash(path), split}
	answers, err := ask(x.Face)
	if err != nil {
		return nil, fmt.Errorf("label: %s: %w", x.Path, err)
	}
	said := answers[0]
	for i, h := range heads {
		c, asked := counts[h.Name], slices.Contains(o.Heads, h.Name)
		text, p := "", 0.0
		switch {
		case x.Labels[i] != data.NoLabel:
			text, p = h.Labels[x.Labels[i]], 1
			c.Had++
		case asked:
			k := h.Answer(said[i])
			if p = float64(said[i][k]); p < o.Least {
				c.Unsure++
				break
			}
			text = h.Labels[k]
			c.Said++
		}
		row = append(row, text)
		if asked {
			row = append(row, strconv.FormatFloat(p, 'f', 4, 64))
		}
	}
	return row, nil
}
