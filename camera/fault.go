package camera

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Printable returns what a stranger said, such as a camera's name for itself,
// as it may be printed: without what a terminal would obey.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// Fault is the kind of thing that is wrong with a picture.
type Fault uint8

// The faults.
const (
	Cut         Fault = iota // it ends before its last pixel
	Damaged                  // what it holds makes no sense
	Unsupported              // it is of a kind that is not decoded
	TooLarge                 // it has more bytes or pixels than a camera's picture may have
	faults
)

var faultNames = [faults]string{"cut", "damaged", "unsupported", "too large"}

func (f Fault) String() string {
	if f < faults {
		return faultNames[f]
	}
	return fmt.Sprintf("fault %d", uint8(f))
}

// BadPicture is the error of a picture that cannot be given. The next one may
// be good.
type BadPicture struct {
	Fault Fault
	Why   string // in words, with what was found
}

func (e *BadPicture) Error() string { return e.Why }

// Bad returns a BadPicture.
func Bad(f Fault, format string, args ...any) *BadPicture {
	return &BadPicture{f, fmt.Sprintf(format, args...)}
}

// Dropped counts the pictures that a source did not give, by what was wrong
// with them.
type Dropped struct {
	Counts [faults]uint64 // by Fault
	Last   string         // what was wrong with the last one, in words
}

// Add counts a picture. An error that is no BadPicture counts as damage.
func (d *Dropped) Add(err error) {
	kind := Damaged
	var bad *BadPicture
	if errors.As(err, &bad) && bad.Fault < faults {
		kind = bad.Fault
	}
	d.Counts[kind]++
	d.Last = err.Error()
}

// Merge adds what other counted.
func (d *Dropped) Merge(other Dropped) {
	for i, n := range other.Counts {
		d.Counts[i] += n
	}
	if other.Last != "" {
		d.Last = other.Last
	}
}

// Total is how many pictures were dropped.
func (d Dropped) Total() (n uint64) {
	for _, k := range d.Counts {
		n += k
	}
	return n
}

// String says what was dropped and why, or nothing.
func (d Dropped) String() string {
	var all []string
	for i, n := range d.Counts {
		if n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, Fault(i)))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, ", ") + "; the last: " + d.Last
}

// Silent is the error of a source that has given no picture for d, with what is
// known of why.
func Silent(s Source, d time.Duration) error {
	if x, ok := s.(Dropper); ok && x.Dropped().Total() > 0 {
		return fmt.Errorf("camera: no good frame for %v; dropped since it was opened: %v", d, x.Dropped())
	}
	return fmt.Errorf("camera: no frame for %v", d)
}

// Dropper is a Source that drops pictures which it cannot give. Dropped may be
// called at any time, from any goroutine.
type Dropper interface {
	Dropped() Dropped
}

// Tally makes a Dropper of the source that embeds it.
type Tally struct {
	mu sync.Mutex
	d  Dropped
}

// Drop counts a picture that is not given, and why.
func (t *Tally) Drop(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.d.Add(err)
}

// Dropped returns what was counted.
func (t *Tally) Dropped() Dropped {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.d
}
