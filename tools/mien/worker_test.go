package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"mien/tools/fleet"
	"mien/train"
	"mien/train/report"
	"mien/train/sweep"
	"mien/train/work"
)

// workHub is a hub with its queue, in this process: how to get on, and what may
// look into it.
func workHub(t *testing.T) (hub string, join []string, js jetstream.JetStream) {
	t.Helper()
	h, err := fleet.MakeHome(filepath.Join(t.TempDir(), "hub"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Start(fleet.ServerOptions{Listen: "127.0.0.1:0", Hosts: []string{"127.0.0.1"}, Disk: 1 << 30, Sync: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	url := "tls://" + s.Address()
	nc, js, err := h.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if err := errors.Join(fleet.Ensure(t.Context(), js, 1<<30, 1), h.WriteAbout(fleet.About{Servers: []string{url}, Tools: url})); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "trainers")
	line := mustMien(t, "fleet", "hire", "trainers", "--hub", h.Dir, "--out", out)
	return h.Dir, strings.Fields(line)[2:], js
}

// startWorker starts mien worker as a process of its own.
func startWorker(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"worker", "--name", name, "--threads", "1"}, args...)...)
	cmd.Env = append(os.Environ(), "MIEN_TEST_MAIN=1")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	})
	return cmd
}

// under waits until a run has a checkpoint by a worker, which it names.
func under(t *testing.T, js jetstream.JetStream, done <-chan error) {
	t.Helper()
	s, err := js.ObjectStore(context.Background(), work.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Watch(context.Background(), jetstream.IgnoreDeletes())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for {
		select {
		case err := <-done:
			t.Fatalf("it is over before a checkpoint was seen: %v", err)
		case info := <-w.Updates():
			if info != nil && info.Metadata["worker"] == "first" && info.Metadata["status"] == "" {
				return
			}
		case <-time.After(5 * time.Minute):
			t.Fatal("no checkpoint comes")
		}
	}
}

// A sweep by workers of which one is killed in the middle of a trial comes to the
// same, to the bit, as one on this machine; and what the hub held of it is gone.
func TestSweepByWorkers(t *testing.T) {
	fer, _ := drawSet(t)
	t.Setenv("MIEN_TEST_MAIN", "1")
	_, join, js := workHub(t)
	dir := t.TempDir()
	// The folders' names are in what the trials say, and have to be the same.
	out := filepath.Join(dir, "sweep")
	args := []string{"sweep", "--data", "fer2013:" + fer, "--recipe", "edge", "--out", out, "--try", "lr=1e-3,3e-4,1e12", "--threads", "1",
		"--set", "batch=8", "--set", "validation=0.3", "--trials", "3", "--epochs", "4", "--first", "2", "--keep", "2", "--save-every", "1s"}
	var stdout, stderr bytes.Buffer
	if err := run(context.Background(), args, &stdout, &stderr); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	here := filepath.Join(dir, "here")
	if err := os.Rename(out, here); err != nil {
		t.Fatal(err)
	}

	first := startWorker(t, "first", append(join, "--dir", filepath.Join(dir, "workers"))...)
	done := make(chan error, 1)
	var said bytes.Buffer
	go func() { done <- run(context.Background(), append(args, join...), &bytes.Buffer{}, &said) }()
	under(t, js, done)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	startWorker(t, "second", append(join, "--dir", filepath.Join(dir, "workers"), "--data", "fer2013:"+fer)...)
	startWorker(t, "third", append(join, "--dir", filepath.Join(dir, "workers"))...)
	if err := <-done; err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	for _, name := range []string{sweep.StateFile, report.SweepTable, "trial-001/" + train.BestFile, "trial-002/" + train.BestFile} {
		a, err := os.ReadFile(filepath.Join(here, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s is another one; said: %s", name, said.String())
			if len(a) < 1<<14 {
				t.Error(cmp.Diff(string(a), string(b)))
			}
		}
	}
	if !strings.Contains(said.String(), "by second") && !strings.Contains(said.String(), "by third") {
		t.Errorf("it does not say who did what: %s", said.String())
	}
	empty(t, js)
}

// empty: the hub holds nothing of a campaign that is over, once it has tidied up what
// workers were about to store or to remove when they were killed.
func empty(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	if _, err := fleet.Tidy(context.Background(), js, time.Now().Add(24*time.Hour)); err != nil {
		t.Error(err)
	}
	for _, name := range []string{work.Stream, work.Objects} {
		s, err := js.Stream(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		// An object's tombstone stays.
		if info := s.CachedInfo(); info.State.Consumers != 0 && name == work.Stream || info.State.Bytes > 64<<10 {
			t.Errorf("%s holds %+v", name, info.State)
		}
	}
}

// An experiment whose runs come from one another is done by two workers as it is
// here.
func TestExperimentByWorkers(t *testing.T) {
	fer, utk := drawSet(t)
	t.Setenv("MIEN_TEST_MAIN", "1")
	_, join, js := workHub(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "two.yaml")
	const text = `about: Does what came before help?
seeds: [1, 2]
runs:
  - {name: single, recipe: edge, set: [epochs=1, batch=8, validation=0.3, monitor=emotion, losses.age=0, losses.gender=0, losses.race=0], data: [fer2013]}
  - {name: after, recipe: edge, set: [epochs=1, batch=8, validation=0.3, distill=0.5], data: [fer2013, utkface], from: single, teachers: ["single=emotion"]}
compare:
  - {run: after, against: single, head: emotion, data: fer2013}
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	args := func(out string) []string {
		return []string{"experiment", file, "--data", "fer2013:" + fer, "--data", "utkface:" + utk, "--out", filepath.Join(dir, out), "--threads", "1"}
	}
	mustMien(t, args("here")...)
	for i := range 2 {
		startWorker(t, fmt.Sprint("worker-", i), append(join, "--dir", filepath.Join(dir, "workers"), "--data", "utkface:"+utk)...)
	}
	mustMien(t, append(args("there"), join...)...)
	for _, name := range []string{report.ExperimentTable, "after-2/test.json", "after-2/" + train.BestFile, "single-1/" + report.ReportFile, "after-1/" + report.ReportFile} {
		a, err := os.ReadFile(filepath.Join(dir, "here", name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "there", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s is another one", name)
			if len(a) < 1<<14 {
				t.Error(cmp.Diff(string(a), string(b)))
			}
		}
	}
	empty(t, js)
}

// A board is listed from the day that it is enrolled.
func TestFleetLs(t *testing.T) {
	hub, _, _ := workHub(t)
	mustMien(t, "fleet", "enrol", "hall/door", "--hub", hub, "--out", t.TempDir())
	if out := mustMien(t, "fleet", "ls", "--hub", hub); !strings.Contains(out, "BOARD") || !strings.Contains(out, "hall/door  never heard of") {
		t.Errorf("it lists\n%s", out)
	}
	want := `[{"site":"hall","board":"door","health":null,"counts":null,"hour":null,"state":"never heard of","rates":{"with_face":null,"uncertain":null},"drift":[],` +
		`"troubles":[{"kind":"new","text":"has never been heard of"}]}]` + "\n"
	if out := mustMien(t, "fleet", "ls", "--hub", hub, "--json"); out != want {
		t.Errorf("it lists\n%s, want\n%s", out, want)
	}
}

// A change is told while it is news, one line each.
func TestFleetWatch(t *testing.T) {
	hub, _, _ := workHub(t)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"fleet", "watch", "--hub", hub, "--json"}, in, io.Discard) }()
	// Whoever is enrolled before the first look is no news: ever new boards are.
	enrol := time.NewTicker(500 * time.Millisecond)
	defer enrol.Stop()
	line := make(chan string)
	go func() {
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- s
	}()
	for i := 0; ; i++ {
		select {
		case s := <-line:
			var c fleet.Change
			if err := json.Unmarshal([]byte(s), &c); err != nil || c.Site != "hall" || c.What != "enrolled" || c.Now != "yes" {
				t.Errorf("%q: %v", s, err)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			return
		case <-enrol.C:
			mustMien(t, "fleet", "enrol", fmt.Sprint("hall/door", i), "--hub", hub, "--out", t.TempDir())
		case <-time.After(time.Minute):
			t.Fatal("nothing is told")
		}
	}
}

// The arguments of a call stand for the call.
func TestArgsOfATraining(t *testing.T) {
	want := trainCmd{Recipe: "edge", Data: []string{"utkface:a", "fer2013:b"}, Out: "o", Epochs: 3, Limit: 4, Resume: true, From: "f", Teacher: []string{"t=age,gender"},
		Answers: "a", Head: []string{"smile=yes,no"}, Strict: true, Set: []string{"batch=8"}, Threads: 2, StopAfter: 1, SaveEvery: time.Minute, Chain: "c.yaml"}
	for i := range reflect.TypeFor[trainCmd]().NumField() {
		if f := reflect.TypeFor[trainCmd]().Field(i); f.IsExported() && reflect.ValueOf(want).Field(i).IsZero() {
			t.Errorf("%s is not tried", f.Name)
		}
	}
	var got struct {
		Train trainCmd `cmd:""`
	}
	k, err := kong.New(&got, program().Vars)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Parse(want.args()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got.Train, cmp.AllowUnexported(trainCmd{})); d != "" {
		t.Error(d)
	}
}
