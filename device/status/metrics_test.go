package status

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	prometheus "github.com/prometheus/common/model"

	"mien/device"
	"mien/device/signal"
)

// TestMetricsAreReadByPrometheus has Prometheus's own parser and linter read
// what is served, hostile names of lines among it.
func TestMetricsAreReadByPrometheus(t *testing.T) {
	names := []string{"face", `quo"te`, `back\slash\n`, "new\nline", "\xff", "grün", "face"}
	s, err := New(Options{
		Health: func() device.Health {
			return device.Health{Ready: true, Frames: 1 << 53, FrameRate: 29.97, Celsius: 51.2}
		},
		Lines: func() (lines []signal.Line) {
			for i, n := range names {
				lines = append(lines, signal.Line{Name: n, Active: i%2 == 0})
			}
			return lines
		},
		Outbox: func() Outbox { return Outbox{Connected: true, Sent: 12345678} },
		Fleet:  func() Outbox { return Outbox{Queued: 5} },
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.metrics(w, nil)
	if f := expfmt.ResponseFormat(w.Result().Header); f.FormatType() != expfmt.TypeTextPlain {
		t.Errorf("Content-Type %q is not Prometheus's text", w.Result().Header.Get("Content-Type"))
	}
	text := w.Body.Bytes()
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	parser := expfmt.NewTextParser(prometheus.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	for name, want := range map[string]float64{
		"mien_ready": 1, "mien_frames_total": 1 << 53, "mien_frames_per_second": 29.97, "mien_temperature_celsius": 51.2,
		"mien_mqtt_connected": 1, "mien_mqtt_sent_total": 12345678, "mien_fleet_connected": 0, "mien_fleet_queued": 5,
	} {
		if f := families[name]; f == nil || value(f.Metric[0]) != want || f.GetHelp() == "" {
			t.Errorf("%s is %v, want %v and a help text", name, f, want)
		}
	}
	var got []string
	for i, m := range families["mien_line_active"].GetMetric() {
		got = append(got, m.Label[0].GetValue())
		if value(m) != float64(1-i%2) {
			t.Errorf("line %q is %v", got[i], value(m))
		}
	}
	want := append(append([]string{}, names[:4]...), "\ufffd", "grün")
	if len(got) != len(want) {
		t.Fatalf("lines %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %q, want %q", got[i], want[i])
		}
	}
}

func value(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}

// A head that answers with a number is a gauge, of the reading's subject alone.
func TestNumbersOf(t *testing.T) {
	head := func(v float64, uncertain bool) []device.HeadReading {
		return []device.HeadReading{{Name: "years", Value: v, Unit: "years", Uncertain: uncertain}, {Name: "gender", Label: "male"}}
	}
	r := &device.Reading{Subject: 2, Faces: []device.FaceReading{{ID: 1, Heads: head(20, false)}, {ID: 2, Heads: head(34.5, false)}}}
	if got := numbersOf(r, nil); len(got) != 1 || got[0] != (number{"years", "years", 34.5}) {
		t.Errorf("%v", got)
	}
	r.Faces[1].Heads = head(0, true)
	if got := numbersOf(r, nil); len(got) != 0 {
		t.Errorf("%v while uncertain", got)
	}
}
