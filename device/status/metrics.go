package status

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"mien/device"
	"mien/device/exposition"
	"mien/device/signal"
	"mien/device/vitals"
)

// metrics answers /metrics in the text format of Prometheus, version 0.0.4. It
// reads everything when it is asked, so that it costs nothing when nobody does.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	var x exposition.Text
	s.hub.expose(&x)
	x.Send(w)
}

// expose writes the device's own metrics.
func (h *hub) expose(x *exposition.Text) {
	s := h.look()
	x.Gauge("mien_ready", "1 while the device is ready.", exposition.One(s.Health.Ready))
	x.Family("gauge", "mien_state", "1 for the state that the device is in, 0 for all others.")
	for _, m := range signal.States {
		x.Sample("mien_state", exposition.One(s.Health.State == m.State), "state", string(m.State))
	}
	x.Family("gauge", "mien_build_info", "The version of the firmware, and its board.")
	x.Sample("mien_build_info", 1, "version", h.o.Info.Version, "board", h.o.Info.Board)
	x.Gauge("mien_frames_per_second", "Readings a second of late.", s.Health.FrameRate)
	x.Counter("mien_frames_total", "Frames read since start.", float64(s.Health.Frames))
	x.Counter("mien_frames_captured_total", "Frames that the camera has given since start.", float64(s.Health.Captured))
	x.Counter("mien_frames_dropped_total", "Frames that a newer one overwrote before their turn.", float64(s.Health.Dropped))
	x.Family("counter", "mien_camera_bad_pictures_total", "Pictures that the camera gave and that could not be used, by what was wrong with them.")
	for _, v := range []struct {
		what string
		n    uint64
	}{{"cut", s.Health.Bad.Cut}, {"damaged", s.Health.Bad.Damaged}, {"unsupported", s.Health.Bad.Unsupported}, {"too large", s.Health.Bad.TooLarge}} {
		x.Sample("mien_camera_bad_pictures_total", float64(v.n), "what", v.what)
	}
	x.Counter("mien_camera_restarts_total", "Times the camera was opened again.", float64(s.Health.Restarts))
	x.Counter("mien_model_renewals_total", "Times the model was opened again because it hung.", float64(s.Health.Renewals))
	if s.Health.Celsius != 0 {
		x.Gauge("mien_temperature_celsius", "Temperature of the processor.", s.Health.Celsius)
	}
	x.Family("gauge", "mien_held_down", "1 while readings are held down, by why.")
	for _, why := range vitals.Reasons {
		x.Sample("mien_held_down", exposition.One(s.Health.Throttled == why), "why", why)
	}
	x.Family("gauge", "mien_part_working", "1 while a part that the device can do without works, 0 while it is out of order.")
	for _, p := range s.Health.Parts {
		x.Sample("mien_part_working", exposition.One(p.Problem == ""), "part", p.Name)
	}
	x.Family("gauge", "mien_line_active", "1 while an output line is active.")
	once := map[string]bool{} // the same line twice would make the whole answer an error
	for _, l := range s.Lines {
		if !once[l.Name] {
			x.Sample("mien_line_active", exposition.One(l.Active), "line", l.Name)
		}
		once[l.Name] = true
	}
	for _, box := range []struct {
		name, of, taker string
		o               *Outbox
	}{{"mqtt", "MQTT", "MQTT broker", s.Outbox}, {"fleet", "Fleet", "fleet's hub", s.Fleet}} {
		if o := box.o; o != nil {
			x.Gauge("mien_"+box.name+"_connected", "1 while connected to the "+box.taker+".", exposition.One(o.Connected))
			x.Gauge("mien_"+box.name+"_queued", box.of+" messages that wait.", float64(o.Queued))
			x.Counter("mien_"+box.name+"_sent_total", box.of+" messages that the "+box.taker+" has acknowledged.", float64(o.Sent))
			x.Counter("mien_"+box.name+"_lost_total", box.of+" messages dropped because the queue was full.", float64(o.Lost))
		}
	}
	h.in.Lock()
	t, frames, tracks, changes := h.in.stages, h.in.frames, h.in.tracks, maps.Clone(h.in.changes)
	h.in.Unlock()
	x.Counter("mien_tracks_total", "Faces that came into view since start.", float64(tracks))
	x.Family("counter", "mien_line_changes_total", "Times an output line changed.")
	for _, line := range slices.Sorted(maps.Keys(changes)) {
		x.Sample("mien_line_changes_total", float64(changes[line]), "line", line)
	}
	x.Counter("mien_status_readings_total", "Readings handed to the status page: divide the stages by it.", float64(frames))
	x.Family("counter", "mien_stage_seconds_total", "Time that all frames together have spent in a stage.")
	for _, stage := range []struct {
		name string
		took time.Duration
	}{{"wait", t.Wait}, {"detect", t.Detect}, {"align", t.Align}, {"predict", t.Predict}, {"track", t.Track}, {"signal", t.Signal}} {
		x.Sample("mien_stage_seconds_total", stage.took.Seconds(), "stage", stage.name)
	}
	x.Counter("mien_latency_seconds_total", "Time from a picture being taken to the last line written, of all readings together.", t.Total.Seconds())
	h.out.Lock()
	streams, lost, bad, faces, numbers := len(h.out.clients), h.out.lost, h.out.unencodable, h.out.faces, slices.Clone(h.out.numbers)
	h.out.Unlock()
	x.Gauge("mien_faces", "Faces that count in the last reading.", float64(faces))
	if len(numbers) > 0 {
		x.Family("gauge", "mien_value", "What a head that answers with a number says of the one that the lines speak of.")
		for _, n := range numbers {
			x.Sample("mien_value", n.value, "head", n.head, "unit", n.unit)
		}
	}
	x.Gauge("mien_event_streams", "Clients of the event stream.", float64(streams))
	x.Counter("mien_event_stream_lost_total", "Messages that slow clients missed.", float64(lost))
	x.Counter("mien_unencodable_total", "News that could not be written as JSON.", float64(bad))
}

// number is what a head that measures says.
type number struct {
	head, unit string
	value      float64
}

// numbersOf appends what the heads that measure say of a reading's subject.
func numbersOf(r *device.Reading, out []number) []number {
	who := r.SubjectFace()
	if who == nil {
		return out
	}
	for i := range who.Heads {
		if h := &who.Heads[i]; h.Unit != "" && !h.Uncertain {
			out = append(out, number{h.Name, h.Unit, h.Value})
		}
	}
	return out
}
