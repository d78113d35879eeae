package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mien/train"
	"mien/train/work"
)

// hired connects as a machine that trains.
func (h *hub) hired(t *testing.T, name string, more ...nats.Option) jetstream.JetStream {
	t.Helper()
	creds, _, err := h.Hire(name)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "work.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(h.url, append(more, nats.UserCredentials(file), nats.RootCAs(h.path("ca.pem")), nats.CustomInboxPrefix(work.Inbox))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Machines with a worker's credentials do a campaign: each run once, by whoever is
// free, also where a worker fails in the middle, from the last checkpoint; a run
// that fails everywhere fails the campaign and not its workers; and a data set is
// sent to who lacks it.
func TestCampaign(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	set := t.TempDir()
	if err := os.WriteFile(filepath.Join(set, "a.jpg"), []byte("a face"), 0o644); err != nil {
		t.Fatal(err)
	}
	hash, err := work.Hash(set)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	begun, from := map[string]int{}, map[string]string{}
	cut := map[string]bool{}
	do := func(ctx context.Context, j work.Job) (*work.Outcome, error) {
		mu.Lock()
		begun[j.Run]++
		had, _ := os.ReadFile(filepath.Join(j.Dir, train.LastFile))
		from[j.Run] = string(had)
		fails := strings.HasPrefix(j.Run, "cut") && !cut[j.Run]
		cut[j.Run] = true
		mu.Unlock()
		if b, err := os.ReadFile(filepath.Join(j.Sets[hash], "a.jpg")); err != nil || string(b) != "a face" {
			return nil, fmt.Errorf("the set came as %q, %v", b, err)
		}
		if j.Run == "poison" {
			return nil, errors.New("no run of this world")
		}
		if err := os.WriteFile(filepath.Join(j.Dir, train.LastFile), []byte("half"), 0o644); err != nil {
			return nil, err
		}
		time.Sleep(300 * time.Millisecond) // a run; in it the checkpoint is looked for
		if fails {
			return nil, errors.New("the worker's disk is gone")
		}
		return &work.Outcome{}, os.WriteFile(filepath.Join(j.Dir, train.LastFile), []byte("whole"), 0o644)
	}
	serve, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	for _, name := range []string{"one", "two"} {
		w := &work.Worker{Name: name, Version: "v", CPU: "c", Dir: t.TempDir(), Do: do, Tell: func(f string, a ...any) { t.Logf(name+": "+f, a...) }}
		js := h.hired(t, name)
		workers.Go(func() {
			if err := w.Serve(serve, js); err != nil {
				t.Error(err)
			}
		})
	}
	boss := h.hired(t, "boss")
	sets := []work.Set{{Hash: hash, Say: "own:faces", Sent: true}}
	if err := work.SendSet(ctx, boss, "campaign", sets[0], set); err != nil {
		t.Fatal(err)
	}
	c, err := work.Begin(ctx, boss, "campaign", "v", sets)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	by := map[string]int{}
	var runs sync.WaitGroup
	names := []string{"cut-1", "cut-2", "poison"}
	for i := range 18 {
		names = append(names, fmt.Sprint("run-", i))
	}
	for _, name := range names {
		runs.Go(func() {
			o, err := c.Do(ctx, work.Task{Run: name, Call: json.RawMessage(`{}`)}, filepath.Join(out, name), nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			b, _ := os.ReadFile(filepath.Join(out, name, train.LastFile))
			if bad := name == "poison"; bad != (o.Status != 0) || !bad && string(b) != "whole" || bad && !strings.Contains(o.Said, "this world") {
				t.Errorf("%s: %+v, %q", name, o, b)
			}
			mu.Lock()
			by[o.Worker]++
			mu.Unlock()
		})
	}
	runs.Wait()
	t.Logf("runs by worker: %v", by)
	for _, name := range names {
		want := 1
		switch {
		case name == "poison":
			want = 5
		case strings.HasPrefix(name, "cut"):
			want = 2
			if from[name] != "half" {
				t.Errorf("%s began again at %q, not at its checkpoint", name, from[name])
			}
		}
		if begun[name] != want {
			t.Errorf("%s was begun %d times, want %d", name, begun[name], want)
		}
	}
	// Begun again, as after its machine was cut off, it takes what is there.
	again, err := work.Begin(ctx, h.hired(t, "again"), "campaign", "v", sets)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := again.Do(ctx, work.Task{Run: "run-3", Call: json.RawMessage(`{}`)}, filepath.Join(out, "run-3"), nil); err != nil || o.Status != 0 || begun["run-3"] != 1 {
		t.Errorf("%+v, %v, begun %d times", o, err, begun["run-3"])
	}
	if err := errors.Join(again.Close(), c.End(ctx)); err != nil {
		t.Fatal(err)
	}
	stop()
	workers.Wait()
}

// A worker's credentials are good for work alone.
func TestHiredMayNothingElse(t *testing.T) {
	h := newHub(t)
	refused := make(chan error, 8)
	js := h.hired(t, "one", nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	nc := js.Conn()
	tries := 0
	for _, subject := range []string{"mien.>", "_INBOX.hall.door.>", "$JS.EVENT.>"} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		tries++
	}
	for _, subject := range []string{"mien.hall.door.command", "$KV.desired.hall.door", "$O.artifacts.M.x", "$JS.API.STREAM.PURGE.SEEN", "$JS.API.STREAM.DELETE.mien-work"} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		tries++
	}
	for i := range tries {
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d of %d were refused", i, tries)
		}
	}
}
