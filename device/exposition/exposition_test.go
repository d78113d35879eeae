package exposition

import (
	"math"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	prometheus "github.com/prometheus/common/model"
)

// Prometheus's own parser reads what is written, labels that hold anything among
// it, and what the kernel says of this process agrees with what Go says.
func TestPrometheusReadsIt(t *testing.T) {
	names := []string{`quo"te`, `back\slash\n`, "new\nline", "\xff", "grün", ""}
	var x Text
	x.Family("gauge", "boards", "Boards that there are.")
	for i, n := range names {
		x.Sample("boards", float64(i), "site", n, "more", "than one")
	}
	x.Counter("seen_total", "What was seen.", 1<<53)
	w := httptest.NewRecorder()
	x.Send(w)
	parser := expfmt.NewTextParser(prometheus.LegacyValidation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	names[3] = "\ufffd"
	for i, m := range families["boards"].GetMetric() {
		if got := m.Label[0].GetValue(); got != names[i] || value(m) != float64(i) {
			t.Errorf("%q is %v, want %q, %d", got, value(m), names[i], i)
		}
	}
	if n := len(families["boards"].GetMetric()); n != len(names) || value(families["seen_total"].Metric[0]) != 1<<53 {
		t.Errorf("%d samples, want %d: %v", n, len(names), families)
	}
	if v := value(families["go_goroutines"].Metric[0]); math.Abs(v-float64(runtime.NumGoroutine())) > 5 {
		t.Errorf("go_goroutines %v, want about %d", v, runtime.NumGoroutine())
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return
	}
	for name, limits := range map[string][2]float64{
		"process_resident_memory_bytes": {1 << 20, 1 << 32}, "process_cpu_seconds_total": {0, 1e4}, "process_open_fds": {3, 1e4},
		"process_start_time_seconds": {1e9, 1e11}, "process_virtual_memory_bytes": {1 << 20, 1 << 46},
	} {
		f := families[name]
		if f == nil {
			t.Errorf("%s is missing", name)
		} else if v := value(f.Metric[0]); v < limits[0] || v > limits[1] {
			t.Errorf("%s is %v, want %v", name, v, limits)
		}
	}
}

func value(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}
