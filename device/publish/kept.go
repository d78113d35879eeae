package publish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mien/device/queue"
	"mien/runtime/atomicfile"
)

// A retained topic that is true only while the device lives is forgotten by
// the broker when it has not been said again for lifetime; it is said three
// times as often. After a power cut the last will says "offline", and that is
// all that is left to be read.
const lifetime = 60 * time.Second

// mostChanges is how many changes wait for a slow broker; when there are more
// the topics are said as they are, whatever was in between.
const mostChanges = 256

// kept is what the retained topics say: a snapshot of what is true now. It is
// said whole at the beginning of each connection, and then as it changes. None
// of it waits on disk, where it would be old news.
type kept struct {
	mu      sync.Mutex
	order   []string
	topics  map[string]*keptTopic
	changes []queue.Message
	wake    chan struct{}
	file    string // names the topics that a broker may still retain, for the next start
	known   known
	unsaved bool              // known is not in the file yet
	parts   map[string]string // components of the introduction as it is now
}

type keptTopic struct {
	payload []byte // empty: the topic is to be cleared
	first   []byte // to be said once before it; nil when nothing is
	lasting bool   // true without us as well
	muted   bool   // the broker hangs up at it
	strikes int
	refused byte // reason code of the broker, 0 if there was none
}

// known is what was said in an earlier life and has to be taken back when it
// is not said in this one.
type known struct {
	Topics     []string          `json:"topics"`
	Config     string            `json:"config,omitempty"`     // topic of the introduction
	Components map[string]string `json:"components,omitempty"` // platform of each entity in it
}

func newKept(file string) *kept {
	k := &kept{topics: map[string]*keptTopic{}, wake: make(chan struct{}, 1), file: file}
	// A file that is missing or damaged costs that old topics stay: nothing else
	// hangs on it.
	if b, err := os.ReadFile(file); err == nil && len(b) <= maxPacket && json.Unmarshal(b, &k.known) != nil {
		k.known = known{}
	}
	return k
}

// set says that a topic is now so.
func (k *kept) set(topic string, payload []byte, lasting bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.topics[topic]
	if t == nil {
		t = &keptTopic{}
		k.topics[topic] = t
		k.order = append(k.order, topic)
	} else if bytes.Equal(t.payload, payload) && t.lasting == lasting {
		return
	}
	t.payload, t.lasting = payload, lasting
	k.change(topic, t)
}

// change queues a topic to be said.
func (k *kept) change(topic string, t *keptTopic) {
	if len(k.changes) >= mostChanges {
		k.all(true)
		return
	}
	k.add(topic, t)
	nudge(k.wake)
}

func (k *kept) add(topic string, t *keptTopic) {
	if t.muted {
		return
	}
	m := queue.Message{Topic: topic, Retain: true, Passing: !t.lasting}
	if t.first != nil {
		m.Payload = t.first
		k.changes = append(k.changes, m)
	}
	m.Payload = t.payload
	k.changes = append(k.changes, m)
}

// all queues every topic in place of what waits; those that last only if
// asked for.
func (k *kept) all(lasting bool) {
	k.changes = k.changes[:0]
	for _, topic := range k.order {
		if t := k.topics[topic]; lasting || !t.lasting {
			k.add(topic, t)
		}
	}
	nudge(k.wake)
}

// introduce says what the device is. Entities that it had and has no more are
// taken back first: gone, which writes the introduction with those as well, is
// asked for the words.
func (k *kept) introduce(topic string, parts map[string]string, words []byte, gone func(map[string]string) []byte) {
	lost := map[string]string{}
	k.mu.Lock()
	if k.known.Config == topic {
		for part, platform := range k.known.Components {
			if _, still := parts[part]; !still {
				lost[part] = platform
			}
		}
	}
	k.parts = parts
	k.mu.Unlock()
	k.set(topic, words, true)
	if len(lost) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.topics[topic].first = gone(lost)
	k.change(topic, k.topics[topic])
}

// say has every topic said again.
func (k *kept) say() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all(true)
}

// keepAlive has those topics said again that the broker would forget, unless
// something waits to be said anyway.
func (k *kept) keepAlive() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.changes) == 0 {
		k.all(false)
	}
}

// next returns the next topic to say.
func (k *kept) next() (queue.Message, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.changes) == 0 {
		return queue.Message{}, false
	}
	m := k.changes[0]
	k.changes = slices.Delete(k.changes, 0, 1)
	return m, true
}

// mostTopics bounds what is cleared for a broker that never stops to find
// more.
const mostTopics = 1024

// stray is told that the broker retains something in a topic: if it is none of
// ours, it is cleared.
func (k *kept) stray(topic string) {
	k.mu.Lock()
	known, full := k.topics[topic] != nil, len(k.topics) >= mostTopics
	k.mu.Unlock()
	if !known && !full && clean(topic) {
		k.set(topic, nil, true)
	}
}

// retain drops from what is said, and from what the broker retains, the
// topics of this life and of earlier ones that keep does not name, and
// remembers the rest for the next.
func (k *kept) retain(now known) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, topic := range append(slices.Clone(k.known.Topics), k.order...) {
		if !slices.Contains(now.Topics, topic) && clean(topic) {
			if k.topics[topic] == nil {
				k.topics[topic] = &keptTopic{}
				k.order = append(k.order, topic)
			}
			t := k.topics[topic]
			t.payload, t.lasting = nil, true
			k.change(topic, t)
		}
	}
	// What is to be cleared is remembered until it is: see said.
	all := now
	all.Topics = slices.Clone(k.order)
	if t := k.topics[now.Config]; t != nil && t.first != nil {
		maps.Copy(k.known.Components, now.Components)
		all.Components = k.known.Components
	}
	k.known, k.unsaved = all, true
}

// persist writes what is remembered to the file, if that is news. Nobody who
// changes it waits for the disk.
func (k *kept) persist() error {
	k.mu.Lock()
	b, err := json.Marshal(k.known)
	todo := k.unsaved
	k.unsaved = false
	k.mu.Unlock()
	if err == nil && todo {
		err = atomicfile.Write(k.file, append(b, '\n'))
	}
	if err != nil {
		k.mu.Lock()
		k.unsaved = true
		k.mu.Unlock()
		return fmt.Errorf("publish: queue: %w", err)
	}
	return nil
}

// said is told that the broker has taken a topic.
func (k *kept) said(m queue.Message) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.topics[m.Topic]
	if t == nil {
		return
	}
	t.strikes, t.refused = 0, 0
	if t.first != nil && bytes.Equal(m.Payload, t.first) {
		t.first, k.known.Components, k.unsaved = nil, k.parts, true
		return
	}
	if len(m.Payload) > 0 || len(t.payload) > 0 {
		return
	}
	delete(k.topics, m.Topic) // cleared, and done with
	is := func(s string) bool { return s == m.Topic }
	k.order = slices.DeleteFunc(k.order, is)
	k.known.Topics = slices.DeleteFunc(k.known.Topics, is)
	k.unsaved = true
}

// refuse is told that the broker does not take a topic, and reports whether
// that is news.
func (k *kept) refuse(topic string, code byte) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.topics[topic]
	if t == nil || t.refused == code {
		return false
	}
	t.refused = code
	return true
}

// strike is told that the broker hung up at a topic, and reports whether that
// was once too often: then it is not said any more.
func (k *kept) strike(topic string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.topics[topic]
	if t == nil {
		return false
	}
	t.strikes++
	t.muted = t.strikes >= mostStrikes
	return t.muted
}

// keptFile is in the folder of the queue.
func keptFile(dir string) string { return filepath.Join(dir, "retained.json") }
