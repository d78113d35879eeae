package fleet

import (
	"cmp"
	"context"
	"slices"
	"time"

	"mien/device/fleet"
)

// Change is one thing about a board that was otherwise before.
type Change struct {
	Time   time.Time `json:"time"`
	Site   string    `json:"site"`
	Board  string    `json:"board"`
	What   string    `json:"what"`   // enrolled, state, version, model, or a kind of trouble
	Before string    `json:"before"` // empty: there was none
	Now    string    `json:"now"`    // empty: there is none
}

// Changes calls tell with what changes, oldest first, until ctx ends. It looks once
// each every.
func (v *View) Changes(ctx context.Context, every time.Duration, tell func(Change) error) error {
	before, err := v.Boards(time.Now())
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		now, err := v.Boards(time.Now())
		if err != nil {
			return err
		}
		for _, c := range changes(before, now, time.Now()) {
			if err := tell(c); err != nil {
				return err
			}
		}
		before = now
	}
}

// changes are what differs between two looks, both by site and name.
func changes(before, now []*Board, at time.Time) (all []Change) {
	was := map[fleet.ID]*Board{}
	for _, b := range before {
		was[b.ID()] = b
	}
	for _, b := range now {
		old := was[b.ID()]
		delete(was, b.ID())
		all = append(all, differ(old, b, at)...)
	}
	for _, b := range before {
		if was[b.ID()] != nil {
			all = append(all, Change{at, b.Site, b.Board, "enrolled", "yes", ""})
		}
	}
	return all
}

// differ says what is new about a board; old is nil when it is new itself.
func differ(old, b *Board, at time.Time) (all []Change) {
	say := func(what, before, now string) {
		if before != now {
			all = append(all, Change{at, b.Site, b.Board, what, before, now})
		}
	}
	if old == nil {
		say("enrolled", "", "yes")
		return all
	}
	say("state", old.Now, b.Now)
	if old.Health != nil && b.Health != nil {
		say("version", old.Health.Version, b.Health.Version)
		say("model", old.Health.Model, b.Health.Model)
	}
	for _, kind := range kinds {
		// What the state says already, and numbers that grow, are no news.
		before, now := textOf(old, kind), textOf(b, kind)
		if kind != "silent" && kind != "state" && kind != "new" && (before == "") != (now == "") {
			say(kind, before, now)
		}
	}
	return all
}

func textOf(b *Board, kind string) string {
	i := slices.IndexFunc(b.Troubles, func(t Trouble) bool { return t.Kind == kind })
	if i < 0 {
		return ""
	}
	return b.Troubles[i].Text
}

func (c Change) String() string {
	s := c.Time.Format(time.TimeOnly) + " " + c.Site + "/" + c.Board + " " + c.What + ": " + cmp.Or(c.Now, "no more")
	if c.Before != "" {
		s += " (was " + c.Before + ")"
	}
	return s
}
