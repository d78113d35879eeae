package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"mien/device/fleet/wire"
	"mien/device/signal"
	"mien/runtime/atomicfile"
	"mien/runtime/plainfile"
)

// Order is what a board is to take, or to leave again: its value in the store
// Desired. It is sealed for one board, so that no hub can make one up; what it names
// has to be signed, beside that, by a key that the board itself trusts. An order that
// is said again does nothing: versions only go forward, and one that was left does
// not come back.
type Order struct {
	Number    uint64 `json:"number"`  // of the orders to this board, growing
	Rollout   string `json:"rollout"` // that it is part of
	Kind      string `json:"kind"`
	Name      string `json:"name"`             // of the file, for people
	Version   uint64 `json:"version"`          // as the signature says it
	SHA256    string `json:"sha256"`           // of the file, which the store Artifacts has under this name
	Size      int64  `json:"size"`             // in bytes
	Signature string `json:"signature"`        // in minisign's format
	Canary    *Piece `json:"canary,omitempty"` // of a model: a Canary that it has to pass here
	Leave     bool   `json:"leave"`            // what was before it is to run again
	Seal      []byte `json:"seal"`             // Ed25519 over all of the above and the board's key in the store
}

// Piece is a file of the store Artifacts.
type Piece struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Update is how a board is with its Order.
type Update struct {
	Rollout string   `json:"rollout"`
	Kind    string   `json:"kind"`
	Version uint64   `json:"version"`
	State   Standing `json:"state"`
	Why     string   `json:"why,omitempty"`
}

// Standing is how far a board is with a version.
type Standing string

// All that there are; empty: the version is not there.
const (
	Waiting Standing = "waiting" // the board is not well itself: a trial would prove nothing
	Trial   Standing = "trial"   // it is installed, and has not proven itself
	Proven  Standing = "proven"
	Fallen  Standing = "fallen"  // it gave way to what was before
	Refused Standing = "refused" // nothing was changed
	Left    Standing = "left"    // as it was ordered
	Kept    Standing = "kept"    // it was to be left, and cannot be
)

// The kinds of what is rolled out.
const (
	OfModel = "model"
	OfImage = "image" // of the whole card, where the board runs the mien image
)

// Kinds are all that a board may take.
var Kinds = []string{OfModel, OfImage}

// CheckKind says when a word of fleet.updates is none.
func CheckKind(kind string) error {
	if kind == "package" {
		return errors.New("fleet: a package takes root's rights, which miend gives up: boards get theirs from an archive, by apt, or by mien deploy")
	}
	if !slices.Contains(Kinds, kind) {
		return fmt.Errorf("fleet: %q cannot be rolled out; there are %s", kind, strings.Join(Kinds, ", "))
	}
	return nil
}

// Updater takes one kind of what is rolled out.
type Updater interface {
	// Most is the size of what it takes, in bytes.
	Most() int64
	// Standing says how the board is with the version of an order, and why.
	Standing(ctx context.Context, o *Order) (s Standing, why string, err error)
	// Install checks a file and has it run, on trial, at the next start. Reading
	// fails where the file is not the one that was ordered. known is what it has to
	// pass before that; nil for nothing.
	Install(ctx context.Context, o *Order, file io.Reader, known *Canary) error
	// Leave goes back to what was before the version, at the next start.
	Leave(ctx context.Context, o *Order, why string) error
}

// SealFor seals an order for one board with the fleet's key.
func (o *Order) SealFor(id ID, key nkeys.KeyPair) error {
	b, err := o.sealed(id)
	if err != nil {
		return err
	}
	o.Seal, err = key.Sign(b)
	return err
}

// Check says when an order is not sealed for a board with the fleet's key.
func (o *Order) Check(id ID, public string) error {
	key, err := nkeys.FromPublicKey(public)
	if err != nil {
		return err
	}
	over, err := o.sealed(id)
	if err != nil {
		return err
	}
	if key.Verify(over, o.Seal) != nil {
		return errors.New("it is not sealed with the fleet's key for this board")
	}
	return nil
}

