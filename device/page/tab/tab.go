// Package tab drives a real browser for tests of the pages that miend serves.
package tab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Tab is a tab of a headless Chromium of its own.
type Tab struct {
	testing.TB
	ctx        context.Context
	mu         sync.Mutex
	complaints []string // of the page: errors, warnings, requests to elsewhere
}

// New starts one.
func New(t testing.TB) *Tab {
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
	b := &Tab{TB: t}
	ctx, cancelTab := chromedp.NewContext(alloc, chromedp.WithListener(b.listen))
	t.Cleanup(cancelTab)
	b.ctx = ctx
	b.Do(Call(log.Enable, cdp.Empty{}), Call(network.Enable, network.EnableParams{}))
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

// Begin starts a part of a test on an empty page.
func (b *Tab) Begin(t testing.TB) {
	b.TB = t
	b.Do(chromedp.Navigate("about:blank"))
	b.mu.Lock()
	b.complaints = nil
	b.mu.Unlock()
}

func (b *Tab) listen(ev any) {
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

// Quiet fails the test for every complaint that does not contain except.
func (b *Tab) Quiet(except string) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		if except == "" || !strings.Contains(c, except) {
			b.Error(c)
		}
	}
}

// Do takes steps.
func (b *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// Call makes a command of the protocol an action.
func Call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// Eval returns what JavaScript in the page gives.
func Eval[T any](b *Tab, js string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](js))
	if err != nil {
		b.Fatalf("%.60s: %v", js, err)
	}
	return v
}

// Wait waits until js is true, also over pages that send the browser on.
// chromedp's own Poll compiles strings in the page, which the page's policy
// forbids.
func (b *Tab) Wait(js string) {
	b.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		switch ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](js)); {
		case left(err):
		case err != nil:
			b.Fatalf("%.60s: %v", js, err)
		case ok:
			return
		}
	}
	b.Fatalf("never true: %s; the page says %s; complaints %q", js, Eval[string](b, "document.body.innerText"), b.complaints)
}

// left says whether an answer is missing because the browser went to another
// page while the one before was asked. The protocol has one code for every
// failure in the page, so the text decides.
func left(err error) bool {
	var e *cdproto.Error
	return errors.As(err, &e) && slices.Contains([]string{
		"Inspected target navigated or closed", "Execution context was destroyed.", "Cannot find context with specified id",
	}, e.Message)
}

// Open shows a page on a screen of a size.
func (b *Tab) Open(url string, width, height int64, phone, dark bool) {
	b.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.Do(chromedp.EmulateViewport(width, height, func(p *emulation.SetDeviceMetricsOverrideParams, _ *emulation.SetTouchEmulationEnabledParams) {
		if p.Mobile = phone; phone {
			p.DeviceScaleFactor = 2
		}
	}), Call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
		chromedp.Navigate(url))
}

// Shoot keeps a screenshot of the whole page where MIEN_SCREENSHOTS says, for
// a person to look at.
func (b *Tab) Shoot(name string) {
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

// Audit returns what somebody with a keyboard, a screen reader or weak eyes
// would stumble over: text with a contrast below 4.5:1 (WCAG 2.2, 1.4.3),
// controls without a name or too small to hit, headings that skip a level,
// regions without a name, pictures without a text.
const Audit = `(() => {
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
