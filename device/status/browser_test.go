package status

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"mien/device"
	"mien/device/history"
	"mien/device/page/tab"
	"mien/device/signal"
)

// ready is true once the page shows what a person came for.
const ready = `document.querySelectorAll(".person").length > 0 && document.querySelector("#state-text").textContent === "Ready" &&
	document.querySelector(".mood").textContent.length > 1 && document.querySelectorAll("#lines tbody tr").length > 0`

// TestPage shows the page to a real browser; one serves all its parts.
func TestPage(t *testing.T) {
	b := tab.New(t)
	for name, part := range map[string]func(*testing.T, *tab.Tab){"views": viewsOfThePage, "keyboard": pageByKeyboard,
		"faults": pageShowsFaults, "token": pageAsksForToken, "speech": pageSpeaksSeldom,
		"states": pageSaysTheState, "consent": pageForgets, "no holes": pageHasNoHoles, "by the hour": pageCounts} {
		t.Run(name, func(t *testing.T) {
			b.Begin(t)
			part(t, b)
		})
	}
}

func viewsOfThePage(t *testing.T, b *tab.Tab) {
	for _, view := range []struct {
		name          string
		width, height int64
		dark, phone   bool
		people        int
	}{
		{"light", 1280, 900, false, false, 2},
		{"dark", 1280, 900, true, false, 3},
		{"phone", 390, 844, false, true, 1},
		{"phone-dark", 390, 844, true, true, 2},
		{"empty", 1280, 900, false, false, 0},
	} {
		sc := newScene()
		sc.people = view.people
		_, url := start(t, Options{Preview: view.name == "dark"}, sc)
		b.Open(url, view.width, view.height, view.phone, view.dark)
		if view.people > 0 {
			b.Wait(ready)
		}
		time.Sleep(time.Second) // bars and fades come to rest
		for _, p := range tab.Eval[[]string](b, tab.Audit) {
			t.Errorf("%s: %s", view.name, p)
		}
		if wide := tab.Eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
			t.Errorf("%s: the page is %v pixels wider than the screen", view.name, wide)
		}
		b.Shoot(view.name)
		if notice := tab.Eval[bool](b, `!document.querySelector("#preview-notice").hidden`); notice != (view.name == "dark") {
			t.Errorf("%s: preview notice shown: %v", view.name, notice)
		}
		if note := tab.Eval[string](b, `document.querySelector("#system").innerText`); !strings.Contains(note, demoInfo.System) {
			t.Errorf("%s: of the system below the page says %q", view.name, note)
		}
		if n := tab.Eval[int](b, `document.querySelectorAll(".person").length`); n != view.people {
			t.Errorf("%s: %d people on the page, %d in view", view.name, n, view.people)
		}
	}
	b.Quiet("")
}

// Everything can be reached and worked with the keyboard alone, and the eye
// sees where the focus is.
func pageByKeyboard(t *testing.T, b *tab.Tab) {
	_, url := start(t, Options{Preview: true}, newScene())
	b.Open(url, 1280, 900, false, false)
	b.Wait(ready)
	var order []string
	for range 5 {
		b.Do(chromedp.KeyEvent("\t"))
		order = append(order, tab.Eval[string](b, `(() => { const e = document.activeElement, s = getComputedStyle(e);
			return (e.id || e.className || e.tagName) + (parseFloat(s.outlineWidth) >= 2 && s.outlineStyle !== "none" ? "" : " without a visible focus"); })()`))
	}
	if got, want := strings.Join(order, ", "), "skip, theme, setup, look, log"; got != want {
		t.Errorf("tab goes to %s; want %s", got, want)
	}
	b.Do(chromedp.Focus(chromedp.CSS("#theme")), chromedp.KeyEvent("\r"), chromedp.KeyEvent("\r"))
	if got := tab.Eval[string](b, `document.documentElement.dataset.theme`); got != "dark" {
		t.Errorf("theme %q after two presses", got)
	}
	b.Do(chromedp.Focus(chromedp.CSS("#look")), chromedp.KeyEvent(" "))
	b.Wait(`!document.querySelector("#picture").hidden`)
	if !tab.Eval[bool](b, `document.querySelector("#look").getAttribute("aria-pressed") === "true"`) {
		t.Error("the button does not say that it is pressed")
	}
	b.Shoot("preview")
	b.Quiet("preview.jpg") // 503 until the first picture is there
}

