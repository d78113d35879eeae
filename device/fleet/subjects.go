package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mien/device"
	"mien/device/signal"
)

// Subject is a row of the table of all that travels between a board and its hub.
// What boards may say and hear, what the hub stores and what PRIVACY.md lists
// follow from it.
type Subject struct {
	Name   string // the last word of it: mien.SITE.BOARD.NAME
	Down   bool   // from the hub to the board, which answers; else from the board
	Stream string // that keeps it; empty: nothing does
	Body   any    // a value of the type whose JSON it carries
	On     string // the key of the configuration that lets it out; empty: fleet.servers does
}

// The names of the subjects.
const (
	OfReading    = "reading"
	OfTrack      = "track"
	OfTransition = "transition"
	OfState      = "state"
	OfHealth     = "health"
	OfCounts     = "counts"
	OfAudit      = "audit"
	OfCommand    = "command"
)

// Subjects is the table.
var Subjects = []Subject{
	{Name: OfReading, Stream: "SEEN", Body: device.Reading{}, On: "fleet.readings"},
	{Name: OfTrack, Stream: "SEEN", Body: device.Track{}, On: "fleet.events"},
	{Name: OfTransition, Stream: "SEEN", Body: signal.Transition{}, On: "fleet.events"},
	{Name: OfState, Stream: "STATUS", Body: device.State{}},
	{Name: OfHealth, Stream: "STATUS", Body: Health{}},
	{Name: OfCounts, Stream: "STATUS", Body: Counts{}},
	{Name: OfAudit, Stream: "STATUS", Body: Audit{}, On: "fleet.commands"},
	{Name: OfCommand, Down: true, Body: Command{}, On: "fleet.commands"},
}

// Stream is a row of the table of what a hub keeps of what boards say.
type Stream struct {
	Name  string
	About string
	Age   time.Duration // nothing older is kept
	Share int           // of the hub's disk, percent: when that is full the oldest goes
}

// Streams is the table. The shares of the streams and the stores leave a tenth
// of the disk to what every file system and every index needs, and the hub some to
// training runs on their way.
var Streams = []Stream{
	{"SEEN", "what boards see: readings, tracks, transitions", 7 * 24 * time.Hour, 45},
	{"STATUS", "how boards are: states, health, counts, audit", 30 * 24 * time.Hour, 20},
}

// Repeats is how long a stream knows a message again by its id. A board asks what
// was kept of it before it repeats anything after a longer time.
const Repeats = 2 * time.Minute

// Store is a row of the table of what a hub holds for boards to fetch.
type Store struct {
	Name    string
	About   string
	Objects bool // files for all boards; else single values
	Tools   bool // for tools alone; else a value is one board's, which reads its own
	Share   int  // of the hub's disk, percent
}

// The names of the stores.
const (
	Desired   = "desired"
	Artifacts = "artifacts"
	Rollouts  = "rollouts"
)

// Stores is the table.
var Stores = []Store{
	{Name: Desired, About: "what each board is to run", Share: 1},
	{Name: Artifacts, About: "models and images", Objects: true, Share: 15},
	{Name: Rollouts, About: "roll-outs: what, to whom, how far", Tools: true, Share: 1},
}

// ID says which board it is.
type ID struct{ Site, Board string }

func (id ID) String() string { return id.Site + "/" + id.Board }

// Check says what is wrong with the names. They are words of subjects and parts
// of file names, so they hold letters, digits, - and _ alone.
func (id ID) Check() error {
	for _, n := range []struct{ what, name string }{{"site", id.Site}, {"board", id.Board}} {
		if n.name == "" || len(n.name) > 64 || strings.ContainsFunc(n.name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) {
			return fmt.Errorf("fleet: the name of the %s, %q, has to be of 1 to 64 letters, digits, - and _", n.what, n.name)
		}
	}
	return nil
}

