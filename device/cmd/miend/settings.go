package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"mien/device/config"
	"mien/device/page"
	"mien/device/pins"
	"mien/device/signal"
	"mien/device/status"
	"mien/runtime/secret"
)

// configurator is the configuration file in the hands of the page.
type configurator struct {
	a     *app
	blink atomic.Bool // a pin is being identified
}

// read returns the file's text; of one that is not there the sample, which
// says the same and more.
func (s *configurator) read() ([]byte, error) {
	data, err := os.ReadFile(s.a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return config.Sample, nil
	}
	return data, err
}

// versionOf names a text.
func versionOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// Configuration implements status.Settings.
func (s *configurator) Configuration() (status.Configuration, error) {
	data, err := s.read()
	if err != nil {
		return status.Configuration{}, err
	}
	c, err := config.Parse(s.a.path, data)
	if err != nil {
		return status.Configuration{}, err
	}
	_, undo, err := config.Before(s.a.path)
	if err != nil {
		return status.Configuration{}, err
	}
	out := status.Configuration{Version: versionOf(data), Fresh: c.Fresh(), Undo: undo, Pending: s.pending(&c), Free: s.free(&c),
		Simulated: s.a.sim, Lines: signal.Lines(*s.a.heads.Load())}
	group := ""
	for _, k := range c.Settings() {
		x := status.Setting{Key: k.Name, Doc: k.Doc, Kind: k.Kind, Value: k.Value, Secret: k.Secret, Set: k.Set, Restart: k.Reload == config.Restart}
		if g, _, in := strings.Cut(k.Name, "."); in && g != group {
			group, x.Group = g, config.GroupDoc(g)
		}
		out.Settings = append(out.Settings, x)
	}
	return out, nil
}

// pending are the keys of the file that wait for a restart.
func (s *configurator) pending(c *config.Config) (names []string) {
	for _, k := range config.Changed(s.a.began.Load(), c) {
		if k.Reload == config.Restart || k.Reload == config.Lines && s.a.imagined(c) {
			names = append(names, k.Name)
		}
	}
	return names
}

// imagined reports whether c has real lines while this run has a header in
// memory, which only a restart changes.
func (a *app) imagined(c *config.Config) bool {
	if _, sim := a.header.(*pins.Sim); !sim || a.sim {
		return false
	}
	_, sim := chooseHeader(c, a.board, nil).(*pins.Sim)
	return !sim
}

// Change implements status.Settings.
func (s *configurator) Change(c status.Change) (status.Verdict, error) {
	s.a.changing.Lock()
	defer s.a.changing.Unlock()
	data, err := s.read()
	if err != nil {
		return status.Verdict{}, err
	}
	if c.Of != versionOf(data) {
		return status.Verdict{}, status.ErrStale
	}
	return s.change(data, c.Changes, c.Take)
}

// change has the file, which holds data, hold other values of keys: what is wrong
// with them is in the verdict.
func (s *configurator) change(data []byte, changes map[string]string, really bool) (status.Verdict, error) {
	changes = maps.Clone(changes)
	if token := strings.TrimSpace(changes["status.token"]); token != "" && page.CheckToken(token) == nil && !strings.Contains(token, "${") { // a reference is Edit's to refuse
		changes["status.token"] = hashed(token)
	}
	out, err := config.Edit(s.a.path, data, changes)
	if err != nil {
		return verdict(err, data), nil
	}
	return s.take(out, really, func() error { return config.Replace(s.a.path, out) })
}

// Undo implements status.Settings.
func (s *configurator) Undo() (status.Verdict, error) {
	s.a.changing.Lock()
	defer s.a.changing.Unlock()
	data, n, err := config.Before(s.a.path)
	if err != nil {
		return status.Verdict{}, err
	}
	if n == 0 {
		return status.Verdict{Problems: []status.Problem{{Text: "there is no configuration before this one"}}}, nil
	}
	// Without a token the device would be the next one's who comes.
	now, err := s.read()
	if err != nil {
		return status.Verdict{}, err
	}
	has, err := config.Parse(s.a.path, now)
	if had, errBefore := config.Parse(s.a.path, data); err == nil && errBefore == nil && had.Status.Token.IsZero() && !has.Status.Token.IsZero() {
		return status.Verdict{Problems: []status.Problem{{Key: "status.token", Text: "the configuration before has no token: that is taken back in its file alone"}}}, nil
	}
	return s.take(data, true, func() error { return config.Undo(s.a.path) })
}

// take judges a file as miend check does, and has it written and taken over
// when it is right.
func (s *configurator) take(data []byte, really bool, write func() error) (status.Verdict, error) {
	f, err := config.ParseFile(s.a.path, data)
	if err == nil {
		err = errors.Join(verify(&f, s.a.board, s.a.root)...)
	}
	if err != nil {
		return verdict(err, data), nil
	}
	v := status.Verdict{Pending: s.pending(&f.Config)}
	if !really {
		return v, nil
	}
	if err := write(); err != nil {
		return v, err
	}
	v.Taken = true
	if f, err = config.ParseFile(s.a.path, data); err == nil {
		err = s.a.reload(f.Config)
	}
	if err != nil { // it is right, and waits for a restart
		s.a.log.Warn("the changed configuration is written and not taken over", "error", err)
	}
	return v, nil
}

func verdict(err error, data []byte) (v status.Verdict) {
	for _, f := range config.Faults(err, data) {
		v.Problems = append(v.Problems, status.Problem{Key: f.Key, Text: f.Message})
	}
	return v
}

// Restart implements status.Settings.
func (s *configurator) Restart() {
	if end := s.a.end.Load(); end != nil {
		(*end)(errAgain)
	}
}

// errAgain ends a run that another one follows at once.
var errAgain = errors.New("start again")

// free are the pins of the header that no key uses.
func (s *configurator) free(c *config.Config) (all []status.Pin) {
	own := *c
	named(&own, s.a.board, s.a.root)
	taken := map[string]bool{}
	for _, p := range slices.Concat(own.Pins(), s.a.now.Load().Pins()) {
		taken[p.Pin] = true
	}
	header := status.HeaderOf(s.a.board)
	if len(header) == 0 && s.a.sim {
		for i := 2; i < 28; i++ {
			header = append(header, status.Pin{Name: fmt.Sprintf("GPIO%d", i), Kind: "gpio"})
		}
	}
	known := map[string]bool{}
	for _, p := range s.a.board.Header {
		known[p.Name()] = true
	}
	for _, p := range header {
		if p.Kind == "gpio" && !taken[p.Name] && (known[p.Name] || s.a.sim) {
			all = append(all, p)
		}
	}
	return all
}

// blinker is a header whose free lines can be identified.
type blinker interface {
	Blink(ctx context.Context, name string) error
}

// Identify implements status.Settings.
func (s *configurator) Identify(pin string) error {
	c, err := config.Load(s.a.path)
	if errors.Is(err, fs.ErrNotExist) {
		c, err = config.Default(), nil
	}
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(s.free(&c), func(p status.Pin) bool { return p.Name == pin }) {
		return fmt.Errorf("%q is no free pin of this board's header", pin)
	}
	var h blinker = pins.Chips{Chip: c.Signals.Chip, Board: s.a.board.Header}
	if sim, ok := s.a.header.(*pins.Sim); ok && s.a.sim {
		h = sim
	}
	if !s.blink.CompareAndSwap(false, true) {
		return fmt.Errorf("another pin is being identified: wait two seconds")
	}
	failed := make(chan error, 1)
	go func() {
		defer s.blink.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		failed <- h.Blink(ctx, pin)
	}()
	select { // what goes wrong goes wrong at once
	case err := <-failed:
		return err
	case <-time.After(200 * time.Millisecond):
		return nil
	}
}

// setupWindow is how long a device that nobody has set up waits for somebody.
const setupWindow = 30 * time.Minute

// claim is how the page gives the device its token; nil when it is nobody's to
// give any more.
func (a *app) claim(cfg *config.Config) *status.Claim {
	if a.path == "" || !a.began.Load().Untouched() {
		return nil
	}
	return &status.Claim{Until: time.Now().Add(setupWindow), Take: a.claimed}
}

// hashed is a token as the file holds one that came by the page.
func hashed(token string) string {
	if strings.HasPrefix(token, page.Hashed) {
		return token
	}
	sum := sha256.Sum256([]byte(token))
	return page.Hashed + hex.EncodeToString(sum[:])
}

// claimed writes the token that somebody has chosen, as its hash, and where
// the page answers.
func (a *app) claimed(token string) error {
	s := a.settings
	data, err := s.read()
	if err != nil {
		return err
	}
	changes := map[string]string{"status.token": hashed(token)}
	if a.setup != "" {
		changes["status.listen"] = a.setup
	}
	was := a.now.Load() // both hold from now on, and wait for no restart
	now := *was
	now.Status.Token = secret.New(changes["status.token"])
	if a.setup != "" {
		now.Status.Listen = a.setup
	}
	a.now.Store(&now)
	v, err := s.Change(status.Change{Of: versionOf(data), Changes: changes, Take: true})
	if err == nil && !v.Taken {
		err = fmt.Errorf("the configuration is not right: %s", cmp.Or(firstOf(v.Problems), "nobody says why"))
	}
	if err != nil {
		a.now.Store(was)
		return err
	}
	began := *a.began.Load()
	began.Status = now.Status
	a.began.Store(&began)
	a.log.Info("somebody has set the device up and chosen its token")
	return nil
}

func firstOf(problems []status.Problem) string {
	if len(problems) == 0 {
		return ""
	}
	return strings.TrimPrefix(problems[0].Key+": "+problems[0].Text, ": ")
}
