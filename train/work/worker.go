package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mien/runtime/atomicfile"
	"mien/train"
)

// tries is how often a run is begun that comes to no checkpoint: after that it is
// the run, and not its workers.
const tries = 5

// campaigns is the folder, within a worker's own, of what campaigns need; sets
// lie beside it.
const campaigns = "campaigns"

// Worker does runs, one at a time.
type Worker struct {
	Name    string
	Version string            // campaigns of another one are left alone
	CPU     string            // its kind
	Dir     string            // for what it fetches; its own
	Sets    map[string]string // folders of its data sets, by hash
	// Do does a run in its folder until it has ended or ctx has. An error is the
	// worker's own trouble: another one may do the run.
	Do func(ctx context.Context, j Job) (*Outcome, error)
	// Tell hears what goes on.
	Tell func(format string, args ...any)
}

// Job is a task with all that it needs in place.
type Job struct {
	Task
	Dir   string            // of the run; it may hold a part of it
	Files map[string]string // paths, by hash
	Sets  map[string]string // folders, by hash
}

// Serve takes work until ctx ends. What it is at then is saved and goes back.
func (w *Worker) Serve(ctx context.Context, js jetstream.JetStream) error {
	s, err := store(ctx, js)
	if err != nil {
		return err
	}
	told := map[string]string{} // why a campaign was left alone
	for ctx.Err() == nil {
		worked, err := w.round(ctx, js, s, told)
		if err != nil && ctx.Err() == nil {
			w.Tell("%v", err)
		}
		if !worked {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// round offers a hand to each campaign once.
func (w *Worker) round(ctx context.Context, js jetstream.JetStream, s jetstream.ObjectStore, told map[string]string) (worked bool, err error) {
	stream, err := js.Stream(ctx, Stream)
	if err != nil {
		return false, fmt.Errorf("work: stream %s: %w", Stream, err)
	}
	var infos []*jetstream.ConsumerInfo
	all := stream.ListConsumers(ctx)
	for info := range all.Info() {
		infos = append(infos, info)
	}
	if err := all.Err(); err != nil {
		return false, fmt.Errorf("work: %w", err)
	}
	for _, info := range infos {
		sets, why := w.suits(info.Config.Metadata)
		if why != told[info.Name] {
			told[info.Name] = why
			if why != "" {
				w.Tell("campaign %s is left alone: %s", info.Name, why)
			}
		}
		if why != "" || info.NumPending+uint64(info.NumAckPending) == 0 {
			continue
		}
		cons, err := stream.Consumer(ctx, info.Name)
		if err != nil {
			return worked, fmt.Errorf("work: %w", err)
		}
		batch, err := cons.Fetch(1, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return worked, fmt.Errorf("work: %w", err)
		}
		for msg := range batch.Messages() {
			worked = true
			if err := w.take(ctx, s, info.Name, sets, msg); err != nil {
				return true, err
			}
		}
	}
	return worked, w.tidy(infos)
}

// tidy removes what campaigns have left that are over.
func (w *Worker) tidy(infos []*jetstream.ConsumerInfo) error {
	left, err := os.ReadDir(filepath.Join(w.Dir, campaigns))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("work: %w", err)
	}
	for _, d := range left {
		if slices.ContainsFunc(infos, func(i *jetstream.ConsumerInfo) bool { return i.Name == d.Name() }) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(w.Dir, campaigns, d.Name())); err != nil {
			return fmt.Errorf("work: %w", err)
		}
	}
	return nil
}

// suits says which sets a campaign needs, or why it is nothing for this worker.
func (w *Worker) suits(meta map[string]string) (sets []Set, why string) {
	if v := meta[metaVersion]; v != w.Version {
		return nil, fmt.Sprintf("it is of mien %s, this is %s", v, w.Version)
	}
	if err := json.Unmarshal([]byte(meta[metaSets]), &sets); err != nil {
		return nil, "it says nothing of its data sets"
	}
	for _, set := range sets {
		if w.Sets[set.Hash] == "" && !set.Sent {
			return nil, fmt.Sprintf("it needs %s (%s), which is not here", set.Say, set.Hash)
		}
	}
	return sets, ""
}

// take does one run, from what the store has of it to what it will have.
func (w *Worker) take(ctx context.Context, s jetstream.ObjectStore, campaign string, sets []Set, msg jetstream.Msg) error {
	alive, stop := context.WithCancel(ctx)
	defer stop()
	go stay(alive, msg)

	var t Task
	if err := json.Unmarshal(msg.Data(), &t); err != nil {
		return errors.Join(fmt.Errorf("work: message %s: %w", msg.Subject(), err), msg.Term())
	}
	name := runObject(campaign, msg.Subject()[strings.LastIndexByte(msg.Subject(), '.')+1:])
	info, err := s.GetInfo(ctx, name)
	if missing(err) {
		return msg.Term() // its campaign has ended
	}
	if err != nil {
		return fmt.Errorf("work: run %s: %w", t.Run, err)
	}
	before, err := outcome(info)
	if err != nil {
		return err
	}
	if before.ended {
		return msg.Ack() // who did it was killed before it said so
	}
	place, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("work: %w", err)
	}
	job, err := w.prepare(ctx, s, campaign, name, sets, t)
	if err != nil {
		return errors.Join(err, msg.NakWithDelay(time.Second))
	}
	r := &ship{w: w, store: s, name: name, run: t.Run, dir: job.Dir, begun: place.NumDelivered}
	if r.begun > before.begun+tries {
		return r.end(ctx, msg, &Outcome{Status: 1, Said: fmt.Sprintf("it was begun %d times and came to no checkpoint: its workers died of it", tries)})
	}
	w.Tell("%s of %s", t.Run, campaign)
	o, err := r.along(ctx, job)
	switch {
	case ctx.Err() != nil: // whoever goes on begins here
		return errors.Join(r.keep(context.WithoutCancel(ctx), &Outcome{}), msg.Nak())
	case err == nil:
		return r.end(ctx, msg, o)
	case r.begun < before.begun+tries:
		return errors.Join(fmt.Errorf("work: %s goes to another worker: %w", t.Run, err), msg.NakWithDelay(time.Second))
	}
	return r.end(ctx, msg, &Outcome{Status: 1, Said: err.Error()})
}

