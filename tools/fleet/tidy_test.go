package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mien/device/fleet"
)

// files are what the store has for boards, by what they are called.
func (h *hub) files(t testing.TB) (names []string) {
	t.Helper()
	store, err := h.js.ObjectStore(t.Context(), fleet.Artifacts)
	if err != nil {
		t.Fatal(err)
	}
	all, err := store.List(t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		t.Fatal(err)
	}
	for _, f := range all {
		names = append(names, f.Description)
	}
	slices.Sort(names)
	return names
}

// A file is kept as long as a board has the order to take it, whether that is there or
// not, or a roll-out that brings it is under way; and any for an hour.
func TestTidy(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	boards := sims(t, h, s, 2)
	start(t, h, boards)
	tidy := func(when time.Duration, want ...string) {
		t.Helper()
		if _, err := Tidy(t.Context(), h.js, time.Now().Add(when)); err != nil {
			t.Error(err)
		}
		if got := h.files(t); !slices.Equal(got, want) {
			t.Errorf("%q are kept, want %q", got, want)
		}
	}
	h.rolledTo(t, s.model(t, 2, "better"))
	third := h.rolledTo(t, s.model(t, 3, "best"))
	if third.State != Done {
		t.Fatalf("%+v", third)
	}
	tidy(0, "v2-better.tflite", "v3-best.tflite")
	tidy(2*time.Hour, "v3-best.tflite")
	known := &fleet.Canary{Faces: []fleet.KnownFace{}}
	fourth, err := h.Begin(t.Context(), h.js, RolloutOptions{File: s.model(t, 4, "new"), Stages: "100%", Rules: rules, Canary: known})
	if err != nil {
		t.Fatal(err)
	}
	tidy(2*time.Hour, "canary of v4-new.tflite", "v3-best.tflite", "v4-new.tflite")
	if err := h.Rollback(t.Context(), h.js, fourth, "me"); err != nil {
		t.Fatal(err)
	}
	h.drive(t, fourth) // whom it had not reached follows the order to leave it, too
	tidy(2 * time.Hour)
}

// Who was killed while it sent a file leaves chunks that are of no object. They go
// after an hour, from every store; those of whole files stay.
func TestTidyCutOff(t *testing.T) {
	h := newHub(t)
	for name, behind := range objectStores() {
		store, err := h.js.ObjectStore(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.PutString(t.Context(), "whole", "all of it"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := h.js.Publish(t.Context(), "$O."+name+".C.killed", []byte("a part")); err != nil {
				t.Fatal(err)
			}
		}
		chunks := func() uint64 {
			s, err := h.js.Stream(t.Context(), behind)
			if err != nil {
				t.Fatal(err)
			}
			info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("$O."+name+".C.>"))
			if err != nil {
				t.Fatal(err)
			}
			return info.State.Subjects["$O."+name+".C.killed"]
		}
		if removed, err := cutOff(t.Context(), h.js, name, behind, time.Now()); err != nil || len(removed) > 0 || chunks() != 3 {
			t.Errorf("%s: of what may be on its way %q is removed, %d chunks are left, %v", name, removed, chunks(), err)
		}
		removed, err := cutOff(t.Context(), h.js, name, behind, time.Now().Add(2*leastKept))
		if err != nil || len(removed) != 1 || !strings.Contains(removed[0], "3 chunks") || chunks() != 0 {
			t.Errorf("%s: %q is removed, %d chunks are left, %v", name, removed, chunks(), err)
		}
		if got, err := store.GetString(t.Context(), "whole"); err != nil || got != "all of it" {
			t.Errorf("%s: the whole file is %q, %v", name, got, err)
		}
	}
}

// Tidying looks into every store of files that a hub makes.
func TestTidyKnowsEveryStore(t *testing.T) {
	h := newHub(t)
	tried := 0
	all := h.js.StreamNames(t.Context())
	for name := range all.Name() {
		store, is := strings.CutPrefix(name, "OBJ_")
		if !is {
			continue
		}
		tried++
		if _, err := h.js.Publish(t.Context(), "$O."+store+".C.killed", []byte("a part")); err != nil {
			t.Fatal(err)
		}
		removed, err := Tidy(t.Context(), h.js, time.Now().Add(2*leastKept))
		if err != nil || len(removed) != 1 || !strings.Contains(removed[0], store) {
			t.Errorf("%s: %q is removed, %v", name, removed, err)
		}
	}
	if err := all.Err(); err != nil || tried < 2 {
		t.Fatalf("%d stores of files are tried, %v", tried, err)
	}
}

