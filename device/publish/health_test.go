package publish

import (
	"encoding/json"
	"slices"
	"testing"

	"mien/device"
	"mien/device/signal"
)

// The health topic names every state of the contract, and Home Assistant is
// told all that it may name.
func TestHealthNamesTheState(t *testing.T) {
	for _, m := range signal.States {
		var got struct {
			State  signal.State
			Ready  bool
			Reason string
		}
		h := device.Health{State: m.State, Ready: m.State == signal.Reading, Reason: m.Text}
		if err := json.Unmarshal(healthOf(h), &got); err != nil || got.State != m.State || got.Ready != h.Ready || got.Reason != m.Text {
			t.Errorf("%s: %s, %v", m.State, healthOf(h), err)
		}
		if !slices.Contains(states(), string(m.State)) {
			t.Errorf("Home Assistant does not know %s", m.State)
		}
	}
}
