package experiment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is a figure and the bounds that hold it with 95% confidence.
type Interval struct{ Value, Low, High float64 }

// Accuracy is the part that is right, with the interval of Wilson 1927.
func Accuracy(right []bool) Interval {
	n := float64(len(right))
	if n == 0 {
		return Interval{math.NaN(), 0, 1}
	}
	k := 0.0
	for _, r := range right {
		if r {
			k++
		}
	}
	const z = 1.959964 // of the normal distribution, 97.5%
	p := k / n
	mid, half := (p+z*z/(2*n))/(1+z*z/n), z/(1+z*z/n)*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return Interval{p, mid - half, mid + half}
}

// draws of the bootstrap.
const draws = 10_000

// Difference is by how much a is right more often than b about the same images,
// the mean over seeds, with the paired bootstrap's interval over images (Efron
// 1979; percentiles). How much seeds differ is not in it.
func Difference(a, b [][]bool) Interval {
	n := len(a[0])
	each := make([]float64, n) // of an image, the mean over seeds
	for s := range a {
		for i := range each {
			each[i] += (one(a[s][i]) - one(b[s][i])) / float64(len(a))
		}
	}
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	means := make([]float64, draws)
	for d := range means {
		var sum float64
		for range n {
			sum += each[rng.IntN(n)]
		}
		means[d] = sum / float64(n)
	}
	slices.Sort(means)
	var value float64
	for _, v := range each {
		value += v / float64(n)
	}
	return Interval{value, means[draws*25/1000], means[draws*975/1000-1]}
}

func one(right bool) float64 {
	if right {
		return 1
	}
	return 0
}

// McNemar is the probability that two equally good models differ as much as a
// and b do in which images they tell right (McNemar 1947, the exact test).
func McNemar(a, b []bool) float64 {
	var onlyA, onlyB float64
	for i := range a {
		switch {
		case a[i] && !b[i]:
			onlyA++
		case b[i] && !a[i]:
			onlyB++
		}
	}
	if onlyA+onlyB == 0 {
		return 1
	}
	return min(1, 2*distuv.Binomial{N: onlyA + onlyB, P: 0.5}.CDF(min(onlyA, onlyB)))
}

// Outcome answers a pair's question.
type Outcome struct {
	Pair
	Seeds      []uint64   // for which both runs were measured
	Run, Other []Interval // accuracy, by seed
	Images     int
	Difference Interval
	McNemar    []float64 // by seed
}

// Outcome compares the answers of a pair, which are by the name of a step. It
// has no seeds when there are no answers yet.
func (x *Experiment) Outcome(p Pair, answers map[string]Answers) (Outcome, error) {
	o := Outcome{Pair: p}
	var a, b [][]bool
	for _, seed := range x.Seeds {
		one, other := answers[Step(p.Run, seed)][p.Data][p.Head], answers[Step(p.Against, seed)][p.Data][p.Head]
		if one == nil || other == nil {
			continue
		}
		if !slices.Equal(one.Truth, other.Truth) || len(a) > 0 && len(one.Truth) != o.Images {
			return o, fmt.Errorf("experiment: %s and %s were measured on other images of %s (delete their %s)", Step(p.Run, seed), Step(p.Against, seed), p.Data, AnswersFile)
		}
		o.Seeds, o.Images = append(o.Seeds, seed), len(one.Truth)
		a, b = append(a, one.right()), append(b, other.right())
		last := len(a) - 1
		o.Run, o.Other = append(o.Run, Accuracy(a[last])), append(o.Other, Accuracy(b[last]))
		o.McNemar = append(o.McNemar, McNemar(a[last], b[last]))
	}
	if len(a) > 0 {
		o.Difference = Difference(a, b)
	}
	return o, nil
}
