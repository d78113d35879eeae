package publish

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"mien/device"
	"mien/device/queue"
	"mien/device/signal"
	"mien/runtime/model"
)

// messages says what is published of an event, once. What the retained topics
// say beside it is in observe.
func (p *Publisher) messages(v any) []queue.Message {
	switch e := v.(type) {
	case *device.Reading:
		return p.one("reading", e, true)
	case *device.Track:
		return p.one("track", e, false)
	case signal.Transition:
		if e.Line == "heartbeat" {
			return nil // twice a second for ever: availability says the same
		}
		return p.one("transition", e, false)
	}
	return nil
}

func (p *Publisher) one(topic string, v any, passing bool) []queue.Message {
	b, err := json.Marshal(v)
	if err != nil { // a NaN from a broken model
		p.lost.Add(1)
		p.o.Report(fmt.Errorf("publish: %s: %w", topic, err))
		return nil
	}
	return []queue.Message{{Topic: p.o.Prefix + "/" + topic, Passing: passing, Payload: b}}
}

// stateOf is a few words about who is in view, for dashboards: how many, and
// the labels and numbers of the reading's subject, of whom the lines speak too.
func stateOf(r *device.Reading) []byte {
	now := map[string]any{"faces": len(r.Faces)}
	if who := r.SubjectFace(); who != nil {
		for _, h := range who.Heads {
			if h.Unit != "" {
				if !h.Uncertain {
					now[h.Name] = math.Round(1000*h.Value) / 1000
				}
				continue
			}
			now[h.Name] = h.Label
			if h.Uncertain || h.Label == "" {
				now[h.Name] = "uncertain"
			}
		}
	}
	b, err := json.Marshal(now)
	if err != nil { // strings and a number always are JSON
		return nobody
	}
	return b
}

// nobody is the state of a device that sees nobody, or is not there.
var nobody = []byte(`{"faces":0}`)

// levelOf is a line's level in a word.
func levelOf(active bool) []byte {
	if active {
		return []byte("ON")
	}
	return []byte("OFF")
}

// healthOf is whether the device reads, and why not when it does not.
func healthOf(h device.Health) []byte {
	if h.State == "" {
		h.State = signal.Starting
		if h.Ready {
			h.State = signal.Reading
		}
	}
	b, err := json.Marshal(map[string]any{"state": h.State, "ready": h.Ready, "reason": h.Reason, "consent": h.Consent})
	if err != nil {
		return nil
	}
	return b
}

// states are those that the health topic can name.
func states() (names []string) {
	for _, m := range signal.States {
		names = append(names, string(m.State))
	}
	return names
}

// describe says in the retained topics what the device has: its introduction,
// its state and its lines. What it had before and has no more is cleared.
func (p *Publisher) describe(health []byte) {
	now := known{}
	say := func(topic string, payload []byte, lasting bool) {
		p.kept.set(topic, payload, lasting)
		now.Topics = append(now.Topics, topic)
	}
	say(p.topic("availability"), []byte("online"), false)
	if p.o.Discovery != "-" {
		now.Config, now.Components = p.o.Discovery+"/device/"+p.uid()+"/config", map[string]string{}
		parts := p.components()
		for k, c := range parts {
			now.Components[k] = c.Platform
		}
		words, err := json.Marshal(p.discovery(parts))
		if err != nil { // words and numbers always are JSON
			p.o.Report(fmt.Errorf("publish: introduction: %w", err))
		}
		// Home Assistant forgets an entity when its platform is all that is said
		// of it, and after that has to be told without it
		// (https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload).
		p.kept.introduce(now.Config, now.Components, words, func(gone map[string]string) []byte {
			for k, platform := range gone {
				parts[k] = component{Platform: platform}
			}
			b, err := json.Marshal(p.discovery(parts))
			if err != nil { // the same without the gone ones was JSON
				return words
			}
			return b
		})
		now.Topics = append(now.Topics, now.Config)
	}
	say(p.topic("state"), p.state, false)
	if health != nil {
		say(p.topic("health"), health, false)
	}
	for _, l := range p.o.Lines {
		if l != "heartbeat" {
			say(p.line(l), levelOf(p.lines[l]), false)
		}
	}
	p.kept.retain(now)
}

// goodbye makes the retained topics true of a device that is not there.
func (p *Publisher) goodbye() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept.set(p.topic("state"), nobody, true)
	if p.o.Health != nil {
		p.kept.set(p.topic("health"), healthOf(device.Health{State: signal.Stopped, Reason: "switched off"}), true)
	}
	for _, l := range p.o.Lines {
		if l != "heartbeat" {
			p.kept.set(p.line(l), levelOf(false), true)
		}
	}
	p.kept.set(p.topic("availability"), []byte("offline"), true)
}

