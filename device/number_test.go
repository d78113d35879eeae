package device_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mien/camera"
	"mien/device"
	"mien/runtime/model"
	"mien/runtime/track"
)

// A head that measures answers with its value, its deviation and its unit.
func TestNumberReading(t *testing.T) {
	m := &fakeModel{spec: model.Spec{Heads: []model.Head{model.NewNumber("years", 0, 100, "years"), model.Gender}}, emotion: 7}
	p, err := device.NewPipeline(fakeFaces{}, m, nil, nil, device.PipelineOptions{Heads: []string{"years", "gender"},
		Track: track.Options{Confirm: 1, Window: 1, Smoothing: -1, Dwell: -1}})
	if err != nil {
		t.Fatal(err)
	}
	f := &camera.Frame{Seq: 1, Time: time.Unix(1, 0)}
	picture(f, true)
	r, err := p.Process(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r.Faces[0].Heads)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"head":"years","label":"35 years","confidence":1.0000,"probs":{},"value":35,"deviation":0,"unit":"years"}`
	if !strings.Contains(string(b), want) || !strings.Contains(string(b), `{"head":"gender","label":"male"`) {
		t.Errorf("%s, want %s", b, want)
	}
}
