package main

import (
	"fmt"
	"math"
	"os"

	board "mien/device/fleet"
	"mien/runtime/model"
	"mien/train/card"
	"mien/train/data"
)

// canaryFaces is how many faces a canary has at most.
const canaryFaces = 200

// canaryOf makes the canary of a model: faces of the split that its card has figures
// of, evenly from all of it, and of each head the least part that has to be read
// right. That is what the card says less three standard errors of a part of so many,
// so that chance alone stops one good model in a thousand.
func canaryOf(e env, file, spec string) (*board.Canary, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	_, of, err := card.Of(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	sets, err := (&cardCmd{}).sets(e, []string{spec}, of.Card)
	if err != nil {
		return nil, err
	}
	samples, split, err := sets[0].Select(data.Test)
	if err != nil {
		return nil, err
	}
	c := &board.Canary{Least: map[string]float64{}}
	counts, n := map[string]int{}, min(len(samples), canaryFaces)
	for i := range n {
		x := &samples[i*len(samples)/n]
		f := board.KnownFace{Pixels: x.Face, Labels: map[string]string{}}
		for k, h := range of.Heads {
			if l := x.Labels[k]; l != data.NoLabel && !h.Measures() {
				f.Labels[h.Name] = h.Labels[l]
				counts[h.Name]++
			}
		}
		c.Faces = append(c.Faces, f)
	}
	for _, a := range of.Card.Accuracy {
		if n := counts[a.Head]; n > 0 && a.Data == sets[0].Kind+" "+split {
			c.Least[a.Head] = leastOf(a, n)
		}
	}
	if len(c.Least) == 0 {
		return nil, fmt.Errorf("--canary %s: the card of %s says of no head how it does on %s %s: mien card measures that", spec, file, sets[0].Kind, split)
	}
	return c, nil
}

func leastOf(a model.Accuracy, n int) float64 {
	return max(0, a.File-3*math.Sqrt(a.File*(1-a.File)/float64(n)))
}
