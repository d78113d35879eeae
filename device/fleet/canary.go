package fleet

import (
	"encoding/json"
	"fmt"
	"image"
	"maps"
	"slices"

	"mien/runtime/infer"
	"mien/runtime/model"
)

// Canary are faces whose answers are known. A new model has to read them on the
// board, before anything is changed there, about as well as its card says. They are
// kept in memory until that is done, and nowhere.
type Canary struct {
	// Least is, by head, the part of its faces that has to be read right.
	Least map[string]float64 `json:"least"`
	Faces []KnownFace        `json:"faces"`
}

// KnownFace is a face as a model sees it.
type KnownFace struct {
	Pixels []byte            `json:"pixels"` // model.Side rows of as many grey levels
	Labels map[string]string `json:"labels"` // by head
}

// MostCanary bounds a canary's JSON, in bytes.
const MostCanary = 4 << 20

// ParseCanary reads a canary's JSON.
func ParseCanary(b []byte) (*Canary, error) {
	c := &Canary{}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("fleet: canary: %w", err)
	}
	for i := range c.Faces {
		if n := len(c.Faces[i].Pixels); n != model.Side*model.Side {
			return nil, fmt.Errorf("fleet: canary: face %d has %d grey levels, want %d", i, n, model.Side*model.Side)
		}
	}
	return c, nil
}

// Check says when a model reads too few of the faces right.
func (c *Canary) Check(m infer.Model) error {
	right, all := map[string]int{}, map[string]int{}
	spec := m.Spec()
	scores := spec.NewScores()
	for i := range c.Faces {
		face := &c.Faces[i]
		if err := m.Predict(&image.Gray{Pix: face.Pixels, Stride: model.Side, Rect: image.Rect(0, 0, model.Side, model.Side)}, scores); err != nil {
			return fmt.Errorf("canary: %w", err)
		}
		for k, h := range spec.Heads {
			want, known := face.Labels[h.Name]
			if !known {
				continue
			}
			all[h.Name]++
			if top, _ := scores.Top(k); h.Labels[top] == want {
				right[h.Name]++
			}
		}
	}
	for _, head := range slices.Sorted(maps.Keys(c.Least)) {
		if got := float64(right[head]) / float64(max(all[head], 1)); got < c.Least[head] {
			return fmt.Errorf("canary: of %d known faces it reads %d right on this board (%s), and %.1f%% have to be", all[head], right[head], head, 100*c.Least[head])
		}
	}
	return nil
}
