// Package confidence makes a model's probabilities mean what they say: it
// measures how far they are off (expected calibration error), finds the one
// temperature that mends them, and applies it. The trainer, the reports and
// the firmware share it, so that all three mean the same by a temperature.
//
// Temperature scaling is Guo et al. 2017, "On Calibration of Modern Neural
// Networks" (arXiv 1706.04599). Models here end in a softmax, so the logits
// are gone; log p equals them up to a constant, which the softmax ignores:
// p^(1/T), made to sum to 1 again, is softmax(logits/T).
package confidence

import (
	"fmt"
	"math"
)

// Floor is the least probability that Scale and Fit believe. An int8 model
// writes 0 for everything below 1/512, and the logarithm of that would let
// one rounded answer outweigh a whole data set.
const Floor = 1e-4

// The range in which Fit looks for a temperature.
const (
	MinTemperature = 0.05
	MaxTemperature = 20
)

// Scale applies temperature t to the probabilities of one head, in place:
// above 1 it makes them less sure, below 1 surer; the order of the labels
// stays. Of t = 1, of t not above 0 and of an empty p it makes nothing.
func Scale(p []float32, t float32) {
	if t == 1 || !(t > 0) || len(p) == 0 {
		return
	}
	top := float32(Floor)
	for _, v := range p {
		top = max(top, v)
	}
	// Divided by the largest first: the largest power is 1, so nothing
	// overflows and the sum is never 0.
	inv, sum := 1/float64(t), 0.0
	for i, v := range p {
		e := math.Pow(float64(max(v, Floor)/top), inv)
		p[i] = float32(e)
		sum += e
	}
	for i := range p {
		p[i] = float32(float64(p[i]) / sum)
	}
}

// Bin is one bar of a reliability diagram: the answers whose confidence lies
// in (Low, High].
type Bin struct {
	Low, High  float64
	N          int
	Confidence float64 // mean of the answers' confidences
	Accuracy   float64 // share of the answers that were right
}

// Reliability sorts answers into equally wide bins by the confidence of their
// likeliest label. p holds len(labels) rows of classes probabilities; a label
// below 0 means that nobody knows, and the row is left out.
func Reliability(p []float32, classes int, labels []int, bins int) ([]Bin, error) {
	if err := check(p, classes, labels); err != nil {
		return nil, err
	}
	if bins < 1 {
		return nil, fmt.Errorf("confidence: %d bins, at least 1 is needed", bins)
	}
	out := make([]Bin, bins)
	for b := range out {
		out[b].Low, out[b].High = float64(b)/float64(bins), float64(b+1)/float64(bins)
	}
	for i, y := range labels {
		if y < 0 {
			continue
		}
		k, v := top(p[i*classes : (i+1)*classes])
		b := &out[min(max(int(math.Ceil(v*float64(bins)))-1, 0), bins-1)]
		b.N++
		b.Confidence += v
		if k == y {
			b.Accuracy++
		}
	}
	for b := range out {
		if n := float64(out[b].N); n > 0 {
			out[b].Confidence /= n
			out[b].Accuracy /= n
		}
	}
	return out, nil
}

// ECE is the expected calibration error: the mean distance between confidence
// and accuracy over the bins, weighted by how many answers each holds. 0 is
// perfect; 0.1 means that confidences are off by ten points on average. 15
// bins are customary. It is NaN when no row has a label.
func ECE(p []float32, classes int, labels []int, bins int) (float64, error) {
	rel, err := Reliability(p, classes, labels, bins)
	if err != nil {
		return 0, err
	}
	var sum, n float64
	for _, b := range rel {
		sum += float64(b.N) * math.Abs(b.Accuracy-b.Confidence)
		n += float64(b.N)
	}
	return sum / n, nil
}

// Fewest is how many labelled rows Fit wants: from fewer, a temperature says more
// about them than about the model.
const Fewest = 20

