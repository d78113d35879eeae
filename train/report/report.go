// Package report writes what a training run gave: curves, confusion
// matrices and the tables of Saroop et al. 2021 (arXiv 2110.15028).
package report

import (
	"bytes"
	"fmt"
	"image/png"
	"io"
	"path/filepath"
	"slices"

	"mien/runtime/atomicfile"
	"mien/runtime/model"
	"mien/train"
	"mien/train/data"
	"mien/train/review"
)

// Files that Write makes beside confusion-<head>.png.
const (
	CurvesFile = "curves.png"
	ReportFile = "report.md"
)

// Pictures that Write makes where it can ask the network.
const (
	AnswersFile = "answers.png"
	NoFaceFile  = "no-face.png"
)

// pictured is how many faces a picture shows.
const pictured = 16

// Run is a finished training run.
type Run struct {
	Recipe    train.Recipe
	Log       []train.Epoch
	BestEpoch int
	From      string // checkpoint that the first weights are of; "" for fresh ones
	Measured  []Measured
	Ask       review.Ask   // the best weights; nil draws no answers
	Untaught  []string     // heads that no image has taught: nothing is said of their answers
	Drops     []train.Drop // heads that From had learned and this run left alone
}

// Measured is the best weights on one split of one data set.
type Measured struct {
	Data, Split string // fer2013, test
	Samples     []data.Sample
	Metrics     *train.Metrics // with Said
}

// Write puts the report into dir.
func Write(dir string, r Run) error {
	if len(r.Log) > 0 {
		if err := Curves(dir, r.Recipe.Heads, r.Log); err != nil {
			return err
		}
	}
	for _, h := range r.Recipe.Heads {
		m := r.together(h, r.finalSplit(h))
		if m == nil || m.N == 0 {
			continue
		}
		if err := write(dir, confusionFile(h), func(w io.Writer) error { return confusion(w, h, m) }); err != nil {
			return err
		}
	}
	if err := r.pictures(dir); err != nil {
		return err
	}
	var b bytes.Buffer
	r.markdown(&b)
	return write(dir, ReportFile, func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	})
}

// pictures draws what the network answers about some faces, as in Figure 5 of
// the paper, with what the first head's answers rest on; and pictures in which
// no face was found, as its Figure 3 shows eyes that were not.
func (r *Run) pictures(dir string) error {
	heads, some := r.some()
	if r.Ask == nil || len(some) == 0 || len(heads) == 0 {
		return nil
	}
	cells, err := review.AnswerCells(r.Recipe.Heads, heads, some, r.Ask)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := write(dir, AnswersFile, func(w io.Writer) error { return png.Encode(w, review.Sheet(cells)) }); err != nil {
		return err
	}
	var missed []review.Cell
	for _, x := range r.Measured {
		for i := range x.Samples {
			if s := &x.Samples[i]; s.Marks&data.NoFace != 0 && len(missed) < pictured {
				missed = append(missed, review.Cell{Face: s.Face, Lines: []string{x.Data + " " + x.Split}})
			}
		}
	}
	if len(missed) == 0 {
		return nil
	}
	return write(dir, NoFaceFile, func(w io.Writer) error { return png.Encode(w, review.Sheet(missed)) })
}

// some returns the places of the taught heads, and faces from everything that
// was measured, evenly.
func (r *Run) some() (heads []int, some []data.Sample) {
	for i, h := range r.Recipe.Heads {
		if !slices.Contains(r.Untaught, h.Name) {
			heads = append(heads, i)
		}
	}
	var all []data.Sample
	for _, x := range r.Measured {
		if x.Split != data.Val || len(r.Measured) == 1 {
			all = append(all, x.Samples...)
		}
	}
	for i := range min(pictured, len(all)) {
		some = append(some, all[i*len(all)/min(pictured, len(all))])
	}
	return heads, some
}

// Curves puts the curves alone into dir, for a run that is still going on.
func Curves(dir string, heads []model.Head, log []train.Epoch) error {
	return write(dir, CurvesFile, func(w io.Writer) error { return curves(w, heads, log) })
}

func confusionFile(h model.Head) string { return "confusion-" + h.Name + ".png" }

func write(dir, name string, fill func(io.Writer) error) error {
	path := filepath.Join(dir, name)
	if err := atomicfile.Replace(path, fill); err != nil {
		return fmt.Errorf("report: write %s: %w", path, err)
	}
	return nil
}

// finalSplit is the split that a head is reported on: test where it was
// measured, else val.
func (r *Run) finalSplit(h model.Head) string {
	for _, split := range []string{data.Test, data.Val} {
		if m := r.together(h, split); m != nil && m.N > 0 {
			return split
		}
	}
	return data.Val
}

// together adds up a head's metrics on a split of all sets; nil when there
// are none.
func (r *Run) together(h model.Head, split string) *train.HeadMetrics {
	var sum *train.HeadMetrics
	for _, x := range r.Measured {
		m := x.Metrics.Heads[h.Name]
		if x.Split != split || m == nil || m.N == 0 {
			continue
		}
		if sum == nil {
			sum = train.NewMetrics([]model.Head{h}).Heads[h.Name]
		}
		for i, row := range m.Confusion {
			for k, n := range row {
				sum.Confusion[i][k] += n
			}
		}
		n := float64(sum.N + m.N)
		sum.Accuracy = (sum.Accuracy*float64(sum.N) + m.Accuracy*float64(m.N)) / n
		sum.Distance = (sum.Distance*float64(sum.N) + m.Distance*float64(m.N)) / n
		sum.MAE = (sum.MAE*float64(sum.N) + m.MAE*float64(m.N)) / n
		sum.Loss = (sum.Loss*float64(sum.N) + m.Loss*float64(m.N)) / n
		sum.N += m.N
	}
	return sum
}