// Of roll-outs that have ended the newest are kept, and those that boards follow.
func TestOldRollouts(t *testing.T) {
	h := newHub(t)
	kv, err := h.js.KeyValue(t.Context(), fleet.Rollouts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range keptRollouts + 3 {
		state := Done
		if i == 0 {
			state = Running
		}
		r := fmt.Sprintf(`{"name":"model-%d","state":%q,"begun":"2026-01-01T00:00:%02dZ","sha256":"x%d"}`, i, state, i%60, i)
		if _, err := kv.PutString(t.Context(), fmt.Sprintf("model-%d", i), r); err != nil {
			t.Fatal(err)
		}
	}
	orders, err := h.js.KeyValue(t.Context(), fleet.Desired)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := orders.PutString(t.Context(), hall.Key(), `{"rollout":"model-1"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := Tidy(t.Context(), h.js, time.Now()); err != nil {
		t.Fatal(err)
	}
	all, err := Rollouts(t.Context(), h.js)
	if err != nil || len(all) != keptRollouts+2 || slices.ContainsFunc(all, func(r Rollout) bool { return r.Name == "model-2" }) {
		t.Errorf("%d are left, %v", len(all), err)
	}
}

// A board that is forgotten stands in no roll-out that has ended; in one that is under
// way it stands until that has, which is said.
func TestForgottenInRollouts(t *testing.T) {
	h, s := newHub(t), newSigner(t)
	if err := h.WriteAbout(About{Servers: []string{h.url}, Tools: h.url}); err != nil {
		t.Fatal(err)
	}
	boards := sims(t, h, s, 3)
	start(t, h, boards)
	r := h.rolledTo(t, s.model(t, 2, "bad"))
	at := slices.IndexFunc(boards, func(b *sim) bool { return strings.Contains(r.Why, b.o.ID.String()+":") })
	if r.State != Halted || at < 0 {
		t.Fatalf("%+v", r)
	}
	id := boards[at].o.ID
	quickly := rules
	quickly.Within = time.Second
	begun, err := h.Begin(t.Context(), h.js, RolloutOptions{File: s.model(t, 3, "better"), Stages: "100%", Rules: quickly})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Forget(t.Context(), h.js, id); err == nil || !strings.Contains(err.Error(), begun+" is under way") {
		t.Errorf("under way: %v", err)
	}
	if err := h.Rollback(t.Context(), h.js, begun, "me"); err != nil {
		t.Fatal(err)
	}
	h.drive(t, begun)
	if _, err := h.Forget(t.Context(), h.js, id); err != nil {
		t.Error(err)
	}
	for _, store := range []string{fleet.Rollouts, fleet.Desired} {
		for _, m := range h.stored(t, "KV_"+store, "$KV."+store+".>") {
			if strings.Contains(string(m.Data)+m.Subject, id.Board) { // its "-" is in no base64 of keys and signatures
				t.Errorf("%s: %s", m.Subject, m.Data)
			}
		}
	}
	if err := h.Rollback(t.Context(), h.js, r.Name, "me"); err != nil {
		t.Errorf("what it stood in can be rolled back no more: %v", err)
	}
}

// A name that ends as the one that is forgotten stays.
func TestLeaveOutKeepsOthers(t *testing.T) {
	const why = "1 of 2 boards failed, 0 may: small/door: it did not prove itself"
	r := Rollout{Boards: []string{"mall/door", "small/door"}, Stages: []int{1, 2}, Why: why}
	if r.leaveOut("mall/door"); r.Why != why || !slices.Equal(r.Boards, []string{"small/door"}) || !slices.Equal(r.Stages, []int{0, 1}) {
		t.Errorf("%+v", r)
	}
}
