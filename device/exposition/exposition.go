// Package exposition writes metrics in the text format of Prometheus, version
// 0.0.4. The library that Prometheus has for this brings protocol buffers, a sixth
// of the firmware.
package exposition

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
)

// Text collects metrics.
type Text struct{ bytes.Buffer }

// Send answers with what was collected, and with what Go and the kernel know of
// this process.
func (x *Text) Send(w http.ResponseWriter) {
	x.language()
	x.process()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(x.Bytes()) // a client that has gone is no news
}

// Family begins a metric of several samples.
func (x *Text) Family(kind, name, help string) {
	fmt.Fprintf(x, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

var escaped = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// Sample writes one value with its labels: name, value, name, value.
func (x *Text) Sample(name string, v float64, labels ...string) {
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

// Gauge writes a metric of one sample, which goes up and down.
func (x *Text) Gauge(name, help string, v float64) {
	x.Family("gauge", name, help)
	x.Sample(name, v)
}

// Counter writes a metric of one sample, which only goes up.
func (x *Text) Counter(name, help string, v float64) {
	x.Family("counter", name, help)
	x.Sample(name, v)
}

// One is 1 for true.
func One(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// language writes what Go knows of itself, under the names that Prometheus's
// own library gives it.
func (x *Text) language() {
	v := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(v)
	x.Gauge("go_goroutines", "Goroutines that exist.", float64(runtime.NumGoroutine()))
	x.Gauge("go_memstats_heap_alloc_bytes", "Bytes of objects on the heap, dead ones not yet freed among them.", float64(v[0].Value.Uint64()))
	x.Gauge("go_memstats_sys_bytes", "Bytes of memory that Go has from the system.", float64(v[1].Value.Uint64()))
	x.Counter("go_gc_cycles_total", "Garbage collections completed.", float64(v[2].Value.Uint64()))
	x.Family("gauge", "go_info", "The version of Go that built this program.")
	x.Sample("go_info", 1, "version", runtime.Version())
}

// Of Linux: ticks of the clock in a second as /proc counts them on every
// system, and the first of the fields of /proc/self/stat that follow the name.
const (
	ticks     = 100
	firstStat = 3
)

// process writes what the kernel knows of this process; nothing where
// there is no /proc. See proc_pid_stat(5).
func (x *Text) process() {
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
	x.Counter("process_cpu_seconds_total", "Time of processors used.", (field(14)+field(15))/ticks)
	x.Gauge("process_virtual_memory_bytes", "Bytes of addresses in use.", field(23))
	x.Gauge("process_resident_memory_bytes", "Bytes of memory in use.", field(24)*float64(os.Getpagesize()))
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		x.Gauge("process_open_fds", "Open files.", float64(len(fds)))
	}
	if boot, err := os.ReadFile("/proc/stat"); err == nil {
		_, after, _ := strings.Cut(string(boot), "btime ")
		word, _, _ := strings.Cut(after, "\n")
		if s, err := strconv.ParseFloat(word, 64); err == nil {
			x.Gauge("process_start_time_seconds", "When this process started, in seconds since 1970.", s+field(22)/ticks)
		}
	}
}