func (o Order) sealed(id ID) ([]byte, error) {
	o.Seal = nil
	return sealed(valueOf(Desired, id), o)
}

// How often a board looks at its order by itself: it is told of a new one while it
// is connected.
const (
	lookAgain = 5 * time.Minute
	lookSoon  = 2 * time.Second
)

// hearOf has the board told of orders over a connection, and look when it begins.
func (b *Board) hearOf(c *wire.Conn) (end func()) {
	if !b.ordered() {
		return func() {}
	}
	if err := c.Hear(valueOf(Desired, b.o.ID), func(m *wire.Message) {
		select { // the newest counts
		case <-b.told:
		default:
		}
		b.told <- m.Payload
	}); err != nil {
		return func() {} // the connection has ended
	}
	b.link.Store(c)
	select {
	case b.linked <- struct{}{}:
	default:
	}
	return func() { b.link.Store(nil) }
}

// ordered reports whether anybody may order anything.
func (b *Board) ordered() bool { return len(b.o.Updates) > 0 && b.o.Key != "" }

// follow does what the board's order says until ctx ends, also while the hub is away:
// a version that does not prove itself falls without being told to.
func (b *Board) follow(ctx context.Context) {
	if !b.ordered() {
		return
	}
	if said, err := plainfile.Read(b.orderFile(), maxOrder); err == nil {
		err = b.hearOrder(said)
		if err != nil { // the fleet may have another key now
			b.rep.Once("order "+err.Error(), fmt.Errorf("fleet: %s is passed over: %w", b.orderFile(), err))
		}
	}
	for ctx.Err() == nil {
		again := time.NewTimer(b.obeyOrder(ctx))
		var said []byte
		var err error
		select {
		case <-ctx.Done():
		case said = <-b.told:
		case <-b.linked:
			said, err = b.look(ctx)
		case <-again.C:
			said, err = b.look(ctx)
		}
		again.Stop()
		if err == nil {
			err = b.hearOrder(said)
		}
		if err != nil && ctx.Err() == nil {
			b.rep.Once("order "+err.Error(), fmt.Errorf("fleet: order: %w", err))
		}
	}
}

// maxOrder bounds an order's JSON, in bytes.
const maxOrder = 64 << 10

// orderFile is where the order stands that the board follows.
func (b *Board) orderFile() string { return filepath.Join(b.o.Dir, "order.json") }

// look asks for the board's value in the store; empty when it has none, and while the
// hub is away.
func (b *Board) look(ctx context.Context) ([]byte, error) {
	c := b.link.Load()
	if c == nil {
		return nil, nil
	}
	m, err := stored(ctx, c, lastOf(bucketOf(Desired), valueOf(Desired, b.o.ID)), nil)
	if errors.Is(err, errNotThere) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return m.Payload, nil
}

// hearOrder makes an order the present one, if the fleet's key sealed it.
func (b *Board) hearOrder(said []byte) error {
	if len(said) == 0 {
		return nil
	}
	o := &Order{}
	if err := json.Unmarshal(said, o); err != nil {
		return err
	}
	if err := o.Check(b.o.ID, b.o.Key); err != nil {
		return err
	}
	if b.order != nil && o.Number <= b.order.Number {
		return nil
	}
	b.order, b.refusal, b.trialSince = o, "", time.Time{}
	return atomicfile.Write(b.orderFile(), said)
}

