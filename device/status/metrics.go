package status

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"mien/device"
	"mien/device/signal"
	"mien/device/vitals"
)

// metrics answers /metrics in the text format of Prometheus, version 0.0.4. It
// reads everything when it is asked, so that it costs nothing when nobody does.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	var x exposition
	s.hub.expose(&x)
	exposeGo(&x)
	exposeProcess(&x)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(x.Bytes()) // a client that has gone is no news
}

// exposition collects metrics as text. The library that Prometheus has for this
// brings protocol buffers, a sixth of the program.
type exposition struct{ bytes.Buffer }

func (x *exposition) family(kind, name, help string) {
	fmt.Fprintf(x, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

var escaped = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// sample writes one value with its labels: name, value, name, value.
func (x *exposition) sample(name string, v float64, labels ...string) {
	x.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		x.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(x, `%s="%s"`, labels[i], escaped.Replace(strings.ToValidUTF8(labels[i+1], "\ufffd")))
	}
	if len(labels) > 0 {
		x.WriteByte('}')
	}
	x.WriteByte(' ')
	x.Write(strconv.AppendFloat(nil, v, 'g', -1, 64))
	x.WriteByte('\n')
}

func (x *exposition) gauge(name, help string, v float64) {
	x.family("gauge", name, help)
	x.sample(name, v)
}

func (x *exposition) counter(name, help string, v float64) {
	x.family("counter", name, help)
	x.sample(name, v)
}

// expose writes the device's own metrics.
func (h *hub) expose(x *exposition) {
	s := h.look()
	x.gauge("mien_ready", "1 while the device is ready.", one(s.Health.Ready))
	x.family("gauge", "mien_state", "1 for the state that the device is in, 0 for all others.")
	for _, m := range signal.States {
		x.sample("mien_state", one(s.Health.State == m.State), "state", string(m.State))
	}
	x.family("gauge", "mien_build_info", "The version of the firmware, and its board.")
	x.sample("mien_build_info", 1, "version", h.o.Info.Version, "board", h.o.Info.Board)
	x.gauge("mien_frames_per_second", "Readings a second of late.", s.Health.FrameRate)
	x.counter("mien_frames_total", "Frames read since start.", float64(s.Health.Frames))
	x.counter("mien_frames_captured_total", "Frames that the camera has given since start.", float64(s.Health.Captured))
	x.counter("mien_frames_dropped_total", "Frames that a newer one overwrote before their turn.", float64(s.Health.Dropped))
	x.family("counter", "mien_camera_bad_pictures_total", "Pictures that the camera gave and that could not be used, by what was wrong with them.")
	for _, v := range []struct {
		what string
		n    uint64
	}{{"cut", s.Health.Bad.Cut}, {"damaged", s.Health.Bad.Damaged}, {"unsupported", s.Health.Bad.Unsupported}, {"too large", s.Health.Bad.TooLarge}} {
		x.sample("mien_camera_bad_pictures_total", float64(v.n), "what", v.what)
	}
	x.counter("mien_camera_restarts_total", "Times the camera was opened again.", float64(s.Health.Restarts))
	x.counter("mien_model_renewals_total", "Times the model was opened again because it hung.", float64(s.Health.Renewals))
	if s.Health.Celsius != 0 {
		x.gauge("mien_temperature_celsius", "Temperature of the processor.", s.Health.Celsius)
	}
	x.family("gauge", "mien_held_down", "1 while readings are held down, by why.")
	for _, why := range vitals.Reasons {
		x.sample("mien_held_down", one(s.Health.Throttled == why), "why", why)
	}
	x.family("gauge", "mien_part_working", "1 while a part that the device can do without works, 0 while it is out of order.")
	for _, p := range s.Health.Parts {
		x.sample("mien_part_working", one(p.Problem == ""), "part", p.Name)
	}
	x.family("gauge", "mien_line_active", "1 while an output line is active.")
	once := map[string]bool{} // the same line twice would make the whole answer an error
	for _, l := range s.Lines {
		if !once[l.Name] {
			x.sample("mien_line_active", one(l.Active), "line", l.Name)
		}
		once[l.Name] = true
	}
	if o := s.Outbox; o != nil {
		x.gauge("mien_mqtt_connected", "1 while connected to the MQTT broker.", one(o.Connected))
		x.gauge("mien_mqtt_queued", "MQTT messages that wait.", float64(o.Queued))
		x.counter("mien_mqtt_sent_total", "MQTT messages that the broker has acknowledged.", float64(o.Sent))
		x.counter("mien_mqtt_lost_total", "MQTT messages dropped because the queue was full.", float64(o.Lost))
	}
	h.in.Lock()
	t, frames, tracks, changes := h.in.stages, h.in.frames, h.in.tracks, maps.Clone(h.in.changes)
	h.in.Unlock()
	x.counter("mien_tracks_total", "Faces that came into view since start.", float64(tracks))
	x.family("counter", "mien_line_changes_total", "Times an output line changed.")
	for _, line := range slices.Sorted(maps.Keys(changes)) {
		x.sample("mien_line_changes_total", float64(changes[line]), "line", line)
	}
	x.counter("mien_status_readings_total", "Readings handed to the status page: divide the stages by it.", float64(frames))
	x.family("counter", "mien_stage_seconds_total", "Time that all frames together have spent in a stage.")
	for _, stage := range []struct {
		name string
		took time.Duration
	}{{"wait", t.Wait}, {"detect", t.Detect}, {"align", t.Align}, {"predict", t.Predict}, {"track", t.Track}, {"signal", t.Signal}} {
		x.sample("mien_stage_seconds_total", stage.took.Seconds(), "stage", stage.name)
	}
	x.counter("mien_latency_seconds_total", "Time from a picture being taken to the last line written, of all readings together.", t.Total.Seconds())
	h.out.Lock()
	streams, lost, bad, faces, numbers := len(h.out.clients), h.out.lost, h.out.unencodable, h.out.faces, slices.Clone(h.out.numbers)
	h.out.Unlock()
	x.gauge("mien_faces", "Faces that count in the last reading.", float64(faces))
	if len(numbers) > 0 {
		x.family("gauge", "mien_value", "What a head that answers with a number says of the one that the lines speak of.")
		for _, n := range numbers {
			x.sample("mien_value", n.value, "head", n.head, "unit", n.unit)
		}
	}
	x.gauge("mien_event_streams", "Clients of the event stream.", float64(streams))
	x.counter("mien_event_stream_lost_total", "Messages that slow clients missed.", float64(lost))
	x.counter("mien_unencodable_total", "News that could not be written as JSON.", float64(bad))
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

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// exposeGo writes what Go knows of itself, under the names that Prometheus's
// own library gives it.
func exposeGo(x *exposition) {
	v := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(v)
	x.gauge("go_goroutines", "Goroutines that exist.", float64(runtime.NumGoroutine()))
	x.gauge("go_memstats_heap_alloc_bytes", "Bytes of objects on the heap, dead ones not yet freed among them.", float64(v[0].Value.Uint64()))
	x.gauge("go_memstats_sys_bytes", "Bytes of memory that Go has from the system.", float64(v[1].Value.Uint64()))
	x.counter("go_gc_cycles_total", "Garbage collections completed.", float64(v[2].Value.Uint64()))
	x.family("gauge", "go_info", "The version of Go that built this program.")
	x.sample("go_info", 1, "version", runtime.Version())
}

// Of Linux: ticks of the clock in a second as /proc counts them on every
// system, and the first of the fields of /proc/self/stat that follow the name.
const (
	ticks     = 100
	firstStat = 3
)

// exposeProcess writes what the kernel knows of this process; nothing where
// there is no /proc. See proc_pid_stat(5).
func exposeProcess(x *exposition) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // names may hold anything
	field := func(n int) float64 {
		if n -= firstStat; n < len(fields) {
			v, _ := strconv.ParseFloat(fields[n], 64)
			return v
		}
		return 0
	}
	x.counter("process_cpu_seconds_total", "Time of processors used.", (field(14)+field(15))/ticks)
	x.gauge("process_virtual_memory_bytes", "Bytes of addresses in use.", field(23))
	x.gauge("process_resident_memory_bytes", "Bytes of memory in use.", field(24)*float64(os.Getpagesize()))
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		x.gauge("process_open_fds", "Open files.", float64(len(fds)))
	}
	if boot, err := os.ReadFile("/proc/stat"); err == nil {
		_, after, _ := strings.Cut(string(boot), "btime ")
		word, _, _ := strings.Cut(after, "\n")
		if s, err := strconv.ParseFloat(word, 64); err == nil {
			x.gauge("process_start_time_seconds", "When this process started, in seconds since 1970.", s+field(22)/ticks)
		}
	}
}
