package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nkeys"

	"mien/device/fleet/wire"
)

// Do is what a board does on a command. It says in words what it did.
type Do func(ctx context.Context, args map[string]string) (outcome string, err error)

// The names of the commands.
const (
	Identify = "identify" // beep and blink, as far as the board has a buzzer, or an LED that may be written
	Doctor   = "doctor"   // what miend doctor finds
	Restart  = "restart"  // the camera and the model are opened anew
	Set      = "set"      // keys of the configuration
)

// Commands are all that there are.
var Commands = []string{Identify, Doctor, Restart, Set}

// CheckCommand says when a word of fleet.commands is none.
func CheckCommand(name string) error {
	if !slices.Contains(Commands, name) {
		return fmt.Errorf("fleet: %q is no command; there are %s", name, strings.Join(Commands, ", "))
	}
	return nil
}

// CheckKey says what is wrong with the public key of a fleet.
func CheckKey(key string) error {
	if !nkeys.IsValidPublicUserKey(key) {
		return fmt.Errorf("fleet: %.8q... is no public key as mien fleet enrol prints it", key)
	}
	return nil
}

// word is what the next command has to hold.
type word struct {
	mu    sync.Mutex
	now   string // empty: none is out
	until time.Time
}

// A word is good for one command within this time, on the board's own stopwatch.
const wordLife = 30 * time.Second

// patience is how long a command may take.
const patience = time.Minute

func (w *word) make() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.until = rand.Text(), time.Now().Add(wordLife)
	return w.now
}

// take reports whether a word is the one that is out, which it then is no longer.
func (w *word) take(said string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ok := w.now != "" && said == w.now && time.Now().Before(w.until)
	w.now = ""
	return ok
}

// sealed is what the seal of a command is over.
func (c Command) sealed(subject string) ([]byte, error) {
	c.Seal = nil
	return sealed(subject, c)
}

// sealed is what the seal of v is over, which has none yet.
func sealed(subject string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(append([]byte(subject), '\n'), b...), err
}

// SealFor seals a command for one board with the fleet's key.
func (c *Command) SealFor(id ID, key nkeys.KeyPair) error {
	b, err := c.sealed(id.Subject(OfCommand))
	if err != nil {
		return err
	}
	c.Seal, err = key.Sign(b)
	return err
}

// listen hears commands where any is enabled.
func (b *Board) listen(c *wire.Conn) {
	if len(b.o.Commands) == 0 || b.o.Key == "" {
		return
	}
	busy := make(chan struct{}, 1)
	hear := func(m *wire.Message) {
		select {
		case busy <- struct{}{}:
		default:
			b.answer(c, m, Answer{Outcome: "the board is busy with the command before"})
			return
		}
		go func() { // the connection goes on meanwhile
			a := b.hear(m)
			<-busy
			b.answer(c, m, a)
		}()
	}
	if err := c.Hear(b.o.ID.Subject(OfCommand), hear); err != nil {
		b.rep.Once("subscribe", fmt.Errorf("fleet: commands: %w", err))
	}
}

// hear obeys a command, or makes up the word for the next.
func (b *Board) hear(m *wire.Message) Answer {
	if len(m.Payload) == 0 {
		return Answer{Word: b.word.make()}
	}
	return b.obey(m)
}

func (b *Board) answer(c *wire.Conn, m *wire.Message, a Answer) {
	payload, err := body(a)
	if err == nil && m.Reply != "" {
		err = c.Publish(m.Reply, payload)
	}
	if err != nil {
		b.rep.Once("answer", fmt.Errorf("fleet: answer to a command: %w", err))
	}
}

// obey does what is asked, if it may, and has it written down.
func (b *Board) obey(m *wire.Message) Answer {
	var c Command
	outcome, err := "", json.Unmarshal(m.Payload, &c)
	if err == nil {
		err = b.admit(c, m.Subject)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		outcome, err = b.o.Commands[c.Name](ctx, c.Args)
		cancel()
	}
	if err != nil {
		outcome = err.Error()
	}
	a := Audit{Time: time.Now().UTC().Round(time.Millisecond), Command: clip(c.Name), By: clip(c.By), Done: err == nil, Outcome: outcome}
	b.o.Audit(a)
	b.feed.Take(a)
	return Answer{Done: a.Done, Outcome: a.Outcome}
}

// clip bounds what a stranger can have written down.
func clip(s string) string { return s[:min(len(s), 64)] }

// admit says why a command is not obeyed.
func (b *Board) admit(c Command, subject string) error {
	key, err := nkeys.FromPublicKey(b.o.Key)
	if err != nil {
		return err
	}
	said, err := c.sealed(subject)
	if err != nil {
		return err
	}
	if !b.word.take(c.Word) {
		return errors.New("the command does not hold this board's word, which is good once and for half a minute")
	}
	if key.Verify(said, c.Seal) != nil {
		return errors.New("the command is not sealed with the fleet's key")
	}
	if b.o.Commands[c.Name] == nil {
		return fmt.Errorf("%.20q is not enabled here (fleet.commands)", c.Name)
	}
	return nil
}
