package status

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"mien/device"
	"mien/device/signal"
)

// tab is a tab of a headless Chromium of its own.
type tab struct {
	testing.TB
	ctx        context.Context
	mu         sync.Mutex
	complaints []string // of the page: errors, warnings, requests to elsewhere
}

func browser(t testing.TB) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("these tests drive a real browser: apt-get install chromium")
	}
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.UserDataDir(scratch(t)),
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true))
	t.Cleanup(cancel)
	b := &tab{TB: t}
	ctx, cancelTab := chromedp.NewContext(alloc, chromedp.WithListener(b.listen))
	t.Cleanup(cancelTab)
	b.ctx = ctx
	b.do(call(log.Enable, cdp.Empty{}), call(network.Enable, network.EnableParams{}))
	return b
}

// scratch is a folder that is removed when the browser has let go of it.
func scratch(t testing.TB) string {
	dir, err := os.MkdirTemp("", "mien-chromium")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 50 {
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	return dir
}

// begin starts a part of a test on an empty page.
func (b *tab) begin(t testing.TB) {
	b.TB = t
	b.do(chromedp.Navigate("about:blank"))
	b.mu.Lock()
	b.complaints = nil
	b.mu.Unlock()
}

func (b *tab) listen(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.complaints = append(b.complaints, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, "http://127.0.0.1:") && !strings.HasPrefix(u, "data:") && u != "about:blank" {
			b.complaints = append(b.complaints, "the page asked for "+u)
		}
	}
}

// quiet fails the test for every complaint that does not contain except.
func (b *tab) quiet(except string) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		if except == "" || !strings.Contains(c, except) {
			b.Error(c)
		}
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func eval[T any](b *tab, js string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](js))
	if err != nil {
		b.Fatalf("%.60s: %v", js, err)
	}
	return v
}

// wait waits until js is true. chromedp's own Poll compiles strings in the
// page, which the page's policy forbids.
func (b *tab) wait(js string) {
	b.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if eval[bool](b, js) {
			return
		}
	}
	b.Fatalf("never true: %s; the page says %s; complaints %q", js, eval[string](b, "document.body.innerText"), b.complaints)
}

func (b *tab) open(url string, width, height int64, phone, dark bool) {
	b.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do(chromedp.EmulateViewport(width, height, func(p *emulation.SetDeviceMetricsOverrideParams, _ *emulation.SetTouchEmulationEnabledParams) {
		if p.Mobile = phone; phone {
			p.DeviceScaleFactor = 2
		}
	}), call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
		chromedp.Navigate(url))
}

// shoot keeps a screenshot of the whole page where MIEN_SCREENSHOTS says, for
// a person to look at.
func (b *tab) shoot(name string) {
	b.Helper()
	dir := os.Getenv("MIEN_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.Fatal(err)
	}
}

// ready is true once the page shows what a person came for.
const ready = `document.querySelectorAll(".person").length > 0 && document.querySelector("#state-text").textContent === "Ready" &&
	document.querySelector(".mood").textContent.length > 1 && document.querySelectorAll("#lines tbody tr").length > 0`

// TestPage shows the page to a real browser; one serves all its parts.
func TestPage(t *testing.T) {
	b := browser(t)
	for name, part := range map[string]func(*testing.T, *tab){"views": viewsOfThePage, "keyboard": pageByKeyboard,
		"faults": pageShowsFaults, "token": pageAsksForToken, "speech": pageSpeaksSeldom,
		"states": pageSaysTheState, "consent": pageForgets, "no holes": pageHasNoHoles} {
		t.Run(name, func(t *testing.T) {
			b.begin(t)
			part(t, b)
		})
	}
}

