package train

import (
	"fmt"
	"math"

	"mien/runtime/model"
	"mien/runtime/model/confidence"
	"mien/train/data"
)

// eceBins is the number of bins of every calibration error.
const eceBins = 15

// HeadMetrics is how a head did on some images.
type HeadMetrics struct {
	N int `json:"n"` // images with a label
	// Accuracy is the part whose likeliest label is right; of a head that
	// measures 1 less the mean error as a part of the scale.
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss"` // mean cross-entropy, nats
	ECE      float64 `json:"ece"`  // expected calibration error over 15 bins
	// Confusion counts images: a row for each true label, a column for each
	// answer.
	Confusion [][]int `json:"confusion"`
	// Distance is how many labels the answers are off in the mean, for a head
	// whose labels are numbers in order; 0 for others.
	Distance float64 `json:"distance,omitempty"`
	// Of a head that measures: the mean absolute error, in its unit, and the part
	// of the numbers' variance that its answers explain.
	MAE float64 `json:"mae,omitempty"`
	R2  float64 `json:"r2,omitempty"`
	// P holds the probabilities of the images with a label, row by row, and
	// Truth their labels.
	P     []float32 `json:"-"`
	Truth []int     `json:"-"`

	head    model.Head
	scale   []float64 // of a head that measures
	ordered bool
	// Sums of the true numbers and of squares.
	sum, squares, errors float64
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
		m.Heads[h.Name] = &HeadMetrics{Confusion: c, head: h, ordered: data.Ordered(h)}
		if h.Measures() {
			m.Heads[h.Name].scale = h.Values()
		}
	}
	return m
}

// count counts one answer about a sample whose labels have the head at a place.
func (h *HeadMetrics) count(p []float32, x *data.Sample, at int) {
	if h.scale != nil && x.Answers(at) {
		h.measure(p, x.Number(at, h.scale))
	}
	h.Add(p, x.Labels[at])
}

// Add counts one answer: the probabilities of a head's labels and the true
// one, -1 when it is not known. Until Finish, Loss and Accuracy are sums and
// ECE is not known.
func (h *HeadMetrics) Add(p []float32, label int8) {
	if label < 0 {
		return
	}
	best := int8(h.head.Answer(p))
	h.N++
	h.P, h.Truth = append(h.P, p...), append(h.Truth, int(label))
	h.Confusion[label][best]++
	if h.scale == nil && best == label {
		h.Accuracy++
	}
	// An int8 model says 0 for anything below 1/512.
	h.Loss -= math.Log(max(float64(p[label]), 1e-7))
}

// measure counts the error of one number.
func (h *HeadMetrics) measure(p []float32, truth float64) {
	said, _ := model.Mean(h.scale, p)
	from, to := h.scale[0], h.scale[len(h.scale)-1]
	h.Accuracy += 1 - math.Abs(said-truth)/(to-from)
	h.sum, h.squares, h.errors = h.sum+truth, h.squares+truth*truth, h.errors+(said-truth)*(said-truth)
}

// explained sets what is known of a head that measures.
func (h *HeadMetrics) explained() {
	if h.scale == nil {
		return
	}
	h.MAE = (1 - h.Accuracy) * (h.scale[len(h.scale)-1] - h.scale[0])
	if variance := h.squares - h.sum*h.sum/float64(h.N); variance > 0 {
		h.R2 = 1 - h.errors/variance
	}
}

// Finish turns sums into means.
func (m *Metrics) Finish() {
	for _, h := range m.Heads {
		if h.N > 0 {
			h.Accuracy /= float64(h.N)
			h.Loss /= float64(h.N)
			h.ECE = h.ScaledECE(1)
			h.Distance = h.distance()
			h.explained()
		}
	}
}

func (h *HeadMetrics) distance() float64 {
	if !h.ordered {
		return 0
	}
	sum := 0
	for truth, row := range h.Confusion {
		for said, n := range row {
			sum += n * max(said-truth, truth-said)
		}
	}
	return float64(sum) / float64(h.N)
}

// ScaledECE is the calibration error of the probabilities scaled with a
// temperature; 0 without an image.
func (h *HeadMetrics) ScaledECE(temperature float32) float64 {
	if h.N == 0 {
		return 0
	}
	classes := len(h.Confusion)
	p := append([]float32(nil), h.P...)
	for i := 0; i < len(p); i += classes {
		confidence.Scale(p[i:i+classes], temperature)
	}
	ece, err := confidence.ECE(p, classes, h.Truth, eceBins)
	if err != nil {
		return math.NaN() // Add takes no such answers
	}
	return ece
}

// Temperatures are those under which the labels of a model's heads are likeliest,
// head by head. One that no image has a label for keeps what the card says, or 1.
// Errors are those of confidence.Fit.
func (m *Metrics) Temperatures(spec *model.Spec) ([]float32, error) {
	out := make([]float32, len(spec.Heads))
	for k, h := range spec.Heads {
		out[k] = 1
		if k < len(spec.Card.Temperature) {
			out[k] = spec.Card.Temperature[k]
		}
		x := m.Heads[h.Name]
		if x.N == 0 {
			continue
		}
		var err error
		if out[k], err = confidence.Fit(x.P, len(x.Confusion), x.Truth); err != nil {
			return nil, fmt.Errorf("head %s: %w", h.Name, err)
		}
	}
	return out, nil
}

// Group is how a head did on the images that have one label of another head.
type Group struct {
	By    string `json:"by"` // that head
	Label string `json:"label"`
	Said  bool   `json:"said,omitempty"` // the images have no such label: it is a model's answer
	N     int    `json:"n"`
	// Right counts right answers; of a head that measures it adds up how much of
	// the scale each was not off, to a step.
	Right float64 `json:"right"`
}

// Accuracy is the part of the images with a right answer.
func (g Group) Accuracy() float64 { return g.Right / float64(g.N) }

// Groups counts the answers of a head, by its place among heads, over the
// labels of every other head: first the true ones, then those that sorting
// says about images without a true one. A group without images is left out, and
// the steps of a head that measures are no groups.
func Groups(heads []model.Head, samples []data.Sample, said, sorting []data.Labels, head int) []Group {
	var out []Group
	for by, other := range heads {
		if by == head || other.Measures() {
			continue
		}
		n := len(other.Labels)
		all := make([]Group, 2*n)
		for i := range all {
			all[i].By, all[i].Label, all[i].Said = other.Name, other.Labels[i%n], i >= n
		}
		for i := range samples {
			truth, at := samples[i].Labels, int(samples[i].Labels[by])
			if at < 0 {
				if sorting[i][by] < 0 {
					continue
				}
				at = n + int(sorting[i][by])
			}
			if truth[head] < 0 || said[i][head] < 0 {
				continue
			}
			all[at].N++
			switch steps := len(heads[head].Labels) - 1; {
			case heads[head].Measures():
				off := int(truth[head]) - int(said[i][head])
				all[at].Right += 1 - float64(max(off, -off))/float64(steps)
			case truth[head] == said[i][head]:
				all[at].Right++
			}
		}
		for _, g := range all {
			if g.N > 0 {
				out = append(out, g)
			}
		}
	}
	return out
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
