package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mien/device/cmdline"
	"mien/runtime/lockfile"
	"mien/train"
	"mien/train/data"
	"mien/train/nn"
	"mien/train/work"
)

type workerCmd struct {
	hub
	Data    []string `help:"Data set that is here, as KIND:DIR; repeat for several. Small ones come by themselves." placeholder:"KIND:DIR" sep:"none" check:"data"`
	Name    string   `help:"What the campaigns call this worker. By default the machine's name and the process." placeholder:"NAME"`
	Dir     string   `help:"Folder for runs and for what comes with them. By default one in the cache." placeholder:"DIR"`
	Threads int      `help:"Threads; 0 means one for each CPU." least:"0"`
}

func (c *workerCmd) Run(e env) error {
	if c.Fleet == "" {
		return cmdline.Wrong("mien worker needs --fleet URL: whose work is it to do?")
	}
	dir, lock, err := c.folder()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }() // closing a file that only names its owner
	say := shared(e.stderr)
	w := &work.Worker{Name: c.Name, Version: cmdline.Version(stamped), CPU: nn.CPU(), Dir: dir, Sets: map[string]string{},
		Tell: func(format string, args ...any) { fmt.Fprintf(say, format+"\n", args...) },
		Do:   func(ctx context.Context, j work.Job) (*work.Outcome, error) { return c.do(ctx, e, j) }}
	if w.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		w.Name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	for _, spec := range c.Data {
		folder, _, err := data.Content(spec)
		if err != nil {
			return err
		}
		hash, err := work.Hash(folder)
		if err != nil {
			return err
		}
		w.Sets[hash] = folder
		w.Tell("has %s: %s", spec, hash)
	}
	js, leave, err := c.connect(e)
	if err != nil {
		return err
	}
	defer leave()
	w.Tell("worker %s, %s, waits for work at %s", w.Name, w.CPU, c.Fleet)
	return w.Serve(e.ctx, js)
}

// folder is one that no other worker of this machine is in.
func (c *workerCmd) folder() (string, *lockfile.Lock, error) {
	above := c.Dir
	if above == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", nil, err
		}
		above = filepath.Join(cache, "mien", "worker")
	}
	for i := 1; ; i++ {
		dir := filepath.Join(above, strconv.Itoa(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", nil, err
		}
		lock, err := lockfile.Take(filepath.Join(dir, lockfile.Name), 0)
		var held *lockfile.HeldError
		if errors.As(err, &held) {
			continue
		}
		return dir, lock, err
	}
}

// do is a run of a campaign, in a process of its own.
func (c *workerCmd) do(ctx context.Context, e env, j work.Job) (*work.Outcome, error) {
	var call remoteCall
	if err := json.Unmarshal(j.Call, &call); err != nil {
		return nil, fmt.Errorf("run %s: %w", j.Run, err)
	}
	run, err := call.on(j)
	if err != nil {
		return nil, err
	}
	run.Threads, run.Answers = c.Threads, filepath.Join(j.Dir, "..", "answers")
	e.ctx = ctx
	err = child(e, run)
	var failed *failedRun
	switch {
	case err == nil:
		return &work.Outcome{}, nil
	case errors.As(err, &failed) && failed.status == exitDiverged:
		// Where it was is nobody's business: it reads as it would have there.
		return &work.Outcome{Status: failed.status, Said: strings.ReplaceAll(failed.said, j.Dir, call.Out)}, nil
	}
	return nil, err
}

// remoteCall is a call of train that travels: data sets, by KIND:HASH, and files
// go by hashes. Out is where the run will lie.
type remoteCall struct{ trainCmd }

// on is the call on the worker.
func (r *remoteCall) on(j work.Job) (*trainCmd, error) {
	c := r.trainCmd
	c.Out = j.Dir
	file := func(hash string) string { return j.Files[hash] }
	c.Data, c.Teacher, c.Set = nil, nil, nil
	for _, spec := range r.Data {
		kind, rest, _ := strings.Cut(spec, ":")
		hash, table, _ := strings.Cut(rest, tableOf)
		if j.Sets[hash] == "" {
			return nil, fmt.Errorf("run %s: the campaign does not name data set %s", j.Run, hash)
		}
		c.Data = append(c.Data, kind+":"+filepath.Join(j.Sets[hash], table))
	}
	for _, t := range r.Teacher {
		hash, heads := train.CutTeacher(t)
		c.Teacher = append(c.Teacher, train.WithHeads(file(hash), heads))
	}
	for _, s := range r.Set {
		if hash, ok := strings.CutPrefix(s, archFile); ok {
			s = "arch=" + file(hash)
		}
		c.Set = append(c.Set, s)
	}
	if r.From != "" {
		c.From = file(r.From)
	}
	if hash, ok := strings.CutPrefix(r.Recipe, fileOf); ok {
		c.Recipe = file(hash)
	}
	return &c, nil
}
