package fleet

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mien/device/fleet"
	"mien/device/update"
	"mien/runtime/plainfile"
)

// Rollout is a roll-out as the store Rollouts has it: what, to whom, how far. All
// that there is of it stands there, so that whoever holds the fleet's key can go on
// with it.
type Rollout struct {
	Name      string       `json:"name"`
	Kind      string       `json:"kind"`
	File      string       `json:"file"`
	Version   uint64       `json:"version"`
	SHA256    string       `json:"sha256"`
	Size      int64        `json:"size"`
	Signature string       `json:"signature"`
	Canary    *fleet.Piece `json:"canary,omitempty"` // that each board has it pass first
	By        string       `json:"by"`
	Begun     time.Time    `json:"begun"`

	Boards []string `json:"boards"` // SITE/BOARD, in the order in which they are offered it
	Stages []int    `json:"stages"` // how many of them are at the end of each stage
	Rules  Rules    `json:"rules"`

	State    RolloutState `json:"state"`
	Why      string       `json:"why,omitempty"` // it does not go on
	Stage    int          `json:"stage"`         // that is under way, from 0
	Away     []string     `json:"away"`          // were silent when they were offered it: nobody waits for them
	Late     []string     `json:"late"`          // had not proven it in time
	Progress Progress     `json:"progress"`      // as it was last written

	Holder string `json:"holder,omitempty"` // the controller; empty: none has it
	Beat   uint64 `json:"beat"`             // grows while that lives
}

// Rules say when a roll-out goes on, and when it halts.
type Rules struct {
	// Within this time each board of a stage has to have proven it.
	Within time.Duration `json:"within_ns"`
	// Hold is how long a stage has to stay well before the next.
	Hold time.Duration `json:"hold_ns"`
	// Tolerate is how many of the boards that were offered it may fail, in percent,
	// rounded down.
	Tolerate float64 `json:"tolerate_percent"`
}

// RolloutState is how a roll-out stands.
type RolloutState string

// All that there are.
const (
	Running RolloutState = "running"
	Leaving RolloutState = "leaving" // it is halted, and those that took it go back
	Halted  RolloutState = "halted"
	Done    RolloutState = "done"
)

// Ended reports whether nothing more is to be done.
func (s RolloutState) Ended() bool { return s == Halted || s == Done }

// Progress counts the boards that were offered a roll-out, each once.
type Progress struct {
	Offered int       `json:"offered"`
	Pending int       `json:"pending"` // nothing is known yet, or it is on trial
	Proven  int       `json:"proven"`
	Failed  int       `json:"failed"` // fell, refused, or were not well after it
	Away    int       `json:"away"`   // are silent, or not well enough to try anything
	Left    int       `json:"left"`   // went back
	Failing []Failure `json:"failing"`
}

// outcome is how a board counts that was offered a roll-out.
type outcome int

const (
	proven outcome = iota
	left
	failed
	away
	pending
)

// outcomes is the one table of them: the name in metrics and tables, the words about a number
// of boards, and where Progress counts them.
var outcomes = [...]struct {
	name, words string
	boards      func(*Progress) *int
}{
	proven:  {"proven", "%d have proven it", func(p *Progress) *int { return &p.Proven }},
	left:    {"left", "%d run what was before it", func(p *Progress) *int { return &p.Left }},
	failed:  {"failed", "%d failed", func(p *Progress) *int { return &p.Failed }},
	away:    {"away", "%d are away", func(p *Progress) *int { return &p.Away }},
	pending: {"pending", "of %d nothing is known", func(p *Progress) *int { return &p.Pending }},
}

// Outcomes names how boards may count that were offered a roll-out.
func Outcomes() (names []string) {
	for _, o := range outcomes {
		names = append(names, o.name)
	}
	return names
}

// Counts are the boards of each of the Outcomes.
func (p Progress) Counts() (boards []int) {
	for _, o := range outcomes {
		boards = append(boards, *o.boards(&p))
	}
	return boards
}

