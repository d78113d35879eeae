//go:generate go run ./internal/diagram -o timing.svg

// Package signal turns what is seen into levels on a pin header: the contract
// that integrators wire to, as a state machine on the caller's clock. It owns
// no goroutine, reads no clock and touches no hardware. CONTRACT.md beside
// this file is the contract in words.
package signal

import "time"

// Transition is one change of one line.
type Transition struct {
	Time   time.Time `json:"time"`
	Line   string    `json:"line"`   // what the line means: "ready", "face", "code0", "is_happy"
	Pin    string    `json:"pin"`    // the GPIO line's name
	Active bool      `json:"active"` // the state meant
	Level  int       `json:"level"`  // 0 or 1, as on the wire: differs from Active on active-low lines
	Reason string    `json:"reason"` // why, in a few words
}

// Line is one line of the header as it stands.
type Line struct {
	Name   string    `json:"line"` // as in Transition
	Pin    string    `json:"pin"`
	Active bool      `json:"active"`
	Level  int       `json:"level"`
	Since  time.Time `json:"since,omitzero"`  // of the last change, if there was one
	Fault  string    `json:"fault,omitempty"` // why the wire does not carry Level, if it does not
}