// The page says when the device is not ready and why, and when it is again.
func pageShowsFaults(t *testing.T, b *tab.Tab) {
	sc := newScene()
	sc.ready.Store(false)
	_, url := start(t, Options{}, sc)
	b.Open(url, 1280, 900, false, false)
	b.Wait(`document.querySelector("#state-text").textContent === "No camera"`)
	if fault := tab.Eval[string](b, `document.querySelector("#fault").innerText`); !strings.Contains(fault, "/dev/video0") {
		t.Errorf("the page says %q", fault)
	}
	b.Shoot("fault")
	sc.ready.Store(true)
	b.Wait(ready)
	b.Quiet("")
}

// Without the token the page shows nothing but the question for it.
func pageAsksForToken(t *testing.T, b *tab.Tab) {
	_, url := start(t, Options{Token: "0123456789abcdef"}, newScene())
	b.Open(url, 390, 844, true, false)
	b.Wait(`document.querySelector("#login").open`)
	b.Shoot("login")
	b.Do(chromedp.SendKeys(chromedp.CSS("#token"), "wrong\r"))
	b.Wait(`document.querySelector("#login-error").textContent === "That is not the token."`)
	if n := tab.Eval[int](b, `document.querySelectorAll(".person").length`); n != 0 {
		t.Errorf("%d people shown without the token", n)
	}
	tab.Eval[string](b, `document.querySelector("#token").value = ""`)
	b.Do(chromedp.SendKeys(chromedp.CSS("#token"), "0123456789abcdef\r"))
	b.Wait(ready)
	if got := tab.Eval[string](b, `document.cookie`); got != "" {
		t.Errorf("a script can read the cookie %q", got)
	}
}

// A screen reader is told a summary when it has changed, not every frame.
func pageSpeaksSeldom(t *testing.T, b *tab.Tab) {
	sc := newScene()
	_, url := start(t, Options{}, sc)
	b.Open(url, 1280, 900, false, false)
	b.Wait(ready)
	tab.Eval[int](b, `window.said = []; new MutationObserver(() => said.push(document.querySelector("#spoken").textContent)).observe(
		document.querySelector("#spoken"), {childList: true, characterData: true, subtree: true}); 1`)
	sc.calm.Store(true)
	b.Wait(`said.length > 0`)
	time.Sleep(500 * time.Millisecond)
	if said := tab.Eval[[]string](b, `said`); len(said) != 1 || said[0] != "Face 1 happy" {
		t.Errorf("said %q", said)
	}
}

// BenchmarkUsable measures how long it takes from before the server exists
// until a browser that is already running shows a face, the state and the
// lines.
func BenchmarkUsable(b *testing.B) {
	t := tab.New(b)
	t.Open("about:blank", 1280, 900, false, false)
	var worst time.Duration
	for b.Loop() {
		began := time.Now()
		_, url := start(b, Options{}, newScene())
		t.Do(chromedp.Navigate(url))
		t.Wait(ready)
		worst = max(worst, time.Since(began))
	}
	b.ReportMetric(float64(worst.Milliseconds()), "ms-worst")
}

// pageSaysTheState walks through every state: the page names it and says it
// where faces would be, keeps it under "Lately", and never claims that nobody
// is in view while it cannot know.
func pageSaysTheState(t *testing.T, b *tab.Tab) {
	sc := newScene()
	s, url := start(t, Options{}, sc)
	b.Open(url, 1280, 900, false, false)
	b.Wait(ready)
	keys := tab.Eval[[]string](b, `Object.keys(STATES)`)
	for _, m := range signal.States {
		if !slices.Contains(keys, string(m.State)) {
			t.Errorf("the page has no words for %q", m.State)
		}
	}
	sc.ready.Store(false)
	b.Wait(`document.querySelector("#state-text").textContent === "No camera"`)
	s.State(device.State{Time: time.Now(), State: signal.NoCamera, Reason: "v4l2: /dev/video0: no such device"})
	b.Wait(`[...document.querySelectorAll("#log li")].some(x => x.innerText.includes("No camera"))`)
	tab.Eval[int](b, `onReading({time: new Date().toISOString(), seq: 1, width: 640, height: 480, faces: [], subject: 0, latency_ms: {}}); 1`)
	if said := tab.Eval[string](b, `document.querySelector("#empty-text").textContent`); strings.Contains(said, "Nobody") || !strings.Contains(said, "camera") {
		t.Errorf("without a camera the page says %q", said)
	}
	if said := tab.Eval[string](b, `document.querySelector("#log").innerText`); strings.Contains(said, "v4l2:") || !strings.Contains(said, "/dev/video0: no such device") {
		t.Errorf("lately: %q", said)
	}
	b.Shoot("no-camera")
	tab.Eval[int](b, `source.close(); drawParts([{part: "mqtt", problem: "no connection; publish: mqtt://h:1883: no broker listens there"}]); 1`)
	if said := tab.Eval[string](b, `document.querySelector("#parts").innerText`); said != "MQTT is out of order: no connection; mqtt://h:1883: no broker listens there" {
		t.Errorf("out of order: %q", said)
	}
}

