package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mien/camera/replay/portrait"
	"mien/runtime/zoo"
)

// recording writes a y4m file of 640x480 pixels: two seconds of a room with
// two faces in it.
func recording(t testing.TB) string {
	t.Helper()
	room := image.NewGray(image.Rect(0, 0, 640, 480))
	for i := range room.Pix {
		room.Pix[i] = byte(96 + i%640/16)
	}
	src := portrait.Gray()
	for y := range 240 {
		for x := range 240 { // half as large, twice
			v := src.GrayAt(src.Rect.Min.X+2*x, src.Rect.Min.Y+2*y)
			room.SetGray(40+x, 120+y, v)
			room.SetGray(360+x, 120+y, v)
		}
	}
	var out bytes.Buffer
	out.WriteString("YUV4MPEG2 W640 H480 F30:1 Cmono\n")
	for range 60 {
		out.WriteString("FRAME\n")
		out.Write(room.Pix)
	}
	return write(t, "room.y4m", out.Bytes())
}

// built is the whole program, as it is shipped for a workstation, with the model
// inside it.
func built(t testing.TB) (program, movie string) {
	t.Helper()
	if len(zoo.Default()) == 0 {
		t.Fatal("this build has no model inside")
	}
	program = filepath.Join(t.TempDir(), "miend")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return program, recording(t)
}

// The program never takes more than 64 MiB.
func TestMemory(t *testing.T) {
	program, movie := built(t)
	_, peak := life(t, program, movie)
	t.Logf("at most %.1f MiB resident", float64(peak)/(1<<20))
	if peak == 0 || peak > 64<<20 {
		t.Errorf("%d bytes resident, 64 MiB should do", peak)
	}
}

// BenchmarkStart is the time from the program's start to its first reading of
// two faces.
func BenchmarkStart(b *testing.B) {
	program, movie := built(b)
	var all, worst time.Duration
	for range b.N {
		first, _ := life(b, program, movie)
		all, worst = all+first, max(worst, first)
	}
	b.ReportMetric(all.Seconds()/float64(b.N), "s/first-reading")
	b.ReportMetric(worst.Seconds(), "s/worst")
}

// life runs the program for a hundred readings: how long until the first, and
// the most memory that it had.
func life(t testing.TB, program, movie string) (first time.Duration, peak int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cfg := write(t, "bars.yaml", []byte(fmt.Sprintf("camera: {source: \"replay:%s\", loop: true}\nstatus: {listen: %q}\nmqtt: {queue: %s}\n", movie, addr, t.TempDir())))
	var log bytes.Buffer
	cmd := exec.Command(program, "run", "--config", cfg)
	cmd.Stderr = &log
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for end := begin.Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) { // the API answers so many questions only
		if first == 0 {
			if seq, faces := look(addr); seq > 0 && faces == 2 {
				first = time.Since(begin)
			}
		} else if frames(addr) >= 100 {
			return first, highWater(cmd.Process.Pid)
		}
		if time.Now().After(end) {
			t.Fatalf("no reading of two faces, or fewer than a hundred readings, in two minutes:\n%s", log.String())
		}
	}
}

// get reads JSON from the program's API; an answer that is not there yet is
// none.
func get(addr, path string, into any) {
	r, err := http.Get("http://" + addr + path)
	if err != nil {
		return
	}
	defer r.Body.Close()
	_ = json.NewDecoder(r.Body).Decode(into)
}

func look(addr string) (seq uint64, faces int) {
	var r struct {
		Seq   uint64
		Faces []json.RawMessage
	}
	get(addr, "/v1/readings", &r)
	return r.Seq, len(r.Faces)
}

func frames(addr string) uint64 {
	var s struct{ Health struct{ Frames uint64 } }
	get(addr, "/v1/status", &s)
	return s.Health.Frames
}

// highWater is the most memory that a process has had resident so far, 0 when
// it has ended.
func highWater(pid int) int {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	words := strings.Fields(after)
	if len(words) == 0 {
		return 0
	}
	kB, err := strconv.Atoi(words[0])
	if err != nil {
		return 0
	}
	return kB << 10
}