// String says it in a sentence.
func (p Progress) String() string {
	var counted []string
	for i, n := range p.Counts() {
		counted = append(counted, fmt.Sprintf(outcomes[i].words, n))
	}
	return fmt.Sprintf("of %d that were offered it %s", p.Offered, strings.Join(counted, ", "))
}

// Failure is a board that failed.
type Failure struct {
	Board string `json:"board"`
	Why   string `json:"why"`
}

// mostFailing is how many are named.
const mostFailing = 10

// What a roll-out of a file is offered, and to whom.
type RolloutOptions struct {
	File   string // its signature is beside it, as FILE.minisig
	Tag    string // only to boards of that tag; empty for all
	Site   string // only there
	Stages string // such as 1,5%,25%,100%
	Rules  Rules
	Canary *fleet.Canary // known faces that each board has a model read first; nil for none
	By     string
}

// ErrNoRollout is that there is none of a name.
var ErrNoRollout = errors.New("fleet: there is no such roll-out")

// KindOf is what a file is rolled out as.
func KindOf(file string) (string, error) {
	kind := map[string]string{".tflite": fleet.OfModel, ".img": fleet.OfImage, ".deb": "package"}[filepath.Ext(file)]
	if kind == "" {
		return "", fmt.Errorf("fleet: %s is no model (.tflite) and no image (.img)", file)
	}
	return kind, fleet.CheckKind(kind)
}

// ParseStages reads how many of n boards are to have been offered something at the
// end of each stage: numbers, and parts in percent, rounded up. Stages that add no
// board are left out.
func ParseStages(s string, n int) (stages []int, err error) {
	for word := range strings.SplitSeq(s, ",") {
		number, percent := strings.CutSuffix(strings.TrimSpace(word), "%")
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || !(v > 0) || percent && v > 100 || !percent && v != math.Trunc(v) {
			return nil, fmt.Errorf("fleet: stage %.20q is neither a number of boards nor a part of them such as 5%%", word)
		}
		if percent {
			v *= float64(n) / 100
		}
		if at := int(math.Ceil(min(v, float64(n)))); len(stages) == 0 || at > stages[len(stages)-1] {
			stages = append(stages, at)
		}
	}
	return stages, nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mostBoards is how many a roll-out may have: its record is one message.
const mostBoards = 10_000

// Rollouts returns all roll-outs, the newest first.
func Rollouts(ctx context.Context, js jetstream.JetStream) ([]Rollout, error) {
	kv, err := bucket(ctx, js, fleet.Rollouts)
	if err != nil {
		return nil, err
	}
	names, err := kv.Keys(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, fmt.Errorf("fleet: store %s: %w", fleet.Rollouts, err)
	}
	all := []Rollout{}
	for _, name := range names {
		r, _, err := readRollout(ctx, kv, name)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Rollout) int { return cmp.Or(b.Begun.Compare(a.Begun), cmp.Compare(a.Name, b.Name)) })
	return all, nil
}

// ShortRollout is a roll-out in numbers: without the names of its boards.
type ShortRollout struct {
	Name     string       `json:"name"`
	Kind     string       `json:"kind"`
	File     string       `json:"file"`
	Version  uint64       `json:"version"`
	By       string       `json:"by"`
	Begun    time.Time    `json:"begun"`
	State    RolloutState `json:"state"`
	Why      string       `json:"why,omitempty"`
	Boards   int          `json:"boards"`
	Stage    int          `json:"stage"` // that is under way, from 1
	Stages   int          `json:"stages"`
	Progress Progress     `json:"progress"`
}

// Short leaves the names away, but for those of boards that failed.
func (r *Rollout) Short() ShortRollout {
	return ShortRollout{r.Name, r.Kind, r.File, r.Version, r.By, r.Begun, r.State, r.Why, len(r.Boards), r.Stage + 1, len(r.Stages), r.Progress}
}

func readRollout(ctx context.Context, kv jetstream.KeyValue, name string) (r Rollout, revision uint64, err error) {
	e, err := kv.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return r, 0, fmt.Errorf("%w: %s (mien fleet rollout lists them)", ErrNoRollout, name)
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &r)
	}
	if err != nil {
		return r, 0, fmt.Errorf("fleet: roll-out %s: %w", name, err)
	}
	return r, e.Revision(), nil
}

