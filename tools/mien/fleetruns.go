package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mien/device/cmdline"
	"mien/runtime/atomicfile"
	"mien/train"
	"mien/train/arch"
	"mien/train/data"
	"mien/train/nn"
	"mien/train/work"
)

// runsOn says who does the runs of a sweep or an experiment.
type runsOn struct {
	hub
	SendData int `help:"With --fleet: data sets of at most that many MiB are sent to workers that lack them." default:"64" placeholder:"MIB" least:"0"`
}

// campaignFile, in the folder of a sweep or an experiment, is what the hub calls
// it while it is under way.
const campaignFile = "campaign"

// How a remoteCall says where its files are.
const (
	fileOf   = "file:"
	archFile = "arch=" + fileOf
	tableOf  = "!" // between a data set's hash and the table in it
)

// trainer is the local one, or the fleet's workers. With what the runs came to,
// end is to be called, which returns it.
func (r *runsOn) trainer(e env, local trainer, out string, specs []string) (by trainer, end func(error) error, err error) {
	if r.Fleet == "" && (r.Credentials != "" || r.CA != "" || r.Cert != "") {
		return by, nil, cmdline.Wrong("--credentials, --ca and --certificate are for --fleet URL: give it too, or leave them out")
	}
	if r.Fleet == "" {
		return local, func(err error) error { return err }, nil
	}
	id, err := campaignID(out)
	if err != nil {
		return by, nil, err
	}
	js, leave, err := r.connect(e)
	if err != nil {
		return by, nil, err
	}
	f := &fleetRuns{say: shared(e.stderr), sets: map[string]string{}, done: map[string]int{}}
	var sets []work.Set
	for _, spec := range specs {
		set, err := r.set(e, f, id, js, spec)
		if err != nil {
			leave()
			return by, nil, err
		}
		sets = append(sets, set)
	}
	if f.campaign, err = work.Begin(e.ctx, js, id, cmdline.Version(stamped), sets); err != nil {
		leave()
		return by, nil, err
	}
	watched := make(chan struct{})
	go f.watch(e, sets, watched)
	return trainer{f.train, maxAtOnce}, func(err error) error {
		defer leave()
		close(watched)
		if err != nil {
			fmt.Fprintf(f.say, "workers go on with what is queued; the same command takes it up\n")
			return errors.Join(err, f.campaign.Close())
		}
		f.tell()
		return errors.Join(f.campaign.End(e.ctx), os.Remove(filepath.Join(out, campaignFile)))
	}, nil
}

// maxAtOnce bounds the runs that a campaign offers at once: of those that wait,
// the hub holds the folders.
const maxAtOnce = 256

// campaignID is the campaign's name, made when it begins.
func campaignID(out string) (string, error) {
	path := filepath.Join(out, campaignFile)
	b, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return strings.TrimSpace(string(b)), err
	}
	id := rand.Text()
	return id, errors.Join(os.MkdirAll(out, 0o755), atomicfile.Write(path, []byte(id+"\n")))
}

// set names a data set by what is in it, and sends it when it is small.
func (r *runsOn) set(e env, f *fleetRuns, id string, js stream, spec string) (work.Set, error) {
	folder, table, err := data.Content(spec)
	if err != nil {
		return work.Set{}, err
	}
	size, err := work.Size(folder)
	if err != nil {
		return work.Set{}, err
	}
	hash, err := work.Hash(folder)
	if err != nil {
		return work.Set{}, err
	}
	kind, _, _ := strings.Cut(spec, ":")
	f.sets[spec] = kind + ":" + hash
	if table != "" {
		f.sets[spec] += tableOf + table
	}
	set := work.Set{Hash: hash, Say: spec, Sent: size <= int64(r.SendData)<<20}
	if set.Sent {
		return set, work.SendSet(e.ctx, js, id, set, folder)
	}
	return set, nil
}