// Fit returns the temperature under which the labels are likeliest. p is as in
// Reliability and should come from validation data that training never saw.
// The search cannot get stuck: in 1/T the likelihood has one optimum. It is an
// error when fewer than Fewest rows have a label, and when that optimum does not
// lie between MinTemperature and MaxTemperature.
func Fit(p []float32, classes int, labels []int) (float32, error) {
	if err := check(p, classes, labels); err != nil {
		return 0, err
	}
	known := 0
	for _, y := range labels {
		if y >= 0 {
			known++
		}
	}
	if known < Fewest {
		return 0, fmt.Errorf("confidence: %d of %d answers have a label, and a temperature is found from %d or more", known, len(labels), Fewest)
	}
	logs := make([]float64, len(p))
	for i, v := range p {
		logs[i] = math.Log(math.Max(float64(v), Floor))
	}
	// Bisection for the zero of the slope, in log(1/T).
	lo, hi := -math.Log(MaxTemperature), -math.Log(MinTemperature)
	switch {
	case slope(logs, classes, labels, math.Exp(lo)) >= 0:
		return 0, fmt.Errorf("confidence: the labels are likeliest at a temperature of %g or more, the end of the search: the answers have nothing to do with them", float64(MaxTemperature))
	case slope(logs, classes, labels, math.Exp(hi)) <= 0:
		return 0, fmt.Errorf("confidence: the labels are likeliest at a temperature of %g or less, the end of the search: every answer is right or all are alike", MinTemperature)
	}
	for range 50 {
		if mid := (lo + hi) / 2; slope(logs, classes, labels, math.Exp(mid)) > 0 {
			hi = mid
		} else {
			lo = mid
		}
	}
	return float32(math.Exp(-(lo + hi) / 2)), nil
}

// FitLogits is Fit for a network's outputs before the softmax.
func FitLogits(logits []float32, classes int, labels []int) (float32, error) {
	if classes < 1 || len(logits)%classes != 0 {
		return 0, fmt.Errorf("confidence: %d logits do not make rows of %d", len(logits), classes)
	}
	p := make([]float32, len(logits))
	for i := 0; i < len(p); i += classes {
		softmax(p[i:i+classes], logits[i:i+classes])
	}
	return Fit(p, classes, labels)
}

// slope is the derivative of the negative log-likelihood in b = 1/T: the sum
// over the rows of (mean of the logs under softmax(b*log p)) - log p[label].
func slope(logs []float64, classes int, labels []int, b float64) float64 {
	var total float64
	for i, y := range labels {
		if y < 0 {
			continue
		}
		row := logs[i*classes : (i+1)*classes]
		peak := row[0]
		for _, v := range row {
			peak = math.Max(peak, v)
		}
		var sum, mean float64
		for _, v := range row {
			e := math.Exp(b * (v - peak))
			sum += e
			mean += e * v
		}
		total += mean/sum - row[y]
	}
	return total
}

func softmax(dst, src []float32) {
	_, peak := top(src)
	var sum float64
	for i, v := range src {
		e := math.Exp(float64(v) - peak)
		dst[i] = float32(e)
		sum += e
	}
	for i := range dst {
		dst[i] = float32(float64(dst[i]) / sum)
	}
}

func top(p []float32) (label int, value float64) {
	for k, v := range p {
		if k == 0 || float64(v) > value {
			label, value = k, float64(v)
		}
	}
	return label, value
}

func check(p []float32, classes int, labels []int) error {
	if classes < 1 || len(p) != classes*len(labels) {
		return fmt.Errorf("confidence: %d probabilities for %d rows of %d labels", len(p), len(labels), classes)
	}
	for i, y := range labels {
		if y >= classes {
			return fmt.Errorf("confidence: row %d: label %d, there are %d", i, y, classes)
		}
	}
	for i, v := range p {
		if !(v >= 0 && v <= 1.001) { // also catches NaN; quantised rows may round above 1
			return fmt.Errorf("confidence: row %d: %v is no probability", i/classes, v)
		}
	}
	return nil
}