// Begin writes a roll-out down, or finds the one that the same file, tag and site
// began, which then goes on as it was begun. Drive has it done.
func (h *Home) Begin(ctx context.Context, js jetstream.JetStream, o RolloutOptions) (name string, err error) {
	r, file, err := newRollout(o)
	if err != nil {
		return "", err
	}
	all, err := Rollouts(ctx, js)
	if err != nil {
		return "", err
	}
	for _, x := range all {
		switch {
		case x.Name == r.Name && x.SHA256 == r.SHA256 && !x.State.Ended():
			_, err := keep(ctx, js, r.File, file)
			return r.Name, err
		case x.Name == r.Name:
			return "", fmt.Errorf("fleet: %s is %s already: sign another file, or this one again with a higher version (minisign -Sm FILE -t version:N)", x.Name, x.State)
		case !x.State.Ended():
			return "", fmt.Errorf("fleet: %s is under way: a board follows one order at a time (mien fleet rollback %s ends it)", x.Name, x.Name)
		}
	}
	standing, err := h.standing(ctx, js)
	if err != nil {
		return "", err
	}
	r.Boards = chosen(standing, o, time.Now())
	if len(r.Boards) == 0 {
		return "", fmt.Errorf("fleet: no board of %s is of tag %q and site %q: a board's tags are known once it was heard of (mien fleet ls)", h.Dir, o.Tag, o.Site)
	}
	if len(r.Boards) > mostBoards {
		return "", fmt.Errorf("fleet: %d boards are more than %d: roll out by site, or by tag", len(r.Boards), mostBoards)
	}
	if r.Stages, err = ParseStages(o.Stages, len(r.Boards)); err != nil {
		return "", err
	}
	r.Away = append(r.Away, silentOf(r.Boards[:r.Stages[0]], standing, time.Now())...)
	if _, err := keep(ctx, js, r.File, file); err != nil {
		return "", err
	}
	if o.Canary != nil {
		b, err := json.Marshal(o.Canary)
		if err != nil {
			return "", err
		}
		if len(b) > fleet.MostCanary {
			return "", fmt.Errorf("fleet: a canary of %d bytes is larger than %d: take fewer faces", len(b), fleet.MostCanary)
		}
		if r.Canary, err = keep(ctx, js, "canary of "+r.File, b); err != nil {
			return "", err
		}
	}
	kv, err := bucket(ctx, js, fleet.Rollouts)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	if _, err = kv.Create(ctx, r.Name, b); err != nil {
		return "", fmt.Errorf("fleet: roll-out %s: %w", r.Name, err)
	}
	return r.Name, nil
}

// standing returns how the boards are that are enrolled, as far as their health says.
func (h *Home) standing(ctx context.Context, js jetstream.JetStream) ([]Standing, error) {
	boards, err := h.Boards()
	if err != nil {
		return nil, err
	}
	c := controller{heard: map[string]Standing{}}
	stop, err := follow(ctx, js, fleet.OfHealth, newest, c.hear)
	if err != nil {
		return nil, err
	}
	stop()
	var all []Standing
	for _, e := range boards {
		s := c.standing(e.String())
		s.Site, s.Board = e.Site, e.Board
		all = append(all, s)
	}
	return all, nil
}

// newRollout reads what is to be rolled out.
func newRollout(o RolloutOptions) (*Rollout, []byte, error) {
	for _, w := range []string{o.Site, o.Tag} {
		if w == "" {
			continue
		}
		if err := fleet.CheckTag(w); err != nil {
			return nil, nil, err
		}
	}
	kind, err := KindOf(o.File)
	if err != nil {
		return nil, nil, err
	}
	file, err := plainfile.Read(o.File, 128<<20)
	if err != nil {
		return nil, nil, fmt.Errorf("fleet: %w", err)
	}
	signature, err := plainfile.Read(o.File+".minisig", 16<<10)
	if err != nil {
		return nil, nil, fmt.Errorf("fleet: the signature beside it: %w (sign it with: minisign -Sm %s)", err, o.File)
	}
	said, err := update.Claims(signature)
	if err != nil {
		return nil, nil, err
	}
	name := fmt.Sprintf("%s-%d", kind, said.Version)
	for _, w := range []string{o.Site, o.Tag} {
		if w != "" {
			name += "-" + w
		}
	}
	return &Rollout{Name: name, Kind: kind, File: filepath.Base(o.File), Version: said.Version, SHA256: digest(file), Size: int64(len(file)),
		Signature: string(signature), By: o.By, Begun: time.Now().UTC().Round(time.Millisecond), Rules: o.Rules, State: Running, Away: []string{}, Late: []string{}}, file, nil
}

