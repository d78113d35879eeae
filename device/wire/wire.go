// Package wire is what leaves the device as JSON: one vocabulary for HTTP and
// MQTT. A field that is there stays there; schema.json says the same in JSON
// Schema, and a test holds the two together.
//
// No type here has room for a picture.
package wire

import (
	_ "embed"
	"time"
)

// Schema is the JSON Schema (draft 2020-12) of every type here, under $defs.
//
//go:embed schema.json
var Schema []byte

// Uncertain is the label of a head about which nothing is claimed.
const Uncertain = "uncertain"

// Reading is what one frame tells: who is there and what is believed.
type Reading struct {
	Seq   uint64    `json:"seq"`   // counts frames from 1
	Time  time.Time `json:"time"`  // when the picture was taken
	Frame [2]int    `json:"frame"` // width and height of the picture in pixels
	Faces []Face    `json:"faces"` // those that count, in the order in which they were first seen
}

// Face is one person for as long as the camera keeps sight of them. The
// identity is forgotten with the track: nobody is recognised again.
type Face struct {
	ID      uint64          `json:"id"`  // counts from 1 since start
	Box     [4]int          `json:"box"` // left, top, width, height in pixels
	Since   time.Time       `json:"since"`
	Visible bool            `json:"visible"` // found in this very frame
	Quality string          `json:"quality"` // "fine", or why the picture is not believed
	Heads   map[string]Head `json:"heads"`   // by the head's name; only enabled heads
}

// Head is what is believed about one question.
type Head struct {
	Label      string             `json:"label"`      // Uncertain when nothing is claimed
	Confidence float32            `json:"confidence"` // of the label; of the likeliest one when uncertain
	Scores     map[string]float32 `json:"scores"`     // calibrated and smoothed; they sum to 1
}

// Track is a turn in the life of a face.
type Track struct {
	Event string    `json:"event"` // begin, update or end
	Time  time.Time `json:"time"`
	Face  Face      `json:"face"`
}

// Transition is an output line that changed.
type Transition struct {
	Time   time.Time `json:"time"`
	Line   string    `json:"line"` // its meaning: ready, face, code0, is_happy, ...
	Active bool      `json:"active"`
}

// Line is an output line as it stands.
type Line struct {
	Line   string `json:"line"`   // its meaning
	Name   string `json:"name"`   // of the GPIO line, as the kernel calls it
	Pin    int    `json:"pin"`    // number on the board's header, 0 when it has none
	Active bool   `json:"active"` // as the contract means it
	High   bool   `json:"high"`   // the level on the wire
}

// Stage is one part of a frame's way from the camera to the pins.
type Stage struct {
	Name string  `json:"name"` // wait, detect, align, infer, track, signal
	MS   float64 `json:"ms"`   // mean of late, in milliseconds
}

// Status says how the device is.
type Status struct {
	Time        time.Time `json:"time"`
	Ready       bool      `json:"ready"`
	State       string    `json:"state"`  // starting, running, blind, fault, stopped
	Detail      string    `json:"detail"` // what is wrong and what to do; empty when all is well
	FPS         float64   `json:"fps"`
	Frames      uint64    `json:"frames"`      // processed since start
	Dropped     uint64    `json:"dropped"`     // overwritten by a newer one before their turn
	Latency     []Stage   `json:"latency"`     // in the order of the way
	Temperature *float64  `json:"temperature"` // of the processor in degrees Celsius; null when unknown
	Uptime      float64   `json:"uptime"`      // seconds
	Lines       []Line    `json:"lines"`
	Preview     bool      `json:"preview"` // whether the camera's picture can be looked at
	Consent     *bool     `json:"consent"` // null when the device is not set to ask for it
	Outbox      *Outbox   `json:"outbox"`  // null without MQTT
}

// Outbox is how MQTT does.
type Outbox struct {
	Connected bool   `json:"connected"`
	Queued    int    `json:"queued"` // messages waiting
	Sent      uint64 `json:"sent"`   // acknowledged by the broker since start
	Lost      uint64 `json:"lost"`   // dropped since start because the queue was full
}

// Info is what stays the same while the device runs.
type Info struct {
	Name    string     `json:"name"` // of the device
	Version string     `json:"version"`
	Board   string     `json:"board"`
	Model   string     `json:"model"`
	Engine  string     `json:"engine"`
	Heads   []HeadInfo `json:"heads"`  // of the model, in file-format order
	Header  []Pin      `json:"header"` // the board's pin header, by number; empty when unknown
}

// HeadInfo is one question that the model can answer.
type HeadInfo struct {
	Name    string   `json:"name"`
	Labels  []string `json:"labels"`
	Enabled bool     `json:"enabled"` // a disabled head is never computed into anything that leaves the device
}

// Pin is one pin of the header.
type Pin struct {
	Number int    `json:"number"`
	Name   string `json:"name"` // as printed in the board's documents
	Kind   string `json:"kind"` // power, ground, gpio or other
}

// Sink is fed with what happens; package status and package publish have one
// each. No call blocks or fails. What is pointed to is not changed afterwards.
type Sink interface {
	Reading(*Reading)
	Track(*Track)
	Line(*Transition)
	Status(*Status)
}
