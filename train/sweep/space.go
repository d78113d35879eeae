// Package sweep searches recipe keys by successive halving (Jamieson and
// Talwalkar 2016, arXiv 1502.07943): many trials train a little, the better
// part of them trains on.
package sweep

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"mien/train"
)

// Axis is a recipe key and the values to try.
type Axis struct {
	Key string
	// Choices are the values to choose from; when there are none, values are
	// drawn from Low to High, evenly in their logarithm when Low is above 0.
	Choices   []string
	Low, High float64
	Whole     bool // both ends are whole numbers, and so is what is drawn
}

// ParseAxis reads key=a,b,c or key=low..high.
func ParseAxis(s string) (Axis, error) {
	key, values, ok := strings.Cut(s, "=")
	if !ok || key == "" || values == "" {
		return Axis{}, fmt.Errorf("sweep: %q is not key=a,b,c or key=low..high", s)
	}
	a := Axis{Key: key}
	low, high, isRange := strings.Cut(values, "..")
	if !isRange {
		a.Choices = strings.Split(values, ",")
		return a, nil
	}
	var err1, err2 error
	a.Low, err1 = strconv.ParseFloat(low, 64)
	a.High, err2 = strconv.ParseFloat(high, 64)
	if err1 != nil || err2 != nil || !(a.Low < a.High) || math.IsInf(a.High-a.Low, 0) {
		return Axis{}, fmt.Errorf("sweep: %s: %q is not a range low..high", key, values)
	}
	_, err1 = strconv.Atoi(low)
	_, err2 = strconv.Atoi(high)
	a.Whole = err1 == nil && err2 == nil
	return a, nil
}

func (a Axis) draw(rng *rand.Rand) string {
	if len(a.Choices) > 0 {
		return a.Choices[rng.IntN(len(a.Choices))]
	}
	u := rng.Float64()
	v := a.Low + u*(a.High-a.Low)
	if a.Low > 0 {
		v = a.Low * math.Pow(a.High/a.Low, u)
	}
	if a.Whole {
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// grid returns every combination of choices, or nil when there are more than
// n or an axis is a range.
func grid(axes []Axis, n int) [][]string {
	all := [][]string{nil}
	for _, a := range axes {
		if len(a.Choices) == 0 || len(all)*len(a.Choices) > n {
			return nil
		}
		var next [][]string
		for _, set := range all {
			for _, c := range a.Choices {
				next = append(next, append(set[:len(set):len(set)], a.Key+"="+c))
			}
		}
		all = next
	}
	return all
}

// Draw returns the settings of at most n different trials, the same for the
// same seed. Every one is checked against the recipe.
func Draw(base train.Recipe, axes []Axis, n int, seed uint64) ([][]string, error) {
	if len(axes) == 0 || n < 1 {
		return nil, fmt.Errorf("sweep: nothing to try (give at least one key=a,b,c and one trial)")
	}
	sets := grid(axes, n)
	rng := rand.New(rand.NewPCG(seed, 0))
	seen := map[string]bool{}
	for tries := 0; sets == nil || len(sets) < n && len(seen) > 0; tries++ {
		if tries > 50*n {
			break // the choices are used up
		}
		set := make([]string, len(axes))
		for i, a := range axes {
			set[i] = a.Key + "=" + a.draw(rng)
		}
		if key := strings.Join(set, " "); !seen[key] {
			seen[key] = true
			sets = append(sets, set)
		}
	}
	for _, set := range sets {
		r := base
		if err := r.Set(set); err != nil {
			return nil, fmt.Errorf("sweep: %w", err)
		}
	}
	return sets, nil
}