// stay says now and then that the run is being worked at.
func stay(ctx context.Context, msg jetstream.Msg) {
	tick := time.NewTicker(patience / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = msg.InProgress() // a hub that is away hears the next one
		}
	}
}

// prepare fetches what the run needs.
func (w *Worker) prepare(ctx context.Context, s jetstream.ObjectStore, campaign, name string, sets []Set, t Task) (Job, error) {
	j := Job{Task: t, Dir: filepath.Join(w.Dir, campaigns, campaign, "runs", filepath.Base(t.Run)), Files: map[string]string{}, Sets: map[string]string{}}
	maps.Copy(j.Sets, w.Sets)
	if err := os.RemoveAll(j.Dir); err != nil {
		return j, fmt.Errorf("work: %w", err)
	}
	if err := get(ctx, s, name, j.Dir); err != nil {
		return j, err
	}
	for _, set := range sets {
		if j.Sets[set.Hash] != "" {
			continue
		}
		dir := filepath.Join(w.Dir, "data", strings.NewReplacer(":", "-", "/", "_").Replace(set.Hash))
		if had, err := Hash(dir); err != nil || had != set.Hash {
			if err := errors.Join(os.RemoveAll(dir), get(ctx, s, dataObject(campaign, set.Hash), dir)); err != nil {
				return j, err
			}
			if had, err = Hash(dir); err != nil || had != set.Hash {
				return j, errors.Join(err, fmt.Errorf("work: the data set that came is %s, not %s", had, set.Hash))
			}
		}
		j.Sets[set.Hash] = dir
	}
	for _, f := range t.Files {
		name, err := filepath.Localize(f.Name)
		if err != nil {
			return j, fmt.Errorf("work: file %q: %w", f.Name, err)
		}
		path := filepath.Join(w.Dir, campaigns, campaign, "files", f.SHA256, name)
		if _, err := os.Stat(path); err != nil {
			if err := fetch(ctx, s, fileObject(campaign, f.SHA256), path); err != nil {
				return j, err
			}
		}
		j.Files[f.SHA256] = path
	}
	return j, nil
}

// fetch puts an object, which the store's own hash vouches for, at path.
func fetch(ctx context.Context, s jetstream.ObjectStore, name, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("work: %w", err)
	}
	o, err := s.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("work: fetch %s: %w", name, err)
	}
	err = atomicfile.Replace(path, func(to io.Writer) error {
		_, err := io.Copy(to, o)
		return err
	})
	return errors.Join(err, o.Close())
}

// ship brings a run's folder to the store.
type ship struct {
	w     *Worker
	store jetstream.ObjectStore
	name  string // of the object
	run   string
	dir   string
	begun uint64    // how often
	saved time.Time // the checkpoint that was stored last
}

// along does the run, and stores each checkpoint that it makes.
func (r *ship) along(ctx context.Context, j Job) (*Outcome, error) {
	r.saved = r.checkpoint()
	type result struct {
		o   *Outcome
		err error
	}
	done := make(chan result, 1)
	go func() {
		o, err := r.w.Do(ctx, j)
		done <- result{o, err}
	}()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case x := <-done:
			return x.o, x.err
		case <-look.C:
			if at := r.checkpoint(); at.After(r.saved) {
				if err := r.keep(ctx, &Outcome{}); err != nil {
					r.w.Tell("%s goes on, its checkpoint is not stored: %v", r.run, err)
					continue
				}
				r.saved = at
			}
		}
	}
}

// checkpoint is when the run was last saved.
func (r *ship) checkpoint() time.Time {
	info, err := os.Stat(filepath.Join(r.dir, train.LastFile))
	if err != nil {
		return time.Time{} // not yet
	}
	return info.ModTime()
}

// keep puts the folder, and how far it is, in the place of the object.
func (r *ship) keep(ctx context.Context, o *Outcome) error {
	o.Worker, o.CPU, o.begun = r.w.Name, r.w.CPU, r.begun
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return put(ctx, r.store, jetstream.ObjectMeta{Name: r.name, Description: r.run, Metadata: o.meta()},
		func(w io.Writer) error { return pack(w, r.dir) })
}

// end stores what the run left, until the hub has it, and is done with the task.
func (r *ship) end(ctx context.Context, msg jetstream.Msg, o *Outcome) error {
	o.ended = true
	for {
		err := r.keep(ctx, o)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return err
		}
		r.w.Tell("%s is done and waits for the hub: %v", r.run, err)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
	r.w.Tell("%s is done", r.run)
	return errors.Join(msg.Ack(), os.RemoveAll(r.dir))
}