func (p *Publisher) topic(name string) string { return p.o.Prefix + "/" + name }

// line is the topic of a line, whose name may hold a label that a model
// brings along, such as 70+.
func (p *Publisher) line(name string) string { return p.o.Prefix + "/line/" + level(name) }

// uid is the ID in letters that Home Assistant takes.
func (p *Publisher) uid() string { return "mien_" + key(p.o.ID) }

// key writes a name in letters that Home Assistant takes.
func key(name string) string {
	var b strings.Builder
	for _, r := range name {
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
	Name        string   `json:"name,omitempty"`
	UniqueID    string   `json:"unique_id,omitempty"`
	StateTopic  string   `json:"state_topic,omitempty"`
	StateClass  string   `json:"state_class,omitempty"`
	Template    string   `json:"value_template,omitempty"`
	DeviceClass string   `json:"device_class,omitempty"`
	Unit        string   `json:"unit_of_measurement,omitempty"`
	Options     []string `json:"options,omitempty"`
	Icon        string   `json:"icon,omitempty"`
	Category    string   `json:"entity_category,omitempty"`
	PayloadOn   string   `json:"payload_on,omitempty"`
	PayloadOff  string   `json:"payload_off,omitempty"`
}

// components are the device's entities, by the last part of their ids.
func (p *Publisher) components() map[string]component {
	id := p.uid()
	parts := map[string]component{
		"presence": {Platform: "binary_sensor", Name: "Face", DeviceClass: "occupancy", StateTopic: p.topic("state"),
			Template: "{{ 'ON' if value_json.faces > 0 else 'OFF' }}", PayloadOn: "ON", PayloadOff: "OFF"},
		"faces": {Platform: "sensor", Name: "Faces", Icon: "mdi:account-group", StateClass: "measurement", StateTopic: p.topic("state"),
			Template: "{{ value_json.faces }}"},
	}
	for _, h := range p.o.Heads {
		if h.Measures() {
			// "None" is what Home Assistant takes for no number at the time
			// (https://www.home-assistant.io/integrations/sensor.mqtt/).
			parts[key(h.Name)] = component{Platform: "sensor", Name: title(h.Name), StateClass: "measurement", StateTopic: p.topic("state"),
				Template: "{{ value_json[" + quote(h.Name) + "] | default(none) }}", Unit: h.Unit, Icon: icon}
			continue
		}
		parts[key(h.Name)] = component{Platform: "sensor", Name: title(h.Name), DeviceClass: "enum", StateTopic: p.topic("state"),
			Template: "{{ value_json[" + quote(h.Name) + "] | default('none') }}", Options: answers(h), Icon: icon}
	}
	if p.o.Health != nil {
		parts["health"] = component{Platform: "sensor", Name: "Status", Icon: "mdi:heart-pulse", StateTopic: p.topic("health"),
			Template: "{{ value_json.state }}", DeviceClass: "enum", Options: states(), Category: "diagnostic"}
	}
	for _, l := range p.o.Lines {
		if l == "heartbeat" || l == "strobe" {
			continue // they would fill the history and tell nobody anything
		}
		parts["line_"+key(l)] = component{Platform: "binary_sensor", Name: "Line " + l, StateTopic: p.line(l),
			PayloadOn: "ON", PayloadOff: "OFF", Category: "diagnostic"}
	}
	for k, c := range parts {
		c.UniqueID = id + "_" + k
		parts[k] = c
	}
	return parts
}

// quote writes a string for a template of Home Assistant.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

// discovery is the message with which a device introduces itself and all its
// entities at once
// (https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload).
func (p *Publisher) discovery(parts map[string]component) any {
	dev := map[string]any{"ids": []string{p.uid()}, "name": p.o.Name, "mf": "mien", "mdl": p.o.Board, "sw": p.o.Version}
	origin := map[string]any{"name": "mien", "sw": p.o.Version}
	if p.o.Page != "" {
		dev["cu"], origin["url"] = p.o.Page, p.o.Page
	}
	return map[string]any{
		"dev":                   dev,
		"o":                     origin,
		"cmps":                  parts,
		"availability_topic":    p.topic("availability"),
		"payload_available":     "online",
		"payload_not_available": "offline",
		"qos":                   1,
	}
}

// icon is that of every head: what it asks is the model's own.
const icon = "mdi:face-recognition"

// answers are those that a head's entity can show.
func answers(h model.Head) []string {
	return append(append([]string{}, h.Labels...), "uncertain", "none")
}

func title(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }
