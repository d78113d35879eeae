package publish

import (
	"encoding/json"
	"fmt"
	"strings"

	"mien/device"
	"mien/device/signal"
	"mien/runtime/model"
)

// messages says what is published of an event. The state that Home Assistant
// shows follows the readings and is published when it changes.
func (p *Publisher) messages(v any) []message {
	switch e := v.(type) {
	case *device.Reading:
		out := p.one(nil, "reading", e, false)
		if s, changed := p.state.follow(e); changed {
			out = p.one(out, "state", s, true)
		}
		return out
	case *device.Track:
		return p.one(nil, "track", e, false)
	case signal.Transition:
		if e.Line == "heartbeat" {
			return nil // twice a second for ever: availability says the same
		}
		level := []byte("OFF")
		if e.Active {
			level = []byte("ON")
		}
		return append(p.one(nil, "transition", e, false),
			message{Topic: p.o.Prefix + "/line/" + e.Line, Retain: true, Payload: level})
	}
	return nil
}

func (p *Publisher) one(out []message, topic string, v any, retain bool) []message {
	b, err := json.Marshal(v)
	if err != nil { // a NaN from a broken model
		p.lost.Add(1)
		p.o.Report(fmt.Errorf("publish: %s: %w", topic, err))
		return out
	}
	return append(out, message{Topic: p.o.Prefix + "/" + topic, Retain: retain, Payload: b})
}

// state is a few words about who is in view, for dashboards: how many, and
// the labels of the reading's subject, of whom the lines speak too.
type state map[string]any

// stater remembers the state last published.
type stater struct{ last string }

func (s *stater) follow(r *device.Reading) (state, bool) {
	now := state{"faces": len(r.Faces)}
	if who := r.SubjectFace(); who != nil {
		for _, h := range who.Heads {
			now[h.Name] = h.Label
			if h.Uncertain || h.Label == "" {
				now[h.Name] = "uncertain"
			}
		}
	}
	key := fmt.Sprint(now) // fmt prints maps in the order of their keys
	changed := key != s.last
	s.last = key
	return now, changed
}

// uid is the ID in letters that Home Assistant takes.
func (p *Publisher) uid() string {
	var b strings.Builder
	b.WriteString("mien_")
	for _, r := range p.o.ID {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case r < 0x80:
			b.WriteByte('_')
		default:
			fmt.Fprintf(&b, "u%x", r)
		}
	}
	return b.String()
}

// component is one entity of Home Assistant.
type component struct {
	Platform    string   `json:"p"`
	Name        string   `json:"name"`
	UniqueID    string   `json:"unique_id"`
	StateTopic  string   `json:"state_topic"`
	Template    string   `json:"value_template,omitempty"`
	DeviceClass string   `json:"device_class,omitempty"`
	Options     []string `json:"options,omitempty"`
	Icon        string   `json:"icon,omitempty"`
	Category    string   `json:"entity_category,omitempty"`
	PayloadOn   string   `json:"payload_on,omitempty"`
	PayloadOff  string   `json:"payload_off,omitempty"`
}

// discovery is the message with which a device introduces itself and all its
// entities at once
// (https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload).
func (p *Publisher) discovery() any {
	id := p.uid()
	parts := map[string]component{
		"presence": {Platform: "binary_sensor", Name: "Face", DeviceClass: "occupancy", StateTopic: p.o.Prefix + "/state",
			Template: "{{ 'ON' if value_json.faces > 0 else 'OFF' }}", PayloadOn: "ON", PayloadOff: "OFF"},
		"faces": {Platform: "sensor", Name: "Faces", Icon: "mdi:account-group", StateTopic: p.o.Prefix + "/state",
			Template: "{{ value_json.faces }}"},
	}
	for _, h := range p.o.Heads {
		parts[h.Name] = component{Platform: "sensor", Name: title(h.Name), DeviceClass: "enum", StateTopic: p.o.Prefix + "/state",
			Template: "{{ value_json." + h.Name + " | default('none') }}", Options: answers(h), Icon: icons[h.Name]}
	}
	for _, l := range p.o.Lines {
		if l == "heartbeat" || l == "strobe" {
			continue // they would fill the history and tell nobody anything
		}
		parts["line_"+l] = component{Platform: "binary_sensor", Name: "Line " + l, StateTopic: p.o.Prefix + "/line/" + l,
			PayloadOn: "ON", PayloadOff: "OFF", Category: "diagnostic"}
	}
	for k, c := range parts {
		c.UniqueID = id + "_" + k
		parts[k] = c
	}
	return map[string]any{
		"dev":                   map[string]any{"ids": []string{id}, "name": p.o.Name, "mf": "mien", "mdl": p.o.Board, "sw": p.o.Version},
		"o":                     map[string]any{"name": "mien", "sw": p.o.Version},
		"cmps":                  parts,
		"availability_topic":    p.o.Prefix + "/availability",
		"payload_available":     "online",
		"payload_not_available": "offline",
		"qos":                   1,
	}
}

var icons = map[string]string{"emotion": "mdi:emoticon-outline", "age": "mdi:cake-variant-outline"}

// answers are those that a head's entity can show.
func answers(h model.Head) []string {
	return append(append([]string{}, h.Labels...), "uncertain", "none")
}

func title(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }
