package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"mien/runtime/atomicfile"
	"mien/train"
)

// StateFile is where a sweep keeps what it knows, in its folder.
const StateFile = "sweep.json"

// Trial is one setting of the keys.
type Trial struct {
	Dir    string    `json:"dir"` // within the sweep's folder
	Set    []string  `json:"set"`
	Curve  []float64 `json:"curve"`            // validation accuracy of what is monitored, by epoch
	Ended  bool      `json:"ended,omitempty"`  // by its own recipe
	Failed string    `json:"failed,omitempty"` // why it failed, for instance a loss that is no number
}

// Best is the best accuracy so far; -1 for a failed trial or one not begun.
func (t *Trial) Best() float64 {
	if t.Failed != "" || len(t.Curve) == 0 {
		return -1
	}
	return slices.Max(t.Curve)
}

// Plan is what a sweep does; a sweep is resumed with the same one only.
type Plan struct {
	Recipe string   `json:"recipe"`
	Set    []string `json:"set"` // common to all trials
	Data   []string `json:"data"`
	Limit  int      `json:"limit"`
	Axes   []Axis   `json:"axes"`
	Trials int      `json:"trials"`
	First  int      `json:"first"` // epochs of the first round
	Keep   int      `json:"keep"`  // one in Keep goes on, for Keep times the epochs
	Epochs int      `json:"epochs"`
	Seed   uint64   `json:"seed"`
}

// Runner trains a trial until it has that many epochs in all and returns its
// log. An error that is a TrialError fails the trial, any other the sweep.
type Runner func(ctx context.Context, dir string, set []string, epochs int) ([]train.Epoch, error)

// TrialError is the failure of one trial.
type TrialError struct{ Reason string }

func (e *TrialError) Error() string { return e.Reason }

// Sweep is a search and how far it is.
type Sweep struct {
	Plan   Plan       `json:"plan"`
	Trials []*Trial   `json:"trials"`
	mu     sync.Mutex // of what is saved
	dir    string
	base   train.Recipe
}

// Open begins a sweep in dir, or takes up the one that is there.
func Open(dir string, p Plan) (*Sweep, error) {
	base, err := train.LoadRecipe(p.Recipe, p.Set)
	if err != nil {
		return nil, err
	}
	if p.First < 1 || p.Keep < 2 || p.Epochs < p.First {
		return nil, fmt.Errorf("sweep: %d epochs in the first round of %d, one in %d kept: want at least 1, no more than all, and 2", p.First, p.Epochs, p.Keep)
	}
	s := &Sweep{Plan: p, dir: dir, base: base}
	path := filepath.Join(dir, StateFile)
	b, err := os.ReadFile(path)
	if err == nil {
		return s, s.takeUp(path, b)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	sets, err := Draw(base, p.Axes, p.Trials, p.Seed)
	if err != nil {
		return nil, err
	}
	for i, set := range sets {
		s.Trials = append(s.Trials, &Trial{Dir: fmt.Sprintf("trial-%03d", i+1), Set: set})
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return s, s.save()
}

func (s *Sweep) takeUp(path string, b []byte) error {
	plan, err := json.Marshal(s.Plan)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if err := json.Unmarshal(b, s); err != nil {
		return fmt.Errorf("sweep: %s: %w", path, err)
	}
	kept, err := json.Marshal(s.Plan)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if !bytes.Equal(plan, kept) {
		return fmt.Errorf("sweep: %s is of another sweep (give the same flags, or choose another folder)", path)
	}
	return nil
}

func (s *Sweep) save() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	path := filepath.Join(s.dir, StateFile)
	err = atomicfile.Replace(path, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("sweep: write %s: %w", path, err)
	}
	return nil
}

// Rounds returns the epochs that a trial has had after each round.
func (p Plan) Rounds() []int {
	var out []int
	for e := p.First; e < p.Epochs; e *= p.Keep {
		out = append(out, e)
	}
	return append(out, p.Epochs)
}

// Run does what is left of the sweep, at most so many trials of a round at once;
// how many makes no difference to what comes out. Told, if not nil, hears of every
// trial before it trains.
func (s *Sweep) Run(ctx context.Context, atOnce int, run Runner, told func(round, rounds int, t *Trial, epochs int)) error {
	alive := slices.Clone(s.Trials)
	rounds := s.Plan.Rounds()
	for i, epochs := range rounds {
		if i > 0 {
			alive = better(alive, int(math.Ceil(float64(len(alive))/float64(s.Plan.Keep))))
		}
		trials, ctx := errgroup.WithContext(ctx)
		trials.SetLimit(atOnce)
		for _, t := range alive {
			if t.Failed != "" || t.Ended || len(t.Curve) >= epochs {
				continue
			}
			trials.Go(func() error {
				if ctx.Err() != nil {
					return nil // another one has failed, and says why
				}
				if told != nil {
					told(i+1, len(rounds), t, epochs)
				}
				return s.trial(ctx, run, t, epochs)
			})
		}
		if err := trials.Wait(); err != nil {
			return err
		}
	}
	if best := s.Ranked()[0]; best.Best() < 0 {
		return fmt.Errorf("sweep: every trial failed, the first one by: %s", s.Trials[0].Failed)
	}
	return nil
}

func (s *Sweep) trial(ctx context.Context, run Runner, t *Trial, epochs int) error {
	log, err := run(ctx, filepath.Join(s.dir, t.Dir), t.Set, epochs)
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed *TrialError
	if errors.As(err, &failed) {
		t.Failed = failed.Reason
		return s.save()
	}
	if err != nil {
		return err
	}
	t.Curve = nil
	for _, e := range log {
		t.Curve = append(t.Curve, s.base.Accuracy(&e))
	}
	t.Ended = len(t.Curve) < epochs // its own recipe stopped it
	return s.save()
}

// better returns the n best of trials as they were after the round that all
// of them had: the shortest curve among those alive.
func better(trials []*Trial, n int) []*Trial {
	shortest := math.MaxInt
	for _, t := range trials {
		if t.Failed == "" && !t.Ended {
			shortest = min(shortest, len(t.Curve))
		}
	}
	score := func(t *Trial) float64 {
		if t.Failed != "" || len(t.Curve) == 0 {
			return -1
		}
		return slices.Max(t.Curve[:min(len(t.Curve), shortest)])
	}
	out := slices.Clone(trials)
	slices.SortStableFunc(out, func(a, b *Trial) int {
		switch x, y := score(a), score(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return out[:min(n, len(out))]
}

// Ranked returns the trials, those that went further and did better first.
func (s *Sweep) Ranked() []*Trial {
	out := slices.Clone(s.Trials)
	slices.SortStableFunc(out, func(a, b *Trial) int {
		switch x, y := a.Best(), b.Best(); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return len(b.Curve) - len(a.Curve)
	})
	return out
}

// Monitor is the head whose validation accuracy ranks the trials, or all.
func (s *Sweep) Monitor() string { return s.base.Monitor }
