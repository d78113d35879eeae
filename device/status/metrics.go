package status

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"mien/device/vitals"
)

// metrics reads everything when it is asked, so that it costs nothing when
// nobody does. The registry is this server's own.
type metrics struct {
	registry *prometheus.Registry
	hub      *hub
	ready, fps, frames, readings, dropped, restarts, faces, stages, temperature, held, line,
	streams, lost, unencodable, queued, sent, outLost, connected *prometheus.Desc
}

func newMetrics(h *hub, more []prometheus.Collector) (*metrics, error) {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("mien_"+name, help, labels, nil)
	}
	m := &metrics{registry: prometheus.NewRegistry(), hub: h,
		ready:       d("ready", "1 while the device is ready."),
		fps:         d("frames_per_second", "Readings a second of late."),
		frames:      d("frames_total", "Readings made since start."),
		readings:    d("status_readings_total", "Readings handed to the status page: divide the stages by it."),
		dropped:     d("frames_dropped_total", "Frames that a newer one overwrote before their turn."),
		restarts:    d("camera_restarts_total", "Times the camera was opened again."),
		faces:       d("faces", "Faces that count in the last reading."),
		stages:      d("stage_seconds_total", "Time that all frames together have spent in a stage.", "stage"),
		temperature: d("temperature_celsius", "Temperature of the processor."),
		held:        d("held_down", "1 while readings are held down, by why.", "why"),
		line:        d("line_active", "1 while an output line is active.", "line"),
		streams:     d("event_streams", "Clients of the event stream."),
		lost:        d("event_stream_lost_total", "Messages that slow clients missed."),
		unencodable: d("unencodable_total", "News that could not be written as JSON."),
		queued:      d("mqtt_queued", "MQTT messages that wait."),
		sent:        d("mqtt_sent_total", "MQTT messages that the broker has acknowledged."),
		outLost:     d("mqtt_lost_total", "MQTT messages dropped because the queue was full."),
		connected:   d("mqtt_connected", "1 while connected to the MQTT broker."),
	}
	all := append([]prometheus.Collector{m, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}, more...)
	for _, c := range all {
		if err := m.registry.Register(c); err != nil {
			return nil, fmt.Errorf("status: metrics: %w", err)
		}
	}
	return m, nil
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.ready, m.fps, m.frames, m.readings, m.dropped, m.restarts, m.faces, m.stages,
		m.temperature, m.held, m.line, m.streams, m.lost, m.unencodable, m.queued, m.sent, m.outLost, m.connected} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	add := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		// Fails on a label that is no UTF-8; one metric less is better than none.
		if c, err := prometheus.NewConstMetric(d, kind, v, labels...); err == nil {
			ch <- c
		}
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) { add(d, prometheus.GaugeValue, v, labels...) }
	count := func(d *prometheus.Desc, v uint64) { add(d, prometheus.CounterValue, float64(v)) }
	s := m.hub.look()
	h := s.Health
	gauge(m.ready, one(h.Ready))
	gauge(m.fps, h.FrameRate)
	count(m.frames, h.Frames)
	count(m.dropped, h.Dropped)
	count(m.restarts, h.Restarts)
	if h.Celsius != 0 {
		gauge(m.temperature, h.Celsius)
	}
	for _, why := range vitals.Reasons {
		gauge(m.held, one(h.Throttled == why), why)
	}
	once := map[string]bool{} // the same line twice would make the whole answer an error
	for _, l := range s.Lines {
		if !once[l.Name] {
			gauge(m.line, one(l.Active), l.Name)
		}
		once[l.Name] = true
	}
	if o := s.Outbox; o != nil {
		gauge(m.connected, one(o.Connected))
		gauge(m.queued, float64(o.Queued))
		count(m.sent, o.Sent)
		count(m.outLost, o.Lost)
	}
	m.hub.in.Lock()
	t, frames := m.hub.in.stages, m.hub.in.frames
	m.hub.in.Unlock()
	count(m.readings, frames)
	for name, d := range map[string]time.Duration{"wait": t.Wait, "detect": t.Detect, "align": t.Align,
		"predict": t.Predict, "track": t.Track, "signal": t.Signal, "total": t.Total} {
		add(m.stages, prometheus.CounterValue, d.Seconds(), name)
	}
	m.hub.out.Lock()
	streams, lost, bad, faces := len(m.hub.out.clients), m.hub.out.lost, m.hub.out.unencodable, m.hub.out.faces
	m.hub.out.Unlock()
	gauge(m.faces, float64(faces))
	gauge(m.streams, float64(streams))
	count(m.lost, lost)
	count(m.unencodable, bad)
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