// ParseID reads SITE/BOARD.
func ParseID(s string) (ID, error) {
	site, board, ok := strings.Cut(s, "/")
	if !ok {
		return ID{}, fmt.Errorf("fleet: %q names no board: want SITE/BOARD", s)
	}
	id := ID{site, board}
	return id, id.Check()
}

// Subject is the board's subject of a name, or with * all of its.
func (id ID) Subject(name string) string { return "mien." + id.Site + "." + id.Board + "." + name }

// ParseSubject takes a subject apart.
func ParseSubject(subject string) (id ID, name string, err error) {
	w := strings.Split(subject, ".")
	if len(w) != 4 || w[0] != "mien" {
		return ID{}, "", fmt.Errorf("fleet: %q is no subject of a board", subject)
	}
	return ID{w[1], w[2]}, w[3], nil
}

// Key is the board's key in a store.
func (id ID) Key() string { return id.Site + "." + id.Board }

// Inbox is the beginning of where answers to the board go, which no other board
// hears.
func (id ID) Inbox() string { return "_INBOX." + id.Site + "." + id.Board }

// All is every board's subject of a name, or with * all of all boards.
func All(name string) string { return ID{"*", "*"}.Subject(name) }

// Of returns the subjects that a stream keeps.
func (s Stream) Of() (subjects []string) {
	for _, x := range Subjects {
		if x.Stream == s.Name {
			subjects = append(subjects, All(x.Name))
		}
	}
	return subjects
}

// lastOf is the subject at which a stream tells the last message that it keeps
// under a subject. The server takes nothing else in its place.
func lastOf(stream, subject string) string { return "$JS.API.DIRECT.GET." + stream + "." + subject }

// valueOf is the subject of a board's value in a store.
func valueOf(store string, id ID) string { return "$KV." + store + "." + id.Key() }

// bucketOf is the stream behind the store of a name.
func bucketOf(store string) string {
	i := slices.IndexFunc(Stores, func(s Store) bool { return s.Name == store })
	return Stores[i].Bucket()
}

// Bucket is the stream behind a store.
func (s Store) Bucket() string {
	if s.Objects {
		return "OBJ_" + s.Name
	}
	return "KV_" + s.Name
}

// May returns all subjects that a board may publish to and subscribe to: those of
// the table under its own name, what is kept of itself, its own value in each
// store, and the files that are for all. It may make no consumer: one could have
// messages delivered to another board.
func (id ID) May() (publish, subscribe []string) {
	for _, s := range Subjects {
		switch subject := id.Subject(s.Name); {
		case s.Down:
			subscribe = append(subscribe, subject)
		default:
			publish = append(publish, subject)
			if s.Stream != "" {
				publish = append(publish, lastOf(s.Stream, subject))
			}
		}
	}
	for _, s := range Stores {
		switch value := valueOf(s.Name, id); {
		case s.Tools:
		case s.Objects:
			publish = append(publish, "$JS.API.DIRECT.GET."+s.Bucket(), "$JS.API.DIRECT.GET."+s.Bucket()+".>")
		default:
			publish = append(publish, lastOf(s.Bucket(), value))
			subscribe = append(subscribe, value)
		}
	}
	return publish, append(subscribe, id.Inbox()+".>")
}

// CheckTag says what is wrong with a word for a group of boards.
func CheckTag(tag string) error {
	if err := (ID{"site", tag}).Check(); err != nil {
		return fmt.Errorf("fleet: tag %q has to be of 1 to 64 letters, digits, - and _", tag)
	}
	return nil
}

// CheckEvent says when a word of fleet.events is none.
func CheckEvent(name string) error {
	if name != OfTrack && name != OfTransition {
		return fmt.Errorf("fleet: %q is neither %s nor %s", name, OfTrack, OfTransition)
	}
	return nil
}

// subjectOf returns the row of a name.
func subjectOf(name string) (Subject, error) {
	i := slices.IndexFunc(Subjects, func(s Subject) bool { return s.Name == name })
	if i < 0 {
		return Subject{}, errors.New("fleet: no subject " + name)
	}
	return Subjects[i], nil
}