// obeyOrder does the next thing that the present order asks for, and returns after
// which time to look again.
func (b *Board) obeyOrder(ctx context.Context) time.Duration {
	o := b.order
	rest := lookAgain + time.Duration(mathrand.Int64N(int64(lookAgain)))
	if o == nil {
		return rest
	}
	u := b.o.Updates[o.Kind]
	switch {
	case u == nil:
		b.refusal = fmt.Sprintf("a %.20s is not taken here (fleet.updates in mien.yaml names what is; an image only where the board runs one)", o.Kind)
	case o.Size <= 0 || o.Size > u.Most():
		b.refusal = fmt.Sprintf("of %d bytes, and a %s may have %d here", o.Size, o.Kind, u.Most())
	}
	if b.refusal != "" {
		b.stand(o, Refused, b.refusal)
		return rest
	}
	now, why, err := u.Standing(ctx, o)
	if err != nil {
		b.rep.Once("update", fmt.Errorf("fleet: %w", err))
		return lookSoon
	}
	switch {
	case o.Leave && now != Trial && now != Proven:
		b.stand(o, Left, why)
	case o.Leave:
		if err := u.Leave(ctx, o, "the holder of the fleet's key asked for it"); err != nil {
			b.stand(o, Kept, err.Error())
			break
		}
		b.stand(o, Left, "")
		b.o.Restart()
	case now == Trial:
		if b.trialSince.IsZero() {
			b.trialSince = time.Now()
		}
		if time.Since(b.trialSince) < b.o.Patience {
			b.stand(o, Trial, why)
			return min(lookSoon, b.o.Patience)
		}
		why = fmt.Sprintf("it did not prove itself within %v", b.o.Patience)
		if u.Leave(ctx, o, why) != nil { // then who has it on trial decides
			return 10 * lookSoon
		}
		b.stand(o, Fallen, why)
		b.o.Restart()
	case now != "":
		b.stand(o, now, why)
	default:
		return b.take(ctx, u, rest)
	}
	return rest
}

// take fetches and installs what is ordered.
func (b *Board) take(ctx context.Context, u Updater, rest time.Duration) time.Duration {
	o, c := b.order, b.link.Load()
	if c == nil {
		return rest // or until it is there
	}
	if why := b.unwell(); why != "" {
		b.stand(o, Waiting, why)
		return min(10*lookSoon, b.o.Patience)
	}
	newer := func() bool { return len(b.told) > 0 }
	away, err := install(ctx, c, u, o, newer)
	if away != nil {
		if !newer() {
			b.rep.Once("fetch", fmt.Errorf("fleet: %s %s: %w", o.Kind, o.Name, away))
		}
		return lookSoon + time.Duration(mathrand.Int64N(int64(10*lookSoon)))
	}
	if err != nil {
		b.refusal = err.Error()
		b.stand(o, Refused, b.refusal)
		return rest
	}
	b.stand(o, Trial, "")
	b.o.Restart()
	return min(lookSoon, b.o.Patience)
}

// install fetches what is ordered, and hands it over. away is why it could not be
// fetched, for now.
func install(ctx context.Context, c *wire.Conn, u Updater, o *Order, newer func() bool) (away, err error) {
	fetch := func(p Piece) *artifact {
		return &artifact{ctx: ctx, c: c, piece: p, newer: newer, sum: sha256.New()}
	}
	var known *Canary
	if o.Canary != nil {
		if o.Canary.Size > MostCanary {
			return nil, fmt.Errorf("its canary of %d bytes is larger than %d", o.Canary.Size, MostCanary)
		}
		from := fetch(*o.Canary)
		b, err := io.ReadAll(from)
		if err == nil {
			known, err = ParseCanary(b)
		}
		if err != nil {
			return from.away, err
		}
	}
	file := fetch(Piece{o.SHA256, o.Size})
	err = u.Install(ctx, o, file, known)
	return file.away, err
}

// unwell says why a trial would prove nothing here. A board that has nothing to read
// with is one that something new may mend.
func (b *Board) unwell() string {
	if b.o.Health == nil {
		return ""
	}
	h := b.o.Health()
	if h.Ready || h.State == signal.NoModel || h.State == signal.NoHead {
		return ""
	}
	return string(h.State) + ": " + h.Reason
}

// stand notes how the board is with its order. Where that has changed the hub is told
// at once, and it is written down here.
func (b *Board) stand(o *Order, s Standing, why string) {
	now := &Update{o.Rollout, o.Kind, o.Version, s, why[:min(len(why), 500)]}
	if was := b.update.Swap(now); was != nil && *was == *now {
		return
	}
	b.feed.Take(b.health(time.Now()))
	outcome := fmt.Sprintf("%s, version %d: %s", o.Name, o.Version, s)
	if why != "" {
		outcome += ": " + why
	}
	b.o.Audit(Audit{Time: time.Now(), Command: "update the " + o.Kind, By: clip(o.Rollout), Done: s == Trial || s == Proven || s == Left, Outcome: outcome})
}