// pageForgets takes all that was seen away when consent is withdrawn.
func pageForgets(t *testing.T, b *tab.Tab) {
	sc := newScene()
	s, url := start(t, Options{}, sc)
	b.Open(url, 1280, 900, false, false)
	b.Wait(ready)
	b.Wait(`document.querySelectorAll(".person").length > 0`)
	tab.Eval[int](b, `source.close(); log(new Date().toISOString(), "Face 1: emotion happy"); lastNews = 0; 1`)
	s.State(device.State{Time: time.Now(), State: signal.NoConsent, Reason: signal.NoConsent.Meaning().Text})
	tab.Eval[int](b, `onState({time: new Date().toISOString(), state: "no consent", ready: false, reason: "consent is awaited"}); 1`)
	if n := tab.Eval[int](b, `document.querySelectorAll(".person, #map .box").length`); n != 0 {
		t.Errorf("%d faces stay on the page", n)
	}
	if said := tab.Eval[string](b, `["#faces", "#map", "#log", "#state"].map(x => document.querySelector(x).textContent).join(" ")`); strings.Contains(said, "happy") || !strings.Contains(said, "Waiting for consent") {
		t.Errorf("the page says %q", said)
	}
}

// pageHasNoHoles looks at the cards at widths between a phone's and a desk's:
// what lies beside a card is another one, in every row.
func pageHasNoHoles(t *testing.T, b *tab.Tab) {
	_, url := start(t, Options{}, newScene())
	for _, width := range []int64{760, 900, 1024, 1280} {
		b.Open(url, width, 1000, false, false)
		b.Wait(ready)
		holes := tab.Eval[[]string](b, `(() => {
			const main = document.querySelector("#main").getBoundingClientRect(), rows = new Map();
			for (const c of document.querySelectorAll("#main > .card")) {
				if (!c.checkVisibility()) continue;
				const r = c.getBoundingClientRect(), key = Math.round(r.top);
				rows.set(key, (rows.get(key) || 0) + r.width + 16);
			}
			return [...rows].filter(([, w]) => Math.abs(w - 16 - main.width) > 3).map(([y, w]) => "at " + y + " " + Math.round(w) + " of " + Math.round(main.width));
		})()`)
		if len(holes) > 0 {
			t.Errorf("%d pixels wide: rows that are not full: %v", width, holes)
		}
		b.Shoot(fmt.Sprint("wide-", width))
	}
}

// pageCounts shows what was counted, in words and to a screen reader too, and
// nothing of it where nothing is counted.
func pageCounts(t *testing.T, b *tab.Tab) {
	day := time.Now().Truncate(24 * time.Hour)
	counted := []history.Hour{{Hour: day.Add(9 * time.Hour), Faces: 12, Answers: map[string]int{"happy": 7, "neutral": 5}},
		{Hour: day.Add(10 * time.Hour), Faces: 30, Answers: map[string]int{"happy": 11, "sad": 2}}}
	_, url := start(t, Options{History: func() []history.Hour { return counted }}, newScene())
	b.Open(url, 390, 844, true, false)
	b.Wait(ready)
	if tab.Eval[bool](b, `document.querySelector("#past").checkVisibility()`) {
		t.Error("counts are shown of a device that keeps none")
	}
	tab.Eval[int](b, `onInfo({...info, history_days: 7}); 1`)
	b.Wait(`document.querySelector("#past").checkVisibility() && document.querySelector("#past-day").options.length > 0`)
	tab.Eval[string](b, fmt.Sprintf(`(p => { p.value = %q; p.dispatchEvent(new Event("change")); return p.value })(document.querySelector("#past-day"))`, day.Format(time.DateOnly)))
	if said := tab.Eval[string](b, `document.querySelector("#past-sum").textContent + document.querySelector("#past-legend").textContent + document.querySelector("#past-table tbody").textContent`); !strings.HasPrefix(said, "42 faces, 30 in the busiest hour.") ||
		!strings.Contains(said, "happy18") || !strings.Contains(said, ":0030") {
		t.Errorf("the page says %q", said)
	}
	for _, p := range tab.Eval[[]string](b, tab.Audit) {
		t.Error(p)
	}
	b.Shoot("by-the-hour")
	b.Open(url, 1280, 900, false, true)
	b.Wait(ready)
	tab.Eval[int](b, `onInfo({...info, history_days: 7}); 1`)
	b.Wait(`document.querySelector("#past").checkVisibility()`)
	b.Shoot("by-the-hour-dark")
	b.Quiet("")
}
