package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mien/device/fleet"
	"mien/train/work"
)

const (
	// tidyEvery is how often a hub looks for what nobody wants any more.
	tidyEvery = time.Hour
	// leastKept is how long a file is kept in any case, and a part of one: a roll-out
	// puts its file there before it says so.
	leastKept = time.Hour
	// keptRollouts is how many roll-outs are kept that have ended.
	keptRollouts = 50
)

// Tidy removes files for boards that no board has the order to take and no roll-out
// under way names, roll-outs that ended long ago, and what was stored of files whose
// sender was cut off. It returns a line for each file and each such rest, with the
// reason. A board that is away finds what it was ordered to take whenever it is back.
func Tidy(ctx context.Context, js jetstream.JetStream, now time.Time) (removed []string, err error) {
	removed, err = unwanted(ctx, js, now)
	for bucket, stream := range objectStores() {
		cut, failed := cutOff(ctx, js, bucket, stream, now)
		removed, err = append(removed, cut...), errors.Join(err, failed)
	}
	return removed, err
}

// objectStores are the streams behind a hub's stores of files, by the stores' names.
func objectStores() map[string]string {
	all := map[string]string{work.Bucket: work.Objects}
	for _, s := range fleet.Stores {
		if s.Objects {
			all[s.Name] = s.Bucket()
		}
	}
	return all
}

// unwanted removes the files and the roll-outs that nobody wants any more.
func unwanted(ctx context.Context, js jetstream.JetStream, now time.Time) (removed []string, err error) {
	rollouts, err := Rollouts(ctx, js)
	if err != nil {
		return nil, err
	}
	orders, err := allOrders(ctx, js)
	if err != nil {
		return nil, err
	}
	files, follows := map[string]bool{}, map[string]bool{}
	want := func(sum string, canary *fleet.Piece) {
		files[sum] = true
		if canary != nil {
			files[canary.SHA256] = true
		}
	}
	for i := range orders {
		if o := &orders[i]; !o.Leave {
			want(o.SHA256, o.Canary)
			follows[o.Rollout] = true
		}
	}
	ended := 0
	for i := range rollouts { // the newest first
		r := &rollouts[i]
		if !r.State.Ended() {
			want(r.SHA256, r.Canary)
			continue
		}
		if ended++; ended <= keptRollouts || follows[r.Name] {
			continue
		}
		kv, err := js.KeyValue(ctx, fleet.Rollouts)
		if err == nil {
			err = kv.Purge(ctx, r.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("fleet: roll-out %s: %w", r.Name, err)
		}
	}
	store, err := artifacts(ctx, js)
	if err != nil {
		return nil, err
	}
	all, err := store.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("fleet: store %s: %w", fleet.Artifacts, err)
	}
	for _, f := range all {
		if files[f.Name] || now.Sub(f.ModTime) < leastKept {
			continue
		}
		if err := store.Delete(ctx, f.Name); err != nil {
			return removed, fmt.Errorf("fleet: store %s: %s: %w", fleet.Artifacts, f.Description, err)
		}
		removed = append(removed, f.Description+" is removed: no board and no roll-out wants it any more")
	}
	return removed, nil
}

// cutOff removes chunks of a store that are of no object: whoever is killed while it
// sends a file leaves those that it sent. The object's entry, which names its chunks,
// is written after them, so that young ones may still be about to have one.
func cutOff(ctx context.Context, js jetstream.JetStream, name, behind string, now time.Time) (removed []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("fleet: store %s: %w", name, err)
		}
	}()
	stream, err := js.Stream(ctx, behind)
	if err != nil {
		return nil, err
	}
	chunks := "$O." + name + ".C."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(chunks+">"))
	if err != nil {
		return nil, err
	}
	store, err := js.ObjectStore(ctx, name)
	if err != nil {
		return nil, err
	}
	all, err := store.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, err
	}
	for _, o := range all {
		delete(info.State.Subjects, chunks+o.NUID)
	}
	for subject, n := range info.State.Subjects {
		last, err := stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && now.Sub(last.Time) < leastKept {
			continue
		}
		if err == nil {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
		if err != nil {
			return removed, err
		}
		removed = append(removed, fmt.Sprintf("%d chunks in %s are removed: they are of no file, their sender was cut off", n, name))
	}
	return removed, nil
}

// allOrders are what all boards were told last.
func allOrders(ctx context.Context, js jetstream.JetStream) (all []fleet.Order, err error) {
	kv, err := bucket(ctx, js, fleet.Desired)
	if err != nil {
		return nil, err
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("fleet: store %s: %w", fleet.Desired, err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e, open := <-w.Updates():
			if !open {
				return nil, fmt.Errorf("fleet: store %s: the hub stopped telling", fleet.Desired)
			}
			if e == nil { // that was all
				return all, nil
			}
			var o fleet.Order
			if json.Unmarshal(e.Value(), &o) == nil {
				all = append(all, o)
			}
		}
	}
}

// leaveOut has the roll-outs that have ended name a board no more. One that is under
// way still needs its name.
func leaveOut(ctx context.Context, js jetstream.JetStream, id fleet.ID) error {
	kv, err := bucket(ctx, js, fleet.Rollouts)
	if err != nil {
		return err
	}
	all, err := Rollouts(ctx, js)
	if err != nil {
		return err
	}
	var errs []error
	for _, x := range all {
		r, revision, err := readRollout(ctx, kv, x.Name)
		if err != nil {
			return err
		}
		if !slices.Contains(r.Boards, id.String()) {
			continue
		}
		if !r.State.Ended() {
			errs = append(errs, fmt.Errorf("fleet: roll-out %s is under way and names it: forget it again when that has ended", r.Name))
			continue
		}
		r.leaveOut(id.String())
		b, err := json.Marshal(r)
		if err == nil {
			_, err = kv.Update(ctx, r.Name, b, revision)
		}
		if err != nil {
			return fmt.Errorf("fleet: roll-out %s: %w", r.Name, err)
		}
	}
	return errors.Join(errs...)
}

func (r *Rollout) leaveOut(board string) {
	at := slices.Index(r.Boards, board)
	for i, n := range r.Stages {
		if n > at {
			r.Stages[i]--
		}
	}
	is := func(name string) bool { return name == board }
	r.Boards, r.Away, r.Late = slices.DeleteFunc(r.Boards, is), slices.DeleteFunc(r.Away, is), slices.DeleteFunc(r.Late, is)
	r.Progress.Failing = slices.DeleteFunc(r.Progress.Failing, func(f Failure) bool { return f.Board == board })
	r.Why = strings.ReplaceAll(r.Why, " "+board+":", " a board that is forgotten:") // no name holds a space
}