// errNotThere is that the hub keeps nothing of what was asked for.
var errNotThere = errors.New("it is not there")

// stored asks for a message that the hub keeps.
func stored(ctx context.Context, c *wire.Conn, subject string, which any) (*wire.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	var payload []byte
	if which != nil {
		b, err := json.Marshal(which)
		if err != nil {
			return nil, err
		}
		payload = b
	}
	m, err := ask(ctx, c, subject, "", payload)
	switch {
	case err != nil:
		return nil, err
	case strings.HasPrefix(m.Status, "404"):
		return nil, errNotThere
	case m.Status != "":
		return nil, fmt.Errorf("the hub answers %.60q", m.Status)
	}
	return m, nil
}

// artifact reads a file of the store Artifacts, chunk by chunk: no more than was
// ordered, and nothing else.
type artifact struct {
	ctx   context.Context
	c     *wire.Conn
	piece Piece
	newer func() bool
	sum   hash.Hash
	away  error // why the hub could not be read to the end

	subject string // of the chunks
	next    uint64 // the least number in the store that the next one may have
	came    int64
	rest    []byte // of the chunk that came last
}

// Read implements io.Reader.
func (a *artifact) Read(p []byte) (n int, err error) {
	if len(a.rest) == 0 {
		if a.came == a.piece.Size {
			if hex.EncodeToString(a.sum.Sum(nil)) != a.piece.SHA256 {
				return 0, errors.New("what the hub holds is not the file that was ordered")
			}
			return 0, io.EOF
		}
		if a.away = a.chunk(); a.away != nil {
			return 0, a.away
		}
	}
	n = copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// chunk fetches the next one.
func (a *artifact) chunk() error {
	if a.newer() {
		return errors.New("another order has come")
	}
	if a.subject == "" {
		if err := a.find(); err != nil {
			return err
		}
	}
	// Of the API for single messages (nats-server, JSApiMsgGetRequest).
	m, err := stored(a.ctx, a.c, "$JS.API.DIRECT.GET."+bucketOf(Artifacts), struct {
		Seq  uint64 `json:"seq"`
		Next string `json:"next_by_subj"`
	}{a.next, a.subject})
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", a.came, a.piece.Size, err)
	}
	var number uint64
	if _, err := fmt.Sscan(m.Header("Nats-Sequence"), &number); err != nil || number < a.next {
		return fmt.Errorf("the hub sends chunk %.20q where %d or later was asked for", m.Header("Nats-Sequence"), a.next)
	}
	a.next = number + 1
	a.rest = m.Payload[:min(int64(len(m.Payload)), a.piece.Size-a.came)]
	a.came += int64(len(a.rest))
	a.sum.Write(a.rest)
	return nil
}

// find asks where the chunks are (NATS's ADR-20: the description of a file has the
// file's name, encoded, in its subject, and says the name of the chunks).
func (a *artifact) find() error {
	name := "$O." + Artifacts + ".M." + base64.URLEncoding.EncodeToString([]byte(a.piece.SHA256))
	m, err := stored(a.ctx, a.c, lastOf(bucketOf(Artifacts), name), nil)
	if err != nil {
		return fmt.Errorf("%s of the store %s: %w", a.piece.SHA256, Artifacts, err)
	}
	var about struct {
		NUID string `json:"nuid"`
	}
	if err := json.Unmarshal(m.Payload, &about); err != nil || about.NUID == "" || strings.ContainsAny(about.NUID, ".*> \t\r\n") {
		return fmt.Errorf("the hub describes %s by %.60q", a.piece.SHA256, m.Payload)
	}
	a.subject = "$O." + Artifacts + ".C." + about.NUID
	return nil
}
