// Command diagram draws the timing diagram of the signal contract from a
// recorded run: a scripted camera and face go through the machine on a
// simulated clock, and what it writes is what is drawn.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"mien/device/signal"
	"mien/runtime/model"
)

func main() {
	out := flag.String("o", "timing.svg", "where the diagram goes")
	flag.Parse()
	svg, err := diagram()
	if err == nil {
		err = os.WriteFile(*out, []byte(svg), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "diagram:", err)
		os.Exit(1)
	}
}

const (
	period = 40 * time.Millisecond // of the frames
	length = 5600 * time.Millisecond
	lost   = 4400 * time.Millisecond // the last frame
)

// act is what the camera sees from a moment on.
type act struct {
	at    time.Duration
	words string
	seen  signal.Seen
}

func script() []act {
	label := func(l string) signal.Seen {
		return signal.Seen{Face: true, Labels: []int{model.Emotion.Label(l)}}
	}
	return []act{
		{0, "nobody", signal.Seen{}},
		{600 * time.Millisecond, "happy", label("happy")},
		{1800 * time.Millisecond, "neutral", label("neutral")},
		{2600 * time.Millisecond, "uncertain", signal.Seen{Face: true, Labels: []int{-1}}},
		{3200 * time.Millisecond, "nobody", signal.Seen{}},
		{3480 * time.Millisecond, "happy", label("happy")},
		{lost + period, "camera lost", signal.Seen{}},
	}
}

var lines = []string{"ready", "heartbeat", "face", "code0", "code1", "code2", "strobe", "is_happy"}

// record runs the script and returns every transition.
func record() ([]signal.Transition, signal.Options, error) {
	var o signal.Options
	for _, l := range lines {
		o.Wires = append(o.Wires, signal.Wire{Line: l, Pin: l})
	}
	m, err := signal.New([]model.Head{model.Emotion}, o)
	if err != nil {
		return nil, o, err
	}
	var all []signal.Transition
	tick := func(until time.Time) {
		for next := m.Next(); !next.IsZero() && next.Before(until); next = m.Next() {
			all = append(all, m.Tick(next)...)
		}
	}
	start, acts := time.Unix(0, 0), script()
	for at := period; at <= lost; at += period {
		now := start.Add(at)
		tick(now)
		all = append(all, m.Frame(now)...)
		for len(acts) > 1 && at >= acts[1].at {
			acts = acts[1:]
		}
		all = append(all, m.Update(now, acts[0].seen)...)
	}
	tick(start.Add(length))
	return all, o.Defaults(), nil
}

// Places on the sheet, in its own units.
const (
	left, right, top = 96, 24, 92
	row, high        = 34, 18
	perSecond        = 168
)

func x(d time.Duration) float64 { return left + d.Seconds()*perSecond }

func diagram() (string, error) {
	ts, o, err := record()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	w, h := x(length)+right, top+row*len(lines)+44
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" font-family="system-ui, sans-serif" font-size="12" role="img">
<title>Timing of the signal contract, recorded from the state machine with its default timing</title>
<style>
.bg{fill:#fff}.g{stroke:#e3e6ec;fill:none}.t{fill:#1c2230}.s{fill:#6b7488;font-size:11px}
.l{stroke:#2457c5;stroke-width:2;fill:none;stroke-linejoin:round}.f{stroke:#9aa3b5}.m{stroke:#c2410c;fill:none}.mt{fill:#c2410c;font-size:11px}
@media (prefers-color-scheme:dark){.bg{fill:#12141a}.g{stroke:#2a2e3a}.t{fill:#e8ecf4}.s{fill:#8b93a7}.l{stroke:#7aa2ff}.f{stroke:#5b6378}.m{stroke:#ffb43a}.mt{fill:#ffb43a}}
</style>
<rect class="bg" width="100%%" height="100%%"/>
`, w, h)
	grid(&b, h)
	scene(&b)
	for i, name := range lines {
		wave(&b, name, top+row*i, ts)
	}
	marks(&b, ts, o)
	b.WriteString("</svg>\n")
	return b.String(), nil
}

// grid draws the seconds.
func grid(b *strings.Builder, h int) {
	for d := time.Duration(0); d <= length; d += 500 * time.Millisecond {
		fmt.Fprintf(b, `<path class="g" d="M%.1f %dV%d"/><text class="s" x="%.1f" y="%d" text-anchor="middle">%.1f s</text>`+"\n",
			x(d), top-26, h-26, x(d), h-10, d.Seconds())
	}
}

// scene draws the frames and what is on them.
func scene(b *strings.Builder) {
	fmt.Fprintf(b, `<text class="t" x="10" y="30">frames</text><path class="f" d="`)
	for at := period; at <= lost; at += period {
		fmt.Fprintf(b, "M%.1f 20v12", x(at))
	}
	b.WriteString(`"/>` + "\n" + `<text class="t" x="10" y="56">seen</text>` + "\n")
	acts := script()
	for i, a := range acts {
		end := length
		if i+1 < len(acts) {
			end = acts[i+1].at
		}
		fmt.Fprintf(b, `<path class="g" d="M%.1f 44V62"/><text class="t" x="%.1f" y="57" text-anchor="middle">%s</text>`+"\n",
			x(a.at), (x(a.at)+x(end))/2, a.words)
	}
}

// wave draws one line of the header.
func wave(b *strings.Builder, name string, y int, ts []signal.Transition) {
	fmt.Fprintf(b, `<text class="t" x="10" y="%d">%s</text><path class="l" d="M%.1f %d`, y+high-4, name, x(0), y+high)
	for _, t := range ts {
		if t.Line != name {
			continue
		}
		to := y + high
		if t.Active {
			to = y
		}
		fmt.Fprintf(b, "H%.1fV%d", x(t.Time.Sub(time.Unix(0, 0))), to)
	}
	fmt.Fprintf(b, `H%.1f"/>`+"\n", x(length))
}

// marks measures what the contract promises, between transitions that were
// recorded.
func marks(b *strings.Builder, ts []signal.Transition, o signal.Options) {
	find := func(line string, active bool, after time.Duration) time.Duration {
		for _, t := range ts {
			if at := t.Time.Sub(time.Unix(0, 0)); t.Line == line && t.Active == active && at >= after {
				return at
			}
		}
		return length
	}
	y := func(line string) int {
		for i, l := range lines {
			if l == line {
				return top + row*i - 9
			}
		}
		return top
	}
	faceOn := find("face", true, 0)
	mark(b, y("face"), 600*time.Millisecond, faceOn, "on_delay")
	change := find("code0", true, faceOn)
	rise := find("strobe", true, change)
	mark(b, y("strobe"), change, find("strobe", false, rise), fmt.Sprintf("setup %d ms, then pulse %d ms", o.Setup.Milliseconds(), o.Pulse.Milliseconds()))
	mark(b, y("ready"), lost, find("ready", false, lost), "stall")
	beat := find("heartbeat", true, 600*time.Millisecond)
	mark(b, y("heartbeat"), beat, find("heartbeat", false, beat), "500 ms")
	gone := find("face", false, faceOn)
	if gone < length && gone < lost {
		mark(b, y("face"), 3200*time.Millisecond, gone, "off_delay")
	}
}

// mark draws a measure with its name.
func mark(b *strings.Builder, y int, from, to time.Duration, words string) {
	fmt.Fprintf(b, `<path class="m" d="M%.1f %dv6m0-3H%.1fm0-3v6"/><text class="mt" x="%.1f" y="%d">%s</text>`+"\n",
		x(from), y-3, x(to), x(to)+5, y+4, words)
}
