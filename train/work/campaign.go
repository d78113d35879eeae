package work

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Keys of the metadata of a campaign's consumer.
const (
	metaVersion = "mien-version"
	metaSets    = "mien-sets"
)

// Campaign is the side that has work done. Its methods may be called by several
// goroutines.
type Campaign struct {
	id    string
	js    jetstream.JetStream
	store jetstream.ObjectStore
	watch jetstream.ObjectWatcher

	mu    sync.Mutex
	waits map[string]chan *jetstream.ObjectInfo // by object
	lost  error
}

// Begin begins a campaign, or takes it up again by its id. Workers of another
// version of the program leave it alone, and so do those that lack a set.
func Begin(ctx context.Context, js jetstream.JetStream, id, version string, sets []Set) (*Campaign, error) {
	if err := checkCampaign(id); err != nil {
		return nil, err
	}
	s, err := store(ctx, js)
	if err != nil {
		return nil, err
	}
	needs, err := json.Marshal(sets)
	if err != nil {
		return nil, fmt.Errorf("work: %w", err)
	}
	_, err = js.CreateOrUpdateConsumer(ctx, Stream, jetstream.ConsumerConfig{
		Durable: id, FilterSubject: subjects + id + ".*", AckPolicy: jetstream.AckExplicitPolicy, AckWait: patience,
		InactiveThreshold: kept, Metadata: map[string]string{metaVersion: version, metaSets: string(needs)},
	})
	if err != nil {
		return nil, fmt.Errorf("work: queue %s: %w", id, err)
	}
	c := &Campaign{id: id, js: js, store: s, waits: map[string]chan *jetstream.ObjectInfo{}}
	if c.watch, err = s.Watch(ctx, jetstream.IgnoreDeletes()); err != nil {
		return nil, fmt.Errorf("work: watch %s: %w", Bucket, err)
	}
	go c.listen()
	return c, nil
}

// SendSet puts a data set into the store, for workers that lack it.
func SendSet(ctx context.Context, js jetstream.JetStream, id string, set Set, dir string) error {
	s, err := store(ctx, js)
	if err != nil {
		return err
	}
	name := dataObject(id, set.Hash)
	if _, err := s.GetInfo(ctx, name); !missing(err) {
		return err
	}
	return put(ctx, s, jetstream.ObjectMeta{Name: name, Description: set.Say}, func(w io.Writer) error { return pack(w, dir) })
}

// Send puts a file into the store and returns its hash.
func (c *Campaign) Send(ctx context.Context, path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("work: %w", err)
	}
	sha := fmt.Sprintf("%x", sha256.Sum256(b))
	name := fileObject(c.id, sha)
	if _, err := c.store.GetInfo(ctx, name); !missing(err) {
		return sha, err
	}
	return sha, put(ctx, c.store, jetstream.ObjectMeta{Name: name, Description: path}, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// Do has a run done, whose folder is dir, and returns when the folder holds what
// it left. Told hears of each checkpoint, when it is not nil. Called again for a
// run that is queued, under way or done, it waits or takes what is there.
func (c *Campaign) Do(ctx context.Context, t Task, dir string, told func(Outcome)) (*Outcome, error) {
	id, message, err := t.id()
	if err != nil {
		return nil, err
	}
	name := runObject(c.id, id)
	changes, err := c.await(name)
	if err != nil {
		return nil, err
	}
	defer c.leave(name)
	info, err := c.store.GetInfo(ctx, name)
	if missing(err) {
		meta := jetstream.ObjectMeta{Name: name, Description: t.Run}
		if err := put(ctx, c.store, meta, func(w io.Writer) error { return pack(w, dir) }); err != nil {
			return nil, err
		}
		info, err = c.store.GetInfo(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("work: run %s: %w", t.Run, err)
	}
	o, err := outcome(info)
	if err != nil {
		return nil, err
	}
	if !o.ended {
		if err := c.queue(ctx, id, message); err != nil {
			return nil, fmt.Errorf("work: run %s: %w", t.Run, err)
		}
	}
	for !o.ended {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case info, ok := <-changes:
			if !ok {
				return nil, c.lost
			}
			if o, err = outcome(info); err != nil {
				return nil, err
			}
			if told != nil && o.Worker != "" {
				told(*o)
			}
		}
	}
	return o, get(ctx, c.store, name, dir)
}

// queue puts a task on the stream, where it may be already.
func (c *Campaign) queue(ctx context.Context, id string, message []byte) error {
	_, err := c.js.Publish(ctx, subjects+c.id+"."+id, message)
	var refused *jetstream.APIError
	if errors.As(err, &refused) && strings.Contains(refused.Description, "maximum messages per subject") {
		return nil
	}
	return err
}

// await returns the news about an object; only the newest waits.
func (c *Campaign) await(name string) (<-chan *jetstream.ObjectInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost != nil {
		return nil, c.lost
	}
	if c.waits[name] != nil {
		return nil, fmt.Errorf("work: %s is being waited for already", name)
	}
	c.waits[name] = make(chan *jetstream.ObjectInfo, 1)
	return c.waits[name], nil
}

func (c *Campaign) leave(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waits, name)
}

func (c *Campaign) listen() {
	for info := range c.watch.Updates() {
		if info == nil {
			continue // all that was there before has come
		}
		c.mu.Lock()
		if wait := c.waits[info.Name]; wait != nil {
			select {
			case <-wait:
			default:
			}
			wait <- info
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = errors.New("work: the connection to the hub has ended (the same command goes on)")
	for _, wait := range c.waits {
		close(wait)
	}
}

// Queue says how many runs wait for a worker and how many are under way.
func (c *Campaign) Queue(ctx context.Context) (waiting, underWay int, err error) {
	cons, err := c.js.Consumer(ctx, Stream, c.id)
	if err != nil {
		return 0, 0, fmt.Errorf("work: queue %s: %w", c.id, err)
	}
	info, err := cons.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("work: queue %s: %w", c.id, err)
	}
	return int(info.NumPending), info.NumAckPending, nil
}

// Close leaves the campaign as it is: workers go on with what is queued.
func (c *Campaign) Close() error { return c.watch.Stop() }

// End removes all that the hub holds of the campaign.
func (c *Campaign) End(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := c.watch.Stop(); err != nil {
		return fmt.Errorf("work: %w", err)
	}
	stream, err := c.js.Stream(ctx, Stream)
	if err != nil {
		return fmt.Errorf("work: %w", err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subjects+c.id+".*")); err != nil {
		return fmt.Errorf("work: %w", err)
	}
	if err := stream.DeleteConsumer(ctx, c.id); err != nil {
		return fmt.Errorf("work: %w", err)
	}
	all, err := c.store.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return fmt.Errorf("work: %w", err)
	}
	for _, info := range all {
		if strings.HasPrefix(info.Name, c.id+"/") {
			if err := c.store.Delete(ctx, info.Name); err != nil && !missing(err) {
				return fmt.Errorf("work: delete %s: %w", info.Name, err)
			}
		}
	}
	return nil
}
