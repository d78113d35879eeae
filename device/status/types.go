//go:generate go run ./internal/openapi

package status

import (
	_ "embed"
	"encoding/json"
	"time"

	"mien/boards"
	"mien/device"
	"mien/device/history"
	"mien/device/signal"
)

// Schema is the JSON Schema (draft 2020-12) of everything the API answers,
// under $defs. A test holds it and the Go types together.
//
//go:embed schema.json
var Schema []byte

// Info is what stays the same while the device runs.
type Info struct {
	Name    string `json:"name"` // of the device
	Version string `json:"version"`
	Board   string `json:"board"`
	Heads   []Head `json:"heads"`        // of the model, in file-format order
	Lead    string `json:"lead"`         // the head that the code lines show and the page shows large
	Header  []Pin  `json:"header"`       // the board's pin header, by number; empty when unknown
	System  string `json:"system"`       // what there is to know of the system below, where it is the mien image
	History int    `json:"history_days"` // for which counts are kept, 0 for none
}

// Head is one question that the model can answer.
type Head struct {
	Name    string   `json:"name"`
	Labels  []string `json:"labels"`
	Unit    string   `json:"unit,omitempty"` // of a head that answers with a number; its labels are steps of the scale
	Enabled bool     `json:"enabled"`
}

// Pin is one pin of the board's header.
type Pin struct {
	Number int    `json:"number"`
	Name   string `json:"name"` // of the GPIO line, for those that are one
	Kind   string `json:"kind"` // power, ground, gpio or other
}

// Status is how the device is, told once a second.
type Status struct {
	Time   time.Time     `json:"time"`
	Uptime float64       `json:"uptime_seconds"`
	Health device.Health `json:"health"`
	Lines  []Line        `json:"lines"`
	Outbox *Outbox       `json:"outbox"` // of MQTT; null without
	Fleet  *Outbox       `json:"fleet"`  // of the hub; null without
}

// Line is an output line with its place on the header.
type Line struct {
	signal.Line
	Number int `json:"number"` // of the pin, 0 when it has none
}

// Outbox is how MQTT does, or the fleet.
type Outbox struct {
	Connected bool   `json:"connected"`
	Queued    int    `json:"queued"` // messages waiting
	Sent      uint64 `json:"sent"`   // acknowledged since start
	Lost      uint64 `json:"lost"`   // dropped since start because the queue was full
}

// History is what was counted, by the hour.
type History struct {
	Days  int            `json:"days"`
	Hours []history.Hour `json:"hours"` // the oldest first; those without anybody are left out
}

// encode writes v as JSON that keeps to the schema: a list that is nil in Go
// is an empty list there. Lists are filled in place.
func encode(v any) ([]byte, error) {
	switch p := v.(type) {
	case *device.Reading:
		fill(&p.Faces)
		for i := range p.Faces {
			fill(&p.Faces[i].Heads)
		}
	case *device.Track:
		fill(&p.Face.Heads)
	case *Status:
		fill(&p.Lines)
		fill(&p.Health.Heads)
		fill(&p.Health.Parts)
		if p.Health.State == "" {
			p.Health.State = signal.Starting
		}
	case *History:
		fill(&p.Hours)
	case *Configuration:
		fill(&p.Pending)
		fill(&p.Settings)
		fill(&p.Free)
		fill(&p.Lines)
	case *Verdict:
		fill(&p.Problems)
		fill(&p.Pending)
	case *Info:
		fill(&p.Heads)
		fill(&p.Header)
		for i := range p.Heads {
			fill(&p.Heads[i].Labels)
		}
	}
	return json.Marshal(v)
}

func fill[T any](s *[]T) {
	if *s == nil {
		*s = []T{}
	}
}

// layout names the 40 pins of the Raspberry Pi's header as its kernel names
// the lines
// (https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#gpio).
var layout = [40]string{"3V3", "5V", "GPIO2", "5V", "GPIO3", "GND", "GPIO4", "GPIO14", "GND", "GPIO15",
	"GPIO17", "GPIO18", "GPIO27", "GND", "GPIO22", "GPIO23", "3V3", "GPIO24", "GPIO10", "GND",
	"GPIO9", "GPIO25", "GPIO11", "GPIO8", "GND", "GPIO7", "ID_SDA", "ID_SCL", "GPIO5", "GND",
	"GPIO6", "GPIO12", "GPIO13", "GND", "GPIO19", "GPIO16", "GPIO26", "GPIO20", "GND", "GPIO21"}

// HeaderOf returns the 40 pins of a board, or none for a machine without such
// a header.
func HeaderOf(b boards.Board) []Pin {
	if b.Layout == "" {
		return nil
	}
	named := map[int]string{}
	for _, p := range b.Header {
		named[p.Number] = p.Name()
	}
	pins := make([]Pin, len(layout))
	for i, name := range layout {
		p := Pin{i + 1, name, "gpio"}
		switch name {
		case "3V3", "5V":
			p.Kind = "power"
		case "GND":
			p.Kind = "ground"
		case "ID_SDA", "ID_SCL":
			p.Kind = "other"
		default:
			if own, ok := named[p.Number]; ok {
				p.Name = own
			} else if b.Layout != boards.RaspberryPi {
				p.Name, p.Kind = "", "other"
			}
		}
		pins[i] = p
	}
	return pins
}