// fleetRuns has runs done by the workers of a fleet.
type fleetRuns struct {
	campaign *work.Campaign
	say      io.Writer
	sets     map[string]string // KIND:HASH, by KIND:DIR

	mu    sync.Mutex
	done  map[string]int // runs, by worker
	other string         // a worker of another kind of CPU that was told of
}

// train has a run done.
func (f *fleetRuns) train(e env, c *trainCmd) error {
	call, files, err := f.remote(e, c)
	if err != nil {
		return err
	}
	b, err := json.Marshal(call)
	if err != nil {
		return err
	}
	run, worker := filepath.Base(c.Out), ""
	o, err := f.campaign.Do(e.ctx, work.Task{Run: run, Call: b, Files: files}, c.Out, func(o work.Outcome) {
		if o.Worker != worker {
			worker = o.Worker
			fmt.Fprintf(f.say, "%s is with %s\n", run, worker)
		}
	})
	if err != nil {
		return err
	}
	f.count(o)
	if o.Status != 0 {
		return &failedRun{o.Status, o.Said}
	}
	return nil
}

func (f *fleetRuns) count(o *work.Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done[o.Worker]++
	if o.CPU != nn.CPU() && f.other == "" {
		f.other = o.Worker
		fmt.Fprintf(f.say, "warning: %s computes with %s, this machine with %s: last digits may differ from those of runs done here\n", o.Worker, o.CPU, nn.CPU())
	}
}

// tell says who did how much.
func (f *fleetRuns) tell() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range slices.Sorted(maps.Keys(f.done)) {
		fmt.Fprintf(f.say, "%s by %s\n", cmdline.Count(f.done[w], "run"), w)
	}
}

// watch says now and then what keeps the runs waiting.
func (f *fleetRuns) watch(e env, sets []work.Set, done <-chan struct{}) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		waiting, underWay, err := f.campaign.Queue(e.ctx)
		if err != nil || waiting == 0 || underWay > 0 {
			continue
		}
		fmt.Fprintf(f.say, "%s waiting, and no worker takes them. A worker is mien worker --fleet, of this version, and has:", cmdline.Count(waiting, "run"))
		for _, s := range sets {
			if !s.Sent {
				fmt.Fprintf(f.say, " %s (%s)", s.Say, s.Hash)
			}
		}
		fmt.Fprintln(f.say)
	}
}

// remote is the call as it travels, and its files.
func (f *fleetRuns) remote(e env, c *trainCmd) (*remoteCall, []work.File, error) {
	r := &remoteCall{*c}
	r.Threads, r.Answers = 0, ""
	r.Data, r.Teacher = nil, nil
	var files []work.File
	send := func(path string) (string, error) {
		hash, err := f.campaign.Send(e.ctx, path)
		// With the folder that it is in, which names the run that it comes from.
		name := filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
		files = append(files, work.File{Name: name, SHA256: hash})
		return hash, err
	}
	for _, spec := range c.Data {
		r.Data = append(r.Data, f.sets[spec])
	}
	for _, t := range c.Teacher {
		path, heads := train.CutTeacher(t)
		hash, err := send(path)
		if err != nil {
			return nil, nil, err
		}
		r.Teacher = append(r.Teacher, train.WithHeads(hash, heads))
	}
	if c.From != "" {
		hash, err := send(c.From)
		if err != nil {
			return nil, nil, err
		}
		r.From = hash
	}
	recipe, err := train.LoadRecipe(c.Recipe, c.Set)
	if err != nil {
		return nil, nil, err
	}
	if !arch.Carried(recipe.Arch) {
		hash, err := send(recipe.Arch)
		if err != nil {
			return nil, nil, err
		}
		r.Set = append(slices.Clone(c.Set), archFile+hash)
	}
	if filepath.Ext(c.Recipe) != "" {
		hash, err := send(c.Recipe)
		if err != nil {
			return nil, nil, err
		}
		r.Recipe = fileOf + hash
	}
	return r, files, nil
}

// sharedWriter is for several goroutines.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func shared(w io.Writer) io.Writer { return &sharedWriter{w: w} }

func (s *sharedWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}
