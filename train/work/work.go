// Package work hands training runs to other machines. A campaign, a sweep or an
// experiment, puts each run as a message on a JetStream stream that is a work
// queue; workers take them one at a time. A run's folder is one object in the
// store beside it: the campaign puts there what it has, the worker replaces it at
// each checkpoint and at the end, and the campaign takes it back. Who takes over
// from a worker that was killed begins at the last object, and a run leaves the
// same bits wherever it was cut (see package train), so that neither how many
// workers there are nor which of them die shows in the results.
//
// Data sets have names that are hashes of what is in them. A worker says which it
// has by taking from campaigns that need no other; a campaign may send small ones
// along.
package work

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/dirhash"
)

// Stream is the queue, Bucket the object store beside it, Objects the stream behind
// that.
const (
	Stream  = "mien-work"
	Bucket  = "mien-work"
	Objects = "OBJ_" + Bucket

	subjects = "mien-work."
)

// kept is how long what nobody touches stays: of a campaign that was abandoned.
const kept = 30 * 24 * time.Hour

// patience is how long a worker may be silent before its run is another's.
const patience = 30 * time.Second

// Make makes the queue and its object store, or brings them up to date. Together
// they hold at most so many bytes, on so many servers of a cluster each.
func Make(ctx context.Context, js jetstream.JetStream, bytes int64, replicas int) error {
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: Stream, Description: "training runs that wait for a worker", Subjects: []string{subjects + ">"},
		Retention: jetstream.WorkQueuePolicy, MaxAge: kept, MaxBytes: bytes / 16, Replicas: replicas,
		// A run is queued once, however often its campaign is begun again.
		MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
	})
	if err != nil {
		return fmt.Errorf("work: make stream %s: %w", Stream, err)
	}
	_, err = js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: Bucket, Description: "folders of training runs, and what they need", TTL: kept, MaxBytes: bytes / 16 * 15, Replicas: replicas,
	})
	if err != nil {
		return fmt.Errorf("work: make object store %s: %w", Bucket, err)
	}
	return nil
}

// Inbox is where answers to campaigns and workers go.
const Inbox = "_INBOX.mien-work"

// May returns all subjects that campaigns and workers publish and subscribe to.
func May() (publish, subscribe []string) {
	publish = []string{subjects + ">", "$O." + Bucket + ".>", "$JS.API.INFO"}
	for _, s := range []string{Stream, Objects} {
		publish = append(publish, "$JS.ACK."+s+".>", "$JS.FC."+s+".>", "$JS.API.STREAM.INFO."+s, "$JS.API.STREAM.PURGE."+s, "$JS.API.STREAM.MSG.GET."+s,
			"$JS.API.DIRECT.GET."+s, "$JS.API.DIRECT.GET."+s+".>", "$JS.API.CONSUMER.*."+s, "$JS.API.CONSUMER.*."+s+".>",
			"$JS.API.CONSUMER.DURABLE.CREATE."+s+".>", "$JS.API.CONSUMER.MSG.NEXT."+s+".>")
	}
	return publish, []string{Inbox + ".>"}
}

// store opens what Make made.
func store(ctx context.Context, js jetstream.JetStream) (jetstream.ObjectStore, error) {
	s, err := js.ObjectStore(ctx, Bucket)
	if err != nil {
		return nil, fmt.Errorf("work: object store %s: %w (is the server that of mien fleet serve, and may these credentials use it?)", Bucket, err)
	}
	return s, nil
}

// Task is a run, as its workers get to know it.
type Task struct {
	Run   string          `json:"run"`   // its folder's name
	Call  json.RawMessage `json:"call"`  // what to do, for Worker.Do
	Files []File          `json:"files"` // that Call speaks of
}

// File is a file that travels.
type File struct {
	Name   string `json:"name"` // on the worker, two elements long
	SHA256 string `json:"sha256"`
}

// id names the task; another call, or other files, are another task.
func (t *Task) id() (id string, message []byte, err error) {
	if message, err = json.Marshal(t); err != nil {
		return "", nil, fmt.Errorf("work: run %s: %w", t.Run, err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(message))[:32], message, nil
}

// Outcome is how a run ended, or how far it is.
type Outcome struct {
	Status int    // of the program that did it
	Said   string // its last words, when Status is not 0
	Worker string // who did it
	CPU    string // of whom: the same kind gives the same bits

	ended bool
	begun uint64 // how often, when this was stored
}

// Keys of an object's metadata.
const (
	metaStatus = "status" // only of a run that has ended
	metaSaid   = "said"
	metaWorker = "worker"
	metaCPU    = "cpu"
	metaBegun  = "begun"
)

func (o *Outcome) meta() map[string]string {
	m := map[string]string{metaWorker: o.Worker, metaCPU: o.CPU, metaBegun: strconv.FormatUint(o.begun, 10)}
	if o.ended {
		m[metaStatus], m[metaSaid] = strconv.Itoa(o.Status), o.Said
	}
	return m
}

func outcome(info *jetstream.ObjectInfo) (*Outcome, error) {
	o := &Outcome{Worker: info.Metadata[metaWorker], CPU: info.Metadata[metaCPU], Said: info.Metadata[metaSaid]}
	var err error
	if begun := info.Metadata[metaBegun]; begun != "" {
		if o.begun, err = strconv.ParseUint(begun, 10, 64); err != nil {
			return nil, fmt.Errorf("work: object %s: %w", info.Name, err)
		}
	}
	status, ended := info.Metadata[metaStatus]
	if !ended {
		return o, nil
	}
	if o.Status, err = strconv.Atoi(status); err != nil {
		return nil, fmt.Errorf("work: object %s: %w", info.Name, err)
	}
	o.ended = true
	return o, nil
}

// Set is a data set that a campaign needs.
type Set struct {
	Hash string `json:"hash"`
	// Sent says that it is in the store, for workers that lack it.
	Sent bool   `json:"sent"`
	Say  string `json:"say"` // what its owner calls it
}

// Hash is the hash of what is in a folder: that of sha256sum's lines about its
// files, sorted by name, as Go's modules have it ("h1:").
func Hash(dir string) (string, error) {
	h, err := dirhash.HashDir(dir, "", dirhash.Hash1)
	if err != nil {
		return "", fmt.Errorf("work: hash %s: %w", dir, err)
	}
	return h, nil
}

// Size is how many bytes the files of a folder have.
func Size(dir string) (int64, error) {
	files, err := dirhash.DirFiles(dir, "")
	if err != nil {
		return 0, fmt.Errorf("work: %w", err)
	}
	var n int64
	for _, f := range files {
		info, err := os.Stat(joined(dir, f))
		if err != nil {
			return 0, fmt.Errorf("work: %w", err)
		}
		n += info.Size()
	}
	return n, nil
}

// Objects of a campaign.
func dataObject(campaign, hash string) string { return campaign + "/data/" + hash }
func fileObject(campaign, sha string) string  { return campaign + "/file/" + sha }
func runObject(campaign, id string) string    { return campaign + "/run/" + id }

// missing says that an object is not there.
func missing(err error) bool { return errors.Is(err, jetstream.ErrObjectNotFound) }

// checkCampaign refuses what cannot be a part of a subject.
func checkCampaign(id string) error {
	if id == "" || strings.ContainsAny(id, ".*> /\\") {
		return fmt.Errorf("work: %q cannot name a campaign", id)
	}
	return nil
}
