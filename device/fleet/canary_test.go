package fleet

import (
	"bytes"
	"encoding/json"
	"image"
	"strings"
	"testing"

	"mien/runtime/model"
)

// parrot answers by the first grey level.
type parrot struct{ spec model.Spec }

func (p parrot) Predict(g *image.Gray, s *model.Scores) error {
	for k := range s.Heads {
		clear(s.Heads[k])
		s.Heads[k][int(g.Pix[0])%len(s.Heads[k])] = 1
	}
	return nil
}
func (p parrot) Spec() *model.Spec { return &p.spec }
func (parrot) Engine() string      { return "parrot" }
func (parrot) Close() error        { return nil }

// A model that reads fewer faces right than its card says does not pass, by each head
// for itself; heads of which nothing is said do not count.
func TestCanary(t *testing.T) {
	m := parrot{model.Spec{Heads: []model.Head{{Name: "smile", Labels: []string{"no", "yes"}}, {Name: "hat", Labels: []string{"none", "cap", "top"}}}}}
	c := Canary{Least: map[string]float64{"smile": 0.7, "hat": 0.5}}
	for i := range 10 {
		f := KnownFace{Pixels: bytes.Repeat([]byte{byte(i)}, model.Side*model.Side), Labels: map[string]string{"smile": []string{"no", "yes"}[i%2]}}
		if i < 4 {
			f.Labels["hat"] = []string{"none", "cap", "cap", "none"}[i] // 3 of 4 as the parrot says
		}
		c.Faces = append(c.Faces, f)
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseCanary(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Check(m); err != nil {
		t.Error(err)
	}
	read.Least["hat"] = 0.76
	if err := read.Check(m); err == nil || !strings.Contains(err.Error(), "of 4 known faces it reads 3 right on this board (hat), and 76.0% have to be") {
		t.Errorf("too few hats: %v", err)
	}
	read.Least = map[string]float64{"beard": 0.1}
	if err := read.Check(m); err == nil {
		t.Error("a head that the model lacks passes")
	}
	read.Faces[3].Pixels = read.Faces[3].Pixels[1:]
	if b, err = json.Marshal(read); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCanary(b); err == nil {
		t.Error("a face of another size is taken")
	}
}
