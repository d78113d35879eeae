package fleet

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mien/device/fleet"
	"mien/device/queue"
	"mien/device/signal"
)

var (
	benchBoards = flag.Int("boards", 5000, "how many boards BenchmarkFleet simulates")
	benchEvents = flag.Int("events", 20, "how many events each of them has waiting, twice")
	benchKills  = flag.Int("kills", 100, "how often the hub is killed meanwhile, the second time")
)

// perWorker is how many boards a process simulates: each has five files open.
const perWorker = 1250

// BenchmarkFleet measures how many events of many boards a hub keeps in a second: the
// real client, the real queue, TLS, a hub in a process of its own. Then it is killed
// again and again while the same comes once more, and what it kept is read: nothing may
// be missing, out of order or there twice.
func BenchmarkFleet(b *testing.B) {
	m := newMortal(b)
	h := m.hub(b)
	dir := b.TempDir()
	want := map[fleet.ID]uint64{}
	for i := range *benchBoards {
		id := fleet.ID{Site: "site" + strconv.Itoa(i%20), Board: "b" + strconv.Itoa(i)}
		creds, _, err := h.Enrol(id)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, strconv.Itoa(i)+".creds"), creds, 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
		want[id] = uint64(*benchEvents)
	}
	var workers []*worker
	for first := 0; first < *benchBoards; first += perWorker {
		workers = append(workers, newWorker(b, m, dir, first, min(perWorker, *benchBoards-first)))
	}
	begin, hub, own := time.Now(), cpu(m.cmd.Process.Pid), workersCPU(workers)
	all(b, workers, "connect")
	fmt.Printf("%d boards connected in %.1f s; processor time of hub and boards %.1f, %.1f s; load %s\n",
		*benchBoards, time.Since(begin).Seconds(), cpu(m.cmd.Process.Pid)-hub, workersCPU(workers)-own, load())
	hub, own = cpu(m.cmd.Process.Pid), workersCPU(workers)
	begin = time.Now()
	all(b, workers, "tell")
	took := time.Since(begin).Seconds()
	n := float64(*benchBoards * *benchEvents)
	hub, own = cpu(m.cmd.Process.Pid)-hub, workersCPU(workers)-own
	fmt.Printf("%.0f events kept in %.1f s: %.0f a second; %.0f a second of two processors that nothing else uses (hub %.1f, boards %.1f s); load %s\n",
		n, took, n/took, 2*n/(hub+own), hub, own, load())
	fmt.Printf("resident: hub %d MiB, %d boards %d MiB\n", rss(m.cmd.Process.Pid), *benchBoards, workersRSS(workers))
	h.check(b, "SEEN", want)
	b.ReportMetric(n/took, "events/s")
	b.ReportMetric(2*n/(hub+own), "events/s-idle")
	if *benchKills == 0 {
		return
	}
	for id := range want {
		want[id] *= 2
	}
	begin = time.Now()
	told := make(chan struct{})
	go func() {
		all(b, workers, "slow")
		close(told)
	}()
	for range *benchKills {
		time.Sleep(time.Second)
		m.kill(b)
		m.start(b)
	}
	for _, w := range workers {
		fmt.Fprintln(w.in, "rest")
	}
	<-told
	all(b, workers, "empty")
	fmt.Printf("the hub was killed %d times in %.0f s while the same came again\n", *benchKills, time.Since(begin).Seconds())
	m.hub(b).check(b, "SEEN", want)
}

// worker is a process of many boards.
type worker struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func newWorker(t testing.TB, m *mortal, dir string, first, n int) *worker {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{cmd: exec.Command(exe)}
	w.cmd.Env = append(os.Environ(), fmt.Sprintf("FLEET_BOARDS=%s %s %s %d %d %d", m.listen, filepath.Join(m.dir, "ca.pem"), dir, first, n, *benchEvents))
	w.cmd.Stderr = os.Stderr
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.out = bufio.NewScanner(out)
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
	})
	return w
}

// all has each worker do something and waits until all have.
func all(t testing.TB, workers []*worker, what string) {
	for _, w := range workers {
		fmt.Fprintln(w.in, what)
	}
	for _, w := range workers {
		if !w.out.Scan() || w.out.Text() != what {
			t.Errorf("%s: the worker says %q, %v", what, w.out.Text(), w.out.Err())
		}
	}
}

// simulate is the worker's process.
func simulate(what string) error {
	var listen, ca, dir string
	var first, n, events int
	if _, err := fmt.Sscan(what, &listen, &ca, &dir, &first, &n, &events); err != nil {
		return err
	}
	boards := make([]*fleet.Board, n)
	for i := range boards {
		k := first + i
		b, err := fleet.New(fleet.Options{Servers: []string{"tls://" + listen}, CA: ca, Credentials: filepath.Join(dir, strconv.Itoa(k)+".creds"),
			ID: fleet.ID{Site: "site" + strconv.Itoa(k%20), Board: "b" + strconv.Itoa(k)}, Dir: filepath.Join(dir, strconv.Itoa(k)),
			MaxBytes: 1 << 20, Every: time.Hour, Events: []string{fleet.OfTransition}})
		if err != nil {
			return err
		}
		boards[i] = b
	}
	until := func(ok func(queue.Stats) bool) {
		for _, b := range boards {
			for !ok(b.Stats()) {
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
	empty := func(s queue.Stats) bool { return s.Queued == 0 && s.Lost == 0 }
	see := func() {
		for i, b := range boards {
			b.Transition(signal.Transition{Time: time.Now(), Line: "is_happy", Pin: "GPIO26", Active: i%2 == 0, Level: i % 2, Reason: "answer"})
		}
	}
	rest := make(chan struct{})
	var wait sync.WaitGroup
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "connect":
			for _, b := range boards {
				go b.Run(context.Background())
			}
			until(func(s queue.Stats) bool { return s.Sent >= 2 && s.Queued == 0 })
		case "tell":
			for range events {
				see()
			}
			until(func(s queue.Stats) bool { return s.Sent >= uint64(2+events) && empty(s) })
		case "slow": // all through the kills, then what is left at once
			wait.Go(func() {
				for range events {
					see()
					select {
					case <-rest:
					case <-time.After(4 * time.Second):
					}
				}
				fmt.Println("slow")
			})
			continue
		case "rest":
			close(rest)
			continue
		case "empty":
			until(empty)
		}
		fmt.Println(in.Text())
	}
	return nil
}

// cpu is the time that a process has computed, in seconds.
func cpu(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100 // USER_HZ
}

func workersCPU(all []*worker) (s float64) {
	for _, w := range all {
		s += cpu(w.cmd.Process.Pid)
	}
	return s
}

// rss is what a process has resident, in MiB.
func rss(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	var kB int
	if _, err := fmt.Sscan(after, &kB); err != nil {
		return 0
	}
	return kB >> 10
}

func workersRSS(all []*worker) (n int) {
	for _, w := range all {
		n += rss(w.cmd.Process.Pid)
	}
	return n
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "not known"
	}
	return strings.Fields(string(b))[0]
}
