package wire

import (
	"bytes"
	"math"
	"testing"
)

func TestEncodeHasNoNullLists(t *testing.T) {
	for _, v := range []any{
		&Reading{}, &Reading{Faces: []Face{{ID: 1, Heads: map[string]Head{"age": {}}}}}, &Track{},
		&Status{Consent: new(bool), Temperature: new(float64), Outbox: &Outbox{}},
		&Info{Heads: []HeadInfo{{}}}, &Transition{},
	} {
		b, err := Encode(v)
		if err != nil || bytes.Contains(b, []byte("null")) {
			t.Errorf("%T: %s, %v", v, b, err)
		}
	}
	shared := map[string]Head{"age": {}}
	if _, err := Encode(&Track{Face: Face{Heads: shared}}); err != nil || shared["age"].Scores != nil {
		t.Errorf("the caller's map was changed: %v, %v", shared, err)
	}
	if _, err := Encode(&Status{FPS: math.NaN()}); err == nil {
		t.Error("a NaN was encoded")
	}
}
