package model

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The order of heads and labels is what integrators' wires and files on
// boards depend on; a change here is a change of the contract.
func TestLabelOrder(t *testing.T) {
	want := `emotion: surprise fear disgust happy sad angry neutral
gender: male female unsure
race: Caucasian African-American Asian
age: 0-3 4-19 20-39 40-69 70+
`
	var got strings.Builder
	for _, h := range Heads() {
		got.WriteString(h.Name + ": " + strings.Join(h.Labels, " ") + "\n")
	}
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Error(d)
	}
}

func TestSpecAndScores(t *testing.T) {
	s := &Spec{Heads: []Head{Emotion, Age}}
	if s.Index("age") != 1 || s.Index("race") != -1 {
		t.Errorf("age at %d, race at %d", s.Index("age"), s.Index("race"))
	}
	out := s.NewScores()
	if len(out.Heads) != 2 || len(out.Heads[0]) != 7 || len(out.Heads[1]) != 5 {
		t.Fatalf("scores of the wrong shape: %v", out)
	}
	copy(out.Heads[1], []float32{.1, .2, .4, .4})
	if k, p := out.Top(1); k != 2 || p != .4 {
		t.Errorf("top %d %v, want the first of the equals, 2", k, p)
	}
}

func TestCardRoundTrip(t *testing.T) {
	want := Card{Name: "paper", Input: "grey", Heads: Heads(), Temperature: []float32{1, 2, 1.5, 1},
		Accuracy: []Accuracy{{Head: "emotion", Data: "fer2013 test", N: 10, Float: .7, File: .6}},
		SHA256:   Fingerprint{Checkpoint: "ab", Calibration: "cd"}}
	b, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseCard(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzParseCard(f *testing.F) {
	for _, s := range []string{"", "{", `{"heads":[{"name":"x"}]}`, `{"temperature":[1]}`,
		`{"heads":[{"name":"emotion","labels":["a"]}],"temperature":[-1]}`,
		`{"heads":[{"name":"emotion","labels":["a"]}],"temperature":[2]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCard(b)
		if err != nil {
			return
		}
		if n := len(c.Temperature); n != 0 && n != len(c.Heads) {
			t.Errorf("accepted %d temperatures for %d heads", n, len(c.Heads))
		}
		for _, h := range c.Heads {
			if len(h.Labels) == 0 {
				t.Errorf("accepted head %q without labels", h.Name)
			}
		}
	})
}
