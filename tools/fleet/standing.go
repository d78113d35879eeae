package fleet

import (
	"slices"
	"time"

	"mien/device/fleet"
)

// Standing is what the hub knows of a board.
type Standing struct {
	Site   string        `json:"site"`
	Board  string        `json:"board"`
	Seen   time.Time     `json:"seen,omitzero"` // when the hub heard of its health, by the hub's clock
	Health *fleet.Health `json:"health"`        // nil: it has not been heard of
	Counts *fleet.Counts `json:"counts"`        // of its last while; nil: none have come of late
	Hour   *fleet.Counts `json:"hour"`          // of the last hour that it counted; nil while it is silent
}

// silent is how long a board may say nothing before that is said of it: it sends
// its health once a minute.
const silent = 3 * time.Minute

// State is a board's own, or, where it has none to go by, that it is silent.
func (s *Standing) State(now time.Time) string {
	switch {
	case s.Health == nil:
		return "never heard of"
	case s.silent(now):
		return "silent"
	}
	return string(s.Health.State)
}

// silent reports whether nothing was heard of the board for so long that it is away.
func (s *Standing) silent(now time.Time) bool { return now.Sub(s.Seen) > silent }

// rowOf returns the row of the table of subjects of a name that is in it.
func rowOf(name string) fleet.Subject {
	return fleet.Subjects[slices.IndexFunc(fleet.Subjects, func(s fleet.Subject) bool { return s.Name == name })]
}