func viewsOfThePage(t *testing.T, b *tab) {
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
		b.open(url, view.width, view.height, view.phone, view.dark)
		if view.people > 0 {
			b.wait(ready)
		}
		time.Sleep(time.Second) // bars and fades come to rest
		for _, p := range eval[[]string](b, audit) {
			t.Errorf("%s: %s", view.name, p)
		}
		if wide := eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
			t.Errorf("%s: the page is %v pixels wider than the screen", view.name, wide)
		}
		b.shoot(view.name)
		if notice := eval[bool](b, `!document.querySelector("#preview-notice").hidden`); notice != (view.name == "dark") {
			t.Errorf("%s: preview notice shown: %v", view.name, notice)
		}
		if n := eval[int](b, `document.querySelectorAll(".person").length`); n != view.people {
			t.Errorf("%s: %d people on the page, %d in view", view.name, n, view.people)
		}
	}
	b.quiet("")
}

// audit returns what somebody with a keyboard, a screen reader or weak eyes
// would stumble over: text with a contrast below 4.5:1 (WCAG 2.2, 1.4.3),
// controls without a name or too small to hit, headings that skip a level,
// regions without a name, pictures without a text.
const audit = `(() => {
  const out = [], seen = new Set();
  const visible = e => e.checkVisibility({opacityProperty: true, visibilityProperty: true}) && !e.closest(".hidden, .skip, [aria-hidden=true]");
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
  const g = canvas.getContext("2d", {willReadFrequently: true});
  const rgb = c => { g.clearRect(0, 0, 1, 1); g.fillStyle = c; g.fillRect(0, 0, 1, 1); return [...g.getImageData(0, 0, 1, 1).data]; };
  const light = c => { const [r, gr, b] = c.map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * gr + .0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c.slice(0, 3); } return [255, 255, 255]; };
  for (const e of document.querySelectorAll("body *")) {
    if (!visible(e) || e.closest("svg")) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color).slice(0, 3)), light(ground(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const key = e.tagName + e.className + ratio.toFixed(1);
    if (ratio < 4.5 && !seen.has(key)) { seen.add(key); out.push("contrast " + ratio.toFixed(2) + ": " + e.outerHTML.slice(0, 90)); }
  }
  for (const e of document.querySelectorAll("button, a, input, [tabindex]")) {
    if (!visible(e)) continue;
    if (!(e.getAttribute("aria-label") || e.textContent.trim() || e.getAttribute("aria-labelledby") || e.labels && e.labels.length)) out.push("no name: " + e.outerHTML.slice(0, 80));
    const box = e.getBoundingClientRect();
    if (e.tagName === "BUTTON" && (box.height < 24 || box.width < 24)) out.push("too small to hit: " + e.outerHTML.slice(0, 80));
  }
  let level = 0;
  for (const h of document.querySelectorAll("main h2, main h3, h1")) { const l = +h.tagName[1]; if (l > level + 1) out.push("heading skips to " + h.outerHTML); level = l; }
  for (const s of document.querySelectorAll("section")) if (!document.getElementById(s.getAttribute("aria-labelledby"))) out.push("section without a name: " + s.className);
  for (const i of document.querySelectorAll("img")) if (!i.hasAttribute("alt")) out.push("picture without a text: " + i.src);
  for (const tag of ["header", "main", "footer"]) if (document.querySelectorAll("body > " + tag).length !== 1) out.push("one " + tag + " is wanted");
  if (!document.documentElement.lang) out.push("no language");
  return out;
})()`