// chosen are the boards that a roll-out is for: those that are well first, and else
// in an order that is another for each file, so that not the same board is always
// the first to try things.
func chosen(all []Standing, o RolloutOptions, now time.Time) (names []string) {
	type board struct {
		name string
		ill  int
		draw [sha256.Size]byte
	}
	var boards []board
	for i := range all {
		s := &all[i]
		if o.Site != "" && s.Site != o.Site || o.Tag != "" && (s.Health == nil || !slices.Contains(s.Health.Tags, o.Tag)) {
			continue
		}
		name := s.Site + "/" + s.Board
		well := s.Health != nil && s.Health.Ready && !s.silent(now)
		boards = append(boards, board{name, bit(!well), sha256.Sum256([]byte(filepath.Base(o.File) + "\n" + name))})
	}
	slices.SortFunc(boards, func(a, b board) int { return cmp.Or(cmp.Compare(a.ill, b.ill), bytes.Compare(a.draw[:], b.draw[:])) })
	for _, b := range boards {
		names = append(names, b.name)
	}
	return names
}

// silentOf are those of the boards that have not been heard of lately.
func silentOf(names []string, all []Standing, now time.Time) (silent []string) {
	for i := range all {
		if name := all[i].Site + "/" + all[i].Board; all[i].silent(now) && slices.Contains(names, name) {
			silent = append(silent, name)
		}
	}
	return silent
}

// chunk is the size in which boards fetch a file: over a slow line each has to come
// within the time in which the hub is to answer.
const chunk = 32 << 10

// keep puts a file where boards fetch it.
func keep(ctx context.Context, js jetstream.JetStream, about string, file []byte) (*fleet.Piece, error) {
	store, err := artifacts(ctx, js)
	if err != nil {
		return nil, err
	}
	p := &fleet.Piece{SHA256: digest(file), Size: int64(len(file))}
	if i, err := store.GetInfo(ctx, p.SHA256); err == nil && int64(i.Size) == p.Size {
		return p, nil
	}
	_, err = store.Put(ctx, jetstream.ObjectMeta{Name: p.SHA256, Description: about, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunk}}, bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("fleet: store %s: %w (when it is full: mien fleet serve --disk)", fleet.Artifacts, err)
	}
	return p, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Rollback has those that took a roll-out go back, whoever drives it. Drive has it
// done.
func (h *Home) Rollback(ctx context.Context, js jetstream.JetStream, name, by string) error {
	kv, err := bucket(ctx, js, fleet.Rollouts)
	if err != nil {
		return err
	}
	all, err := Rollouts(ctx, js)
	if err != nil {
		return err
	}
	for {
		r, revision, err := readRollout(ctx, kv, name)
		if err != nil {
			return err
		}
		if r.State == Halted || r.State == Leaving {
			return nil
		}
		for _, x := range all {
			if x.Name != name && x.Begun.After(r.Begun) && x.State != Halted && slices.ContainsFunc(x.Boards, func(b string) bool { return slices.Contains(r.Boards, b) }) {
				return fmt.Errorf("fleet: %s came after %s: roll that one back first", x.Name, name)
			}
		}
		// Who drives it now notices by the revision that it is no longer his.
		r.State, r.Why, r.Holder = Leaving, by+" asked for it", ""
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := kv.Update(ctx, name, b, revision); err == nil {
			return nil
		} else if !changed(err) {
			return fmt.Errorf("fleet: roll-out %s: %w", name, err)
		}
	}
}

// changed reports whether a value was not written because somebody else wrote it.
func changed(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
