package fleet

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"mien/device"
	"mien/device/signal"
)

// Health is how a board is, once a minute.
type Health struct {
	Time      time.Time           `json:"time"`    // the board's clock
	Life      string              `json:"life"`    // of this run of the program: see MessageID
	Version   string              `json:"version"` // of the firmware
	Board     string              `json:"board"`   // what it is, as in "Raspberry Pi 4"
	Tags      []string            `json:"tags"`
	State     signal.State        `json:"state"`
	Ready     bool                `json:"ready"`
	Reason    string              `json:"reason"`
	Started   time.Time           `json:"started,omitzero"`
	Engine    string              `json:"engine"`
	Model     string              `json:"model"`
	Heads     []string            `json:"heads"` // enabled ones
	FrameRate float64             `json:"fps"`
	Dropped   uint64              `json:"dropped"`
	Restarts  uint64              `json:"restarts"`
	Consent   string              `json:"consent"`
	Throttled string              `json:"throttled"`
	Celsius   float64             `json:"celsius,omitempty"`
	Parts     []device.PartHealth `json:"parts"`
	Queued    int                 `json:"queued"`           // messages that wait on the board
	Lost      uint64              `json:"lost"`             // messages that had no room there, since start
	Update    *Update             `json:"update,omitempty"` // how it is with what is rolled out; nil when it has no order
}

// Counts are what a board saw in a while, in numbers: of nobody in particular,
// though where one person was in view they are of that person.
type Counts struct {
	Time      time.Time                 `json:"time"`      // of the end of the while
	Seconds   float64                   `json:"seconds"`   // its length
	Readings  int                       `json:"readings"`  // frames that were read
	WithFace  int                       `json:"with_face"` // of those, with at least one face
	Begun     int                       `json:"begun"`     // faces that came into view
	Most      int                       `json:"most"`      // faces in view at once
	Answers   map[string]map[string]int `json:"answers"`   // by head and label, one for each face in each frame
	Uncertain map[string]int            `json:"uncertain"` // of those by head, without a label
}

// Audit is a command that a board was given, and what it did.
type Audit struct {
	Time    time.Time `json:"time"`
	Command string    `json:"command"`
	By      string    `json:"by"` // as the sender calls itself
	Done    bool      `json:"done"`
	Outcome string    `json:"outcome"` // in words: what was done, or why it was not
}

// Command asks a board to do something. Sealed by the holder of the fleet's key
// over a word that the board has just made up, it cannot be forged by who stole a
// board, nor be said again, whatever the clocks say.
type Command struct {
	Name string            `json:"command"`
	Args map[string]string `json:"args,omitempty"`
	By   string            `json:"by"`   // who asks, for the audit
	Word string            `json:"word"` // the board's
	Seal []byte            `json:"seal"` // Ed25519 over all of the above and the board's subject
}

// Answer is what a board says to a Command; to an empty message it is the word
// that the next one has to hold.
type Answer struct {
	Word    string `json:"word,omitempty"`
	Done    bool   `json:"done"`
	Outcome string `json:"outcome,omitempty"`
}

// MessageID is what a message is known again by: the life of the program that
// wrote it, and its number in that life, from 1. Numbers without a gap say that
// nothing was lost, growing ones that nothing is out of order; two lives that
// take turns say that a board and its copy are there.
type MessageID struct {
	Life   string
	Number uint64
}

func (m MessageID) String() string { return m.Life + "-" + strconv.FormatUint(m.Number, 10) }

// ParseMessageID reads the header Nats-Msg-Id.
func ParseMessageID(s string) (m MessageID, ok bool) {
	life, n, ok := strings.Cut(s, "-")
	if !ok || life == "" {
		return MessageID{}, false
	}
	number, err := strconv.ParseUint(n, 10, 64)
	return MessageID{life, number}, err == nil && number > 0
}

// counting makes Counts.
type counting struct {
	Counts
	since time.Time
}

func newCounting(now time.Time) counting {
	return counting{Counts{Answers: map[string]map[string]int{}, Uncertain: map[string]int{}}, now}
}

func (c *counting) add(r *device.Reading) {
	c.Readings++
	if len(r.Faces) > 0 {
		c.WithFace++
	}
	c.Most = max(c.Most, len(r.Faces))
	for i := range r.Faces {
		for k := range r.Faces[i].Heads {
			h := &r.Faces[i].Heads[k]
			switch {
			case h.Uncertain || h.Label == "":
				c.Uncertain[h.Name]++
			case h.Unit == "": // a number has no labels to count
				if c.Answers[h.Name] == nil {
					c.Answers[h.Name] = map[string]int{}
				}
				c.Answers[h.Name][h.Label]++
			}
		}
	}
}

// end returns what was counted until now, on the board's clock.
func (c *counting) end(now time.Time) Counts {
	out := c.Counts
	out.Time, out.Seconds = now.UTC().Round(time.Millisecond), now.Sub(c.since).Round(time.Millisecond).Seconds()
	return out
}

// body is a message as it is sent.
func body(v any) ([]byte, error) { return json.Marshal(v) }