// Everything can be reached and worked with the keyboard alone, and the eye
// sees where the focus is.
func pageByKeyboard(t *testing.T, b *tab) {
	_, url := start(t, Options{Preview: true}, newScene())
	b.open(url, 1280, 900, false, false)
	b.wait(ready)
	var order []string
	for range 5 {
		b.do(chromedp.KeyEvent("\t"))
		order = append(order, eval[string](b, `(() => { const e = document.activeElement, s = getComputedStyle(e);
			return (e.id || e.className || e.tagName) + (parseFloat(s.outlineWidth) >= 2 && s.outlineStyle !== "none" ? "" : " without a visible focus"); })()`))
	}
	if got, want := strings.Join(order, ", "), "skip, theme, look, log, A"; got != want {
		t.Errorf("tab goes to %s; want %s", got, want)
	}
	b.do(chromedp.Focus(chromedp.CSS("#theme")), chromedp.KeyEvent("\r"), chromedp.KeyEvent("\r"))
	if got := eval[string](b, `document.documentElement.dataset.theme`); got != "dark" {
		t.Errorf("theme %q after two presses", got)
	}
	b.do(chromedp.Focus(chromedp.CSS("#look")), chromedp.KeyEvent(" "))
	b.wait(`!document.querySelector("#picture").hidden`)
	if !eval[bool](b, `document.querySelector("#look").getAttribute("aria-pressed") === "true"`) {
		t.Error("the button does not say that it is pressed")
	}
	b.shoot("preview")
	b.quiet("preview.jpg") // 503 until the first picture is there
}

// The page says when the device is not ready and why, and when it is again.
func pageShowsFaults(t *testing.T, b *tab) {
	sc := newScene()
	sc.ready.Store(false)
	_, url := start(t, Options{}, sc)
	b.open(url, 1280, 900, false, false)
	b.wait(`document.querySelector("#state-text").textContent === "No camera"`)
	if fault := eval[string](b, `document.querySelector("#fault").innerText`); !strings.Contains(fault, "/dev/video0") {
		t.Errorf("the page says %q", fault)
	}
	b.shoot("fault")
	sc.ready.Store(true)
	b.wait(ready)
	b.quiet("")
}

// Without the token the page shows nothing but the question for it.
func pageAsksForToken(t *testing.T, b *tab) {
	_, url := start(t, Options{Token: "0123456789abcdef"}, newScene())
	b.open(url, 390, 844, true, false)
	b.wait(`document.querySelector("#login").open`)
	b.shoot("login")
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), "wrong\r"))
	b.wait(`document.querySelector("#login-error").textContent === "That is not the token."`)
	if n := eval[int](b, `document.querySelectorAll(".person").length`); n != 0 {
		t.Errorf("%d people shown without the token", n)
	}
	eval[string](b, `document.querySelector("#token").value = ""`)
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), "0123456789abcdef\r"))
	b.wait(ready)
	if got := eval[string](b, `document.cookie`); got != "" {
		t.Errorf("a script can read the cookie %q", got)
	}
}

// A screen reader is told a summary when it has changed, not every frame.
func pageSpeaksSeldom(t *testing.T, b *tab) {
	sc := newScene()
	_, url := start(t, Options{}, sc)
	b.open(url, 1280, 900, false, false)
	b.wait(ready)
	eval[int](b, `window.said = []; new MutationObserver(() => said.push(document.querySelector("#spoken").textContent)).observe(
		document.querySelector("#spoken"), {childList: true, characterData: true, subtree: true}); 1`)
	sc.calm.Store(true)
	b.wait(`said.length > 0`)
	time.Sleep(500 * time.Millisecond)
	if said := eval[[]string](b, `said`); len(said) != 1 || said[0] != "Face 1 happy" {
		t.Errorf("said %q", said)
	}
}

// BenchmarkUsable measures how long it takes from before the server exists
// until a browser that is already running shows a face, the state and the
// lines.
func BenchmarkUsable(b *testing.B) {
	t := browser(b)
	t.open("about:blank", 1280, 900, false, false)
	var worst time.Duration
	for b.Loop() {
		began := time.Now()
		_, url := start(b, Options{}, newScene())
		t.do(chromedp.Navigate(url))
		t.wait(ready)
		worst = max(worst, time.Since(began))
	}
	b.ReportMetric(float64(worst.Milliseconds()), "ms-worst")
}

