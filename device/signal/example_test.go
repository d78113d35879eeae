package signal_test

import (
	"fmt"
	"time"

	"mien/device/signal"
	"mien/runtime/model"
)

// The machine is told of frames and readings, and says which lines change. It
// has no clock and no pins of its own, so a second passes at once here.
func Example() {
	m, err := signal.New([]model.Head{model.Emotion}, signal.Options{Wires: []signal.Wire{
		{Line: "ready", Pin: "GPIO17"}, {Line: "face", Pin: "GPIO22"}, {Line: "is_happy", Pin: "GPIO26", Low: true}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	start := time.Unix(1_700_000_000, 0)
	for at := time.Duration(0); at < time.Second; at += 40 * time.Millisecond {
		now := start.Add(at)
		lines := append([]signal.Transition(nil), m.Frame(now)...)
		lines = append(lines, m.Update(now, signal.Seen{Face: true, Labels: []int{3}})...)
		lines = append(lines, m.Tick(now)...)
		for _, x := range lines {
			fmt.Printf("%d ms: %s is %v, %s carries %d\n", at.Milliseconds(), x.Line, x.Active, x.Pin, x.Level)
		}
		m.Written(now)
	}
	// Output:
	// 0 ms: ready is true, GPIO17 carries 1
	// 200 ms: face is true, GPIO22 carries 1
	// 200 ms: is_happy is true, GPIO26 carries 0
}
