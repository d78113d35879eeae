// Soak runs miend for a while as the field treats it, all at once and on
// loopback alone: a broker that stops, a configuration that is taken over again
// and again, a camera that fails in every way it knows. It judges what the
// device said meanwhile: no line change may be lost on its way to the broker,
// no wire may break the contract, memory, files and goroutines stay flat.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	minutes := flag.Float64("minutes", 15, "how long")
	miend := flag.String("miend", "", "the program to try")
	flag.Parse()
	dir, err := os.MkdirTemp("", "soak")
	if err == nil {
		err = soak(context.Background(), *miend, dir, time.Duration(*minutes*float64(time.Minute)), os.Stdout)
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// Bars.
const (
	warm      = time.Minute // from then on memory is flat
	mostRSS   = 10 << 20    // bytes of growth
	mostFiles = 2           // open files more than when warm
	mostTasks = 4           // goroutines more than when warm
)

// bench is everything that plays a part.
type bench struct {
	dir    string
	out    io.Writer
	cam    *cam
	broker *broker
	judge  *judge
	page   string
	proc   *exec.Cmd
	ended  chan error
	conf   string
	hups   int
	stops  int
}

func soak(ctx context.Context, miend, dir string, long time.Duration, out io.Writer) (err error) {
	b := &bench{dir: dir, out: out, judge: newJudge(), cam: newCam()}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.start(ctx, miend); err != nil {
		return err
	}
	begun, end := time.Now(), time.Now().Add(long)
	if err := b.calm(); err != nil {
		return err
	}
	tell := func(what string, u usage) {
		fmt.Fprintf(out, "%6.1f min  %-8s  %5.1f MiB  %3d files  %3d goroutines  %d frames  %d SIGHUPs  %d broker stops  %d camera faults\n",
			time.Since(begun).Minutes(), what, float64(u.rss)/(1<<20), u.files, u.tasks, u.frames, b.hups, b.stops, b.cam.count())
	}
	var first, worst usage
	r := rand.New(rand.NewPCG(uint64(begun.UnixNano()), 1))
	for look := time.Now(); time.Now().Before(end); {
		if err := b.trouble(r); err != nil {
			return err
		}
		if time.Since(look) < 10*time.Second {
			continue
		}
		look = time.Now()
		u, err := b.usage()
		if err != nil {
			return err
		}
		if time.Since(begun) < min(warm, long/2) {
			tell("warming", u)
			continue
		}
		if first.rss == 0 {
			if err := b.calm(); err != nil {
				return err
			}
			if first, err = b.usage(); err != nil {
				return err
			}
			tell("warm", first)
			continue
		}
		worst.rss = max(worst.rss, u.rss)
		tell("", u)
	}
	if err := b.calm(); err != nil {
		return err
	}
	last, err := b.usage()
	if err != nil {
		return err
	}
	tell("calm", last)
	var bad []error
	over := func(what string, grew, most int64) {
		if grew > most {
			bad = append(bad, fmt.Errorf("%s grew by %d, at most %d are right", what, grew, most))
		}
	}
	over("memory", max(worst.rss, last.rss)-first.rss, mostRSS)
	over("open files", last.files-first.files, mostFiles)
	over("goroutines", last.tasks-first.tasks, mostTasks)
	return errors.Join(append(bad, b.verdict())...)
}

// start begins broker, ears, camera and miend.
func (b *bench) start(ctx context.Context, miend string) error {
	var err error
	if b.broker, err = startBroker(b.dir, b.judge); err != nil {
		return err
	}
	if err := b.cam.listen(); err != nil {
		return err
	}
	b.page = "127.0.0.1:" + strconv.Itoa(freePort())
	b.conf = filepath.Join(b.dir, "mien.yaml")
	if err := b.configure(0.5); err != nil {
		return err
	}
	b.proc = exec.CommandContext(ctx, miend, "run", "--json", "--config", b.conf)
	lines, err := b.proc.StdoutPipe()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	b.proc.Stderr = log
	if err := b.proc.Start(); err != nil {
		return err
	}
	b.ended = make(chan error, 1)
	go func() {
		b.judge.read(lines, b.judge.said)
		b.ended <- b.proc.Wait()
	}()
	return nil
}

func (b *bench) configure(sure float64) error {
	text := fmt.Sprintf(`name: soak
camera: {source: "http://%s/stream", silence: 2s}
answers: {min_confidence: %.2f}
status: {listen: %s}
mqtt: {broker: "mqtt://127.0.0.1:%d", queue: %s, discovery: homeassistant}
signals:
  pins: simulated
  lines: {ready: {pin: GPIO17}, heartbeat: {pin: GPIO27}, face: {pin: GPIO22}, code0: {pin: GPIO5}, code1: {pin: GPIO6}, code2: {pin: GPIO13}, strobe: {pin: GPIO19}}
`, b.cam.addr, sure, b.page, b.broker.port, filepath.Join(b.dir, "queue"))
	next := b.conf + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, b.conf)
}

// trouble is a moment of trouble.
func (b *bench) trouble(r *rand.Rand) error {
	select {
	case err := <-b.ended:
		b.ended <- err
		log, _ := os.ReadFile(filepath.Join(b.dir, "log"))
		return fmt.Errorf("miend ended (%v): %s", err, log[max(0, len(log)-2000):])
	case <-time.After(time.Duration(50+r.IntN(500)) * time.Millisecond):
	}
	switch p := r.IntN(100); {
	case p < 3:
		b.stops++
		b.broker.stop()
		time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
		return b.broker.begin()
	case p < 8:
		b.cam.fail(faults[r.IntN(len(faults))])
	case p < 20:
		if err := b.configure(0.4 + 0.3*r.Float64()); err != nil {
			return err
		}
		fallthrough
	case p < 80:
		b.hups++
		return b.proc.Process.Signal(syscall.SIGHUP)
	case p < 90:
		b.cam.look(r.IntN(2) == 0)
	}
	return nil
}

// calm waits until all is well: the device reads, and all is sent.
func (b *bench) calm() error {
	b.cam.fail("")
	b.cam.look(true)
	well := 0
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		var s struct {
			Health struct{ Ready bool }
			Lines  []struct{ Fault string }
			Outbox struct {
				Connected bool
				Queued    int
			}
		}
		if b.get("/v1/status", &s) != nil || !s.Health.Ready || !s.Outbox.Connected || s.Outbox.Queued > 5 {
			well = 0
			continue
		}
		if well++; well == 10 {
			return nil
		}
	}
	log, _ := os.ReadFile(filepath.Join(b.dir, "log"))
	return fmt.Errorf("the device does not come to rest: %s", log[max(0, len(log)-2000):])
}

func (b *bench) get(path string, to any) error {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + b.page + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if s, ok := to.(*string); ok {
		text, err := io.ReadAll(resp.Body)
		*s = string(text)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(to)
}

// usage is what the process takes.
type usage struct{ rss, files, tasks, frames int64 }

func (b *bench) usage() (u usage, err error) {
	var text string
	if err := b.get("/metrics", &text); err != nil {
		return u, err
	}
	for name, to := range map[string]*int64{"process_resident_memory_bytes": &u.rss, "process_open_fds": &u.files, "go_goroutines": &u.tasks, "mien_frames_total": &u.frames} {
		_, rest, _ := strings.Cut(text, "\n"+name+" ")
		value, _, _ := strings.Cut(rest, "\n")
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return u, fmt.Errorf("/metrics: %s: %w", name, err)
		}
		*to = int64(f)
	}
	return u, nil
}

// verdict ends miend in order, waits for what is on its way, and judges.
func (b *bench) verdict() error {
	if err := b.proc.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := <-b.ended; err != nil {
		b.ended <- err
		return fmt.Errorf("miend ends with %w", err)
	}
	b.ended <- nil
	for end := time.Now().Add(time.Minute); b.judge.missing() > 0 && time.Now().Before(end); {
		time.Sleep(200 * time.Millisecond)
	}
	return b.judge.verdict(b.out)
}

func (b *bench) close() error {
	if b.proc != nil && b.proc.Process != nil {
		_ = b.proc.Process.Kill()
		<-b.ended
	}
	if b.broker != nil {
		b.broker.close()
	}
	return b.cam.close()
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// broker is a mosquitto that keeps what it has taken over a stop, and ears
// that hear everything of it.
type broker struct {
	dir        string
	port       int
	proc, ears *exec.Cmd
}

func startBroker(dir string, j *judge) (*broker, error) {
	b := &broker{dir: dir, port: freePort()}
	conf := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\nmax_queued_messages 0\nuser root\n", b.port, dir)
	if err := os.WriteFile(filepath.Join(dir, "mosquitto.conf"), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	if err := b.begin(); err != nil {
		return nil, err
	}
	b.ears = exec.Command("mosquitto_sub", "-V", "mqttv5", "-h", "127.0.0.1", "-p", strconv.Itoa(b.port), "-i", "ears", "-c", "-x", "4294967295", "-q", "1", "-t", "mien/soak/transition")
	heard, err := b.ears.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.ears.Start(); err != nil {
		return nil, err
	}
	go j.read(heard, j.heard)
	time.Sleep(time.Second) // the subscription has to stand before the device speaks
	return b, nil
}

func (b *broker) begin() error {
	b.proc = exec.Command("/usr/sbin/mosquitto", "-c", filepath.Join(b.dir, "mosquitto.conf"))
	if err := b.proc.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port)); err == nil {
			return c.Close()
		}
	}
	return errors.New("mosquitto does not start")
}

func (b *broker) stop() {
	_ = b.proc.Process.Signal(syscall.SIGTERM)
	_ = b.proc.Wait()
}

func (b *broker) close() {
	if b.ears != nil && b.ears.Process != nil {
		_ = b.ears.Process.Kill()
		_ = b.ears.Wait()
	}
	b.stop()
}

// judge compares what the device says with what is heard of it, and with the
// contract.
type judge struct {
	mu     sync.Mutex
	sent   map[string]int // line changes that the device told, not yet heard
	total  int
	twice  int
	active map[string]bool
	wrong  []string
}

func newJudge() *judge { return &judge{sent: map[string]int{}, active: map[string]bool{}} }

// change is one line's.
type change struct {
	Event  string    `json:"event"`
	Time   time.Time `json:"time"`
	Line   string    `json:"line"`
	Active bool      `json:"active"`
}

func (c change) key() string { return c.Time.Format(time.RFC3339Nano) + c.Line }

func (j *judge) read(from io.Reader, take func(change)) {
	sc := bufio.NewScanner(from)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var c change
		if json.Unmarshal(sc.Bytes(), &c) == nil && c.Line != "" && c.Line != "heartbeat" {
			take(c)
		}
	}
}

func (j *judge) heard(c change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.sent[c.key()]--; j.sent[c.key()] < -1 {
		j.twice++
	}
}

// said judges a change by the contract's words: nothing rises without ready,
// codes stand while strobe is active, a line changes when it is told to.
func (j *judge) said(c change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.total++
	j.sent[c.key()]++
	switch {
	case j.active[c.Line] == c.Active:
		j.wrong = append(j.wrong, fmt.Sprintf("%s is %v already", c.Line, c.Active))
	case c.Active && c.Line != "ready" && !j.active["ready"]:
		j.wrong = append(j.wrong, c.Line+" rises without ready")
	case strings.HasPrefix(c.Line, "code") && j.active["strobe"]:
		j.wrong = append(j.wrong, c.Line+" changes under strobe")
	}
	j.active[c.Line] = c.Active
}

// missing counts the changes that were told and not heard.
func (j *judge) missing() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, k := range j.sent {
		n += max(k, 0)
	}
	return n
}

func (j *judge) verdict(out io.Writer) error {
	lost := j.missing()
	j.mu.Lock()
	defer j.mu.Unlock()
	for line, on := range j.active {
		if on {
			j.wrong = append(j.wrong, line+" is active at the end")
		}
	}
	fmt.Fprintf(out, "%d line changes, %d lost, %d heard more than twice, %d wrong wires\n", j.total, lost, j.twice, len(j.wrong))
	switch {
	case j.total == 0:
		return errors.New("no line ever changed: nothing was tried")
	case lost > 0:
		return fmt.Errorf("%d of %d line changes were lost", lost, j.total)
	case len(j.wrong) > 0:
		return fmt.Errorf("wires: %s", strings.Join(j.wrong[:min(5, len(j.wrong))], "; "))
	}
	return nil
}