// pageSaysTheState walks through every state: the page names it and says it
// where faces would be, keeps it under "Lately", and never claims that nobody
// is in view while it cannot know.
func pageSaysTheState(t *testing.T, b *tab) {
	sc := newScene()
	s, url := start(t, Options{}, sc)
	b.open(url, 1280, 900, false, false)
	b.wait(ready)
	keys := eval[[]string](b, `Object.keys(STATES)`)
	for _, m := range signal.States {
		if !slices.Contains(keys, string(m.State)) {
			t.Errorf("the page has no words for %q", m.State)
		}
	}
	sc.ready.Store(false)
	b.wait(`document.querySelector("#state-text").textContent === "No camera"`)
	s.State(device.State{Time: time.Now(), State: signal.NoCamera, Reason: "v4l2: /dev/video0: no such device"})
	b.wait(`[...document.querySelectorAll("#log li")].some(x => x.innerText.includes("No camera"))`)
	eval[int](b, `onReading({time: new Date().toISOString(), seq: 1, width: 640, height: 480, faces: [], subject: 0, latency_ms: {}}); 1`)
	if said := eval[string](b, `document.querySelector("#empty-text").textContent`); strings.Contains(said, "Nobody") || !strings.Contains(said, "camera") {
		t.Errorf("without a camera the page says %q", said)
	}
	if said := eval[string](b, `document.querySelector("#log").innerText`); strings.Contains(said, "v4l2:") || !strings.Contains(said, "/dev/video0: no such device") {
		t.Errorf("lately: %q", said)
	}
	b.shoot("no-camera")
	eval[int](b, `source.close(); drawParts([{part: "mqtt", problem: "no connection; publish: mqtt://h:1883: no broker listens there"}]); 1`)
	if said := eval[string](b, `document.querySelector("#parts").innerText`); said != "MQTT is out of order: no connection; mqtt://h:1883: no broker listens there" {
		t.Errorf("out of order: %q", said)
	}
}

// pageForgets takes all that was seen away when consent is withdrawn.
func pageForgets(t *testing.T, b *tab) {
	sc := newScene()
	s, url := start(t, Options{}, sc)
	b.open(url, 1280, 900, false, false)
	b.wait(ready)
	b.wait(`document.querySelectorAll(".person").length > 0`)
	eval[int](b, `source.close(); log(new Date().toISOString(), "Face 1: emotion happy"); lastNews = 0; 1`)
	s.State(device.State{Time: time.Now(), State: signal.NoConsent, Reason: signal.NoConsent.Meaning().Text})
	eval[int](b, `onState({time: new Date().toISOString(), state: "no consent", ready: false, reason: "consent is awaited"}); 1`)
	if n := eval[int](b, `document.querySelectorAll(".person, #map .box").length`); n != 0 {
		t.Errorf("%d faces stay on the page", n)
	}
	if said := eval[string](b, `["#faces", "#map", "#log", "#state"].map(x => document.querySelector(x).textContent).join(" ")`); strings.Contains(said, "happy") || !strings.Contains(said, "Waiting for consent") {
		t.Errorf("the page says %q", said)
	}
}

// pageHasNoHoles looks at the cards at widths between a phone's and a desk's:
// what lies beside a card is another one, in every row.
func pageHasNoHoles(t *testing.T, b *tab) {
	_, url := start(t, Options{}, newScene())
	for _, width := range []int64{760, 900, 1024, 1280} {
		b.open(url, width, 1000, false, false)
		b.wait(ready)
		holes := eval[[]string](b, `(() => {
			const main = document.querySelector("#main").getBoundingClientRect(), rows = new Map();
			for (const c of document.querySelectorAll("#main > .card")) {
				const r = c.getBoundingClientRect(), key = Math.round(r.top);
				rows.set(key, (rows.get(key) || 0) + r.width + 16);
			}
			return [...rows].filter(([, w]) => Math.abs(w - 16 - main.width) > 3).map(([y, w]) => "at " + y + " " + Math.round(w) + " of " + Math.round(main.width));
		})()`)
		if len(holes) > 0 {
			t.Errorf("%d pixels wide: rows that are not full: %v", width, holes)
		}
		b.shoot(fmt.Sprint("wide-", width))
	}
}
