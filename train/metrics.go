package train

import (
	"math"

	"mien/runtime/model"
	"mien/train/data"
)

// HeadMetrics is how a head did on some images.
type HeadMetrics struct {
	N        int     `json:"n"`        // images with a label
	Accuracy float64 `json:"accuracy"` // part whose likeliest label is right
	Loss     float64 `json:"loss"`     // mean cross-entropy, nats
	// Confusion counts images: a row for each true label, a column for each
	// answer.
	Confusion [][]int `json:"confusion"`
}

// Metrics is how a model did, by head.
type Metrics struct {
	Heads map[string]*HeadMetrics `json:"heads"`
	// Said holds the likeliest labels of each image, in the order measured.
	Said []data.Labels `json:"-"`
}

// NewMetrics returns empty metrics of those heads.
func NewMetrics(heads []model.Head) *Metrics {
	m := &Metrics{Heads: map[string]*HeadMetrics{}}
	for _, h := range heads {
		c := make([][]int, len(h.Labels))
		for i := range c {
			c[i] = make([]int, len(h.Labels))
		}
		m.Heads[h.Name] = &HeadMetrics{Confusion: c}
	}
	return m
}

// Add counts one answer: the probabilities of a head's labels and the true
// one, -1 when it is not known. Until Finish, Loss and Accuracy are sums.
func (h *HeadMetrics) Add(p []float32, label int8) {
	if label < 0 {
		return
	}
	best := likeliest(p)
	h.N++
	h.Confusion[label][best]++
	if best == label {
		h.Accuracy++
	}
	// An int8 model says 0 for anything below 1/512.
	h.Loss -= math.Log(max(float64(p[label]), 1e-7))
}

// likeliest returns the index of the largest of p.
func likeliest(p []float32) int8 {
	best := 0
	for i, v := range p {
		if v > p[best] {
			best = i
		}
	}
	return int8(best)
}

// Finish turns sums into means.
func (m *Metrics) Finish() {
	for _, h := range m.Heads {
		if h.N > 0 {
			h.Accuracy /= float64(h.N)
			h.Loss /= float64(h.N)
		}
	}
}

// ClassScore is how a head did on one label.
type ClassScore struct {
	Label                 string
	N                     int // images of that label
	Precision, Recall, F1 float64
}

// Classes returns the scores of each label; a ratio without any image is 0.
func (h *HeadMetrics) Classes(labels []string) []ClassScore {
	out := make([]ClassScore, len(labels))
	for k, name := range labels {
		s := ClassScore{Label: name}
		said := 0
		for i := range labels {
			s.N += h.Confusion[k][i]
			said += h.Confusion[i][k]
		}
		right := float64(h.Confusion[k][k])
		s.Precision = ratio(right, float64(said))
		s.Recall = ratio(right, float64(s.N))
		s.F1 = ratio(2*s.Precision*s.Recall, s.Precision+s.Recall)
		out[k] = s
	}
	return out
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Softmax turns logits into probabilities, in place.
func Softmax(x []float32) {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	var sum float64
	for i, v := range x {
		e := math.Exp(float64(v - top))
		x[i] = float32(e)
		sum += e
	}
	for i := range x {
		x[i] = float32(float64(x[i]) / sum)
	}
}
