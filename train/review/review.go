// Package review shows what a model has learned and where it is wrong: its
// worst mistakes, the labels that are likely wrong themselves, and the parts of
// a face that an answer rests on.
package review

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"image"
	"io"
	"iter"
	"slices"
	"strconv"

	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/train"
	"mien/train/data"
	"mien/train/nn"
)

// Mistake is a wrong answer about one picture.
type Mistake struct {
	Sample      *data.Sample
	Head        int     // among the heads that the samples' labels go by
	Truth, Said int     // labels
	P           float32 // of what was said
	True        float32 // of the label
	// Doubtful tells that the label is likely wrong, by confident learning
	// (Northcutt, Jiang and Chuang 2021, arXiv 1911.00068): the model is as sure
	// of another label as it is, in the mean, of pictures that have that label.
	Doubtful bool
}

// Mistakes returns a head's wrong answers, those first whose label was least
// expected. The metrics are those of the samples, in their order.
func Mistakes(heads []model.Head, head int, samples []data.Sample, m *train.Metrics) []Mistake {
	h := m.Heads[heads[head].Name]
	if h == nil || heads[head].Measures() { // a number is not right or wrong
		return nil
	}
	labels := len(heads[head].Labels)
	sure := thresholds(h, labels)
	var out []Mistake
	k := 0
	for i := range samples {
		truth := int(samples[i].Labels[head])
		if truth < 0 {
			continue
		}
		p := h.P[k*labels:][:labels]
		k++
		said := largest(p)
		if said == truth {
			continue
		}
		out = append(out, Mistake{Sample: &samples[i], Head: head, Truth: truth, Said: said, P: p[said], True: p[truth],
			Doubtful: confident(p, sure) == said})
	}
	slices.SortStableFunc(out, func(a, b Mistake) int { return cmp.Compare(a.True-a.P, b.True-b.P) })
	return out
}

// thresholds are how sure the model is of each label in the mean, of the
// pictures that have it; above 1 for a label that none has.
func thresholds(h *train.HeadMetrics, labels int) []float64 {
	sum, n := make([]float64, labels), make([]float64, labels)
	for i, truth := range h.Truth {
		sum[truth] += float64(h.P[i*labels+truth])
		n[truth]++
	}
	for i := range sum {
		if sum[i] /= max(n[i], 1); n[i] == 0 {
			sum[i] = 2
		}
	}
	return sum
}

// confident returns the likeliest of the labels that reach their threshold, or
// -1.
func confident(p []float32, sure []float64) int {
	best := -1
	for i, v := range p {
		if float64(v) >= sure[i] && (best < 0 || v > p[best]) {
			best = i
		}
	}
	return best
}

func largest(p []float32) int {
	best := 0
	for i, v := range p {
		if v > p[best] {
			best = i
		}
	}
	return best
}

// WriteCSV writes mistakes, a row each.
func WriteCSV(w io.Writer, heads []model.Head, all []Mistake) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"path", "head", "label", "answer", "p_answer", "p_label", "label_likely_wrong"}}
	for _, m := range all {
		h := heads[m.Head]
		rows = append(rows, []string{m.Sample.Path, h.Name, h.Labels[m.Truth], h.Labels[m.Said],
			strconv.FormatFloat(float64(m.P), 'f', 4, 32), strconv.FormatFloat(float64(m.True), 'f', 4, 32), strconv.FormatBool(m.Doubtful)})
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("review: %w", err)
	}
	return nil
}

// Ask returns a model's answers to faces of data.Pixels grey levels: for each
// face and each of the model's heads a probability for each label. What it
// returns is valid until the next call.
type Ask func(faces ...[]uint8) ([][][]float32, error)

// AskNet asks a network, as many faces at a time as its batch holds; heads are
// some of its own.
func AskNet(net *nn.Net, heads []model.Head) Ask {
	var at []int
	for _, h := range heads {
		for k, own := range net.Arch.Heads {
			if own.Name == h.Name {
				at = append(at, k)
			}
		}
	}
	return func(faces ...[]uint8) ([][][]float32, error) {
		x := make([]float32, 0, len(faces)*data.Pixels)
		for _, face := range faces {
			for _, v := range face {
				x = append(x, float32(v)/255)
			}
		}
		logits := net.Predict(x, len(faces))
		out := make([][][]float32, len(faces))
		for i := range out {
			for _, k := range at {
				labels := len(net.Arch.Heads[k].Labels)
				p := logits[k][i*labels:][:labels]
				train.Softmax(p)
				out[i] = append(out[i], p)
			}
		}
		return out, nil
	}
}

// AskModel asks a model in an engine.
func AskModel(mod infer.Model) Ask {
	img := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	return func(faces ...[]uint8) ([][][]float32, error) {
		var out [][][]float32
		for _, face := range faces {
			copy(img.Pix, face)
			scores := mod.Spec().NewScores()
			if err := mod.Predict(img, scores); err != nil {
				return nil, err
			}
			out = append(out, scores.Heads)
		}
		return out, nil
	}
}

// The patch that Saliency lays over a face, and how far it goes each time, in
// pixels.
const (
	patch = 10
	step  = 4
)

// Saliency returns, for each pixel of a face, how much less likely a label
// becomes when the picture is hidden there (Zeiler and Fergus 2014, arXiv
// 1311.2901): a square of the face's mean grey goes over it, and each pixel has
// the mean over the squares that hid it. Below 0 it becomes likelier.
func Saliency(ask Ask, face []uint8, head, label int) ([]float32, error) {
	sum := 0
	for _, v := range face {
		sum += int(v)
	}
	grey := uint8(sum / len(face))
	faces := [][]uint8{face}
	for y, x := range patches() {
		hidden := slices.Clone(face)
		each(y, x, func(i int) { hidden[i] = grey })
		faces = append(faces, hidden)
	}
	p, err := ask(faces...)
	if err != nil {
		return nil, err
	}
	out, n := make([]float32, data.Pixels), make([]float32, data.Pixels)
	whole := p[0][head][label]
	p = p[1:]
	for y, x := range patches() {
		drop := whole - p[0][head][label]
		p = p[1:]
		each(y, x, func(i int) { out[i], n[i] = out[i]+drop, n[i]+1 })
	}
	for i := range out {
		out[i] /= max(n[i], 1)
	}
	return out, nil
}

// patches yields where the patch lies, its top and left.
func patches() iter.Seq2[int, int] {
	return func(yield func(y, x int) bool) {
		for y := -patch / 2; y < model.Side-patch/2; y += step {
			for x := -patch / 2; x < model.Side-patch/2; x += step {
				if !yield(y, x) {
					return
				}
			}
		}
	}
}

// each calls do for the pixels of the patch at y, x that lie in the picture.
func each(y, x int, do func(i int)) {
	for py := max(y, 0); py < min(y+patch, model.Side); py++ {
		for px := max(x, 0); px < min(x+patch, model.Side); px++ {
			do(py*model.Side + px)
		}
	}
}
