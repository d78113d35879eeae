package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"mien/device/config"
	"mien/device/page/tab"
)

// TestWalk sets a device up as a new user does, on a phone: from the first page
// to a pin that moves because a face is there. It lists its steps and how long
// each took; the bar is a minute, and a person reads meanwhile.
func TestWalk(t *testing.T) {
	page, file := board(t)
	b := tab.New(t)
	began := time.Now()
	step := func(name string) {
		t.Logf("%5.1f s  %s", time.Since(began).Seconds(), name)
		time.Sleep(300 * time.Millisecond) // what fades comes to rest
		for _, p := range tab.Eval[[]string](b, tab.Audit) {
			t.Errorf("%s: %s", name, p)
		}
		if wide := tab.Eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
			t.Errorf("%s: the page is %v pixels wider than the screen", name, wide)
		}
		b.Shoot("walk-" + strings.ReplaceAll(name, " ", "-"))
	}
	press := func(button string) {
		b.Wait(fmt.Sprintf(`(e => e && e.checkVisibility() && !e.disabled)(document.querySelector(%q))`, button))
		b.Do(chromedp.Click(chromedp.CSS(button)))
	}
	b.Open(page+"/", 390, 844, true, false)
	b.Wait(`document.querySelector("#step-token")?.hidden === false`)
	step("1 token")
	press("#step-token button[type=submit]")
	b.Wait(`!document.querySelector("#step-camera").hidden`)
	b.Wait(`document.querySelector("#finding").textContent.includes("face is found")`)
	if tab.Eval[bool](b, `!document.querySelector("#walk-picture").hidden || performance.getEntriesByType("resource").some(e => e.name.includes("preview.jpg"))`) {
		t.Error("a picture is shown before the person has agreed")
	}
	step("2 camera before consent")
	press("#walk-look")
	b.Wait(`!document.querySelector("#walk-picture").hidden && document.querySelector("#walk-picture").naturalWidth > 0`)
	step("3 camera after consent")
	press("#step-camera button[type=submit]")
	b.Wait(`!document.querySelector("#step-pin").hidden`)
	tab.Eval[int](b, `fetch("v1/preview.jpg").then(r => window.after = r.status); 1`)
	b.Wait(`window.after === 404`)
	tab.Eval[string](b, `document.querySelector("#walk-pin").value = "GPIO22"`)
	press("#walk-blink")
	b.Wait(`document.querySelector("#walk-blink").disabled`)
	step("4 pin blinks")
	press("#step-pin button[type=submit]")
	b.Wait(`!document.querySelector("#step-names").hidden`)
	b.Do(chromedp.SendKeys(chromedp.CSS("#walk-name"), "hall"))
	tab.Eval[string](b, `document.querySelector("#walk-broker").value = "nonsense"`)
	press("#step-names button[type=submit]")
	b.Wait(`document.querySelector("#step-names .wrong").textContent.startsWith("mqtt.broker: ")`)
	step("5 names and a slip")
	tab.Eval[string](b, `document.querySelector("#walk-broker").value = ""`)
	press("#step-names button[type=submit]")
	b.Wait(`!document.querySelector("#step-done").hidden && document.querySelector("#done-level .level").classList.contains("on")`)
	step("6 the pin moves")
	took := time.Since(began)
	t.Logf("from the first page to the moving pin: %.1f s, with %.1f s of looking for faults", took.Seconds(), 7*.3)
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "hall" || c.Signals.Lines["face"].Pin != "GPIO22" || c.TimeZone == "" || c.Status.Token.IsZero() {
		t.Errorf("%+v", c)
	}
	b.Do(chromedp.Navigate(page + "/settings"))
	b.Wait(`document.querySelector("#all")?.hidden === false`)
	everyKey(t, b, page, file)
	b.Quiet("/v1/") // answers that say no are told by the browser, too
}

// everyKey is the form: all keys are there with what they mean, no secret is,
// a slip is told beside its key, and what is right is saved and undone.
func everyKey(t *testing.T, b *tab.Tab, page, file string) {
	c := config.Default()
	for _, s := range c.Settings() {
		words := tab.Eval[string](b, fmt.Sprintf(`(c => c ? c.closest(".field").textContent : "")(document.getElementById("key-%s"))`, s.Name))
		switch {
		case words == "":
			t.Errorf("%s is not on the page", s.Name)
		case !strings.Contains(words, s.Doc):
			t.Errorf("%s: the page says %q", s.Name, words)
		case strings.Contains(words, "needs a restart") != (s.Reload == config.Restart):
			t.Errorf("%s: the page says %q of a key that %s", s.Name, words, s.Reload)
		}
	}
	if v := tab.Eval[string](b, `document.getElementById("key-status.token").value + document.getElementById("key-status.token").placeholder`); v != "set, not shown" {
		t.Errorf("the token is shown as %q", v)
	}
	tab.Eval[int](b, `fetch("v1/config").then(r => r.text()).then(x => window.answer = x); 1`)
	b.Wait(`!!window.answer`)
	if tab.Eval[bool](b, `answer.includes('"value":"sha256:')`) {
		t.Error("the token's hash leaves the device")
	}
	b.Shoot("settings")
	tab.Eval[bool](b, `[...document.querySelectorAll("details")].every(d => d.open = true)`)
	tab.Eval[string](b, `(c => { c.value = "5"; c.dispatchEvent(new Event("input")); return c.value })(document.getElementById("key-camera.width"))`)
	b.Do(chromedp.Click(chromedp.CSS("#save")))
	b.Wait(`document.getElementById("key-camera.width-wrong").textContent.includes("between")`)
	for _, p := range tab.Eval[[]string](b, tab.Audit) {
		t.Errorf("all settings: %s", p)
	}
	if wide := tab.Eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
		t.Errorf("all settings: %v pixels wider than the screen", wide)
	}
	b.Shoot("settings-slip")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tab.Eval[string](b, `(c => { c.value = "320"; c.dispatchEvent(new Event("input")); return c.value })(document.getElementById("key-camera.width"))`)
	b.Do(chromedp.Click(chromedp.CSS("#save")))
	b.Wait(`document.querySelector("#verdict").textContent === "Saved. Wait for a restart: camera.width."`)
	if c, err := config.Load(file); err != nil || c.Camera.Width != 320 {
		t.Errorf("width %d, %v", c.Camera.Width, err)
	}
	b.Do(chromedp.Click(chromedp.CSS("#undo")))
	b.Wait(`document.querySelector("#verdict").textContent.startsWith("The configuration before is back.")`)
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("undo gives another file: %v", err)
	}
	if got := tab.Eval[string](b, `(document.querySelector("[aria-label='Remove token']").click(), edited().map(c => c.name + "=" + c.value).join())`); got != "status.token=" {
		t.Errorf("a secret that is removed is sent as %q", got)
	}
	b.Open(page+"/settings", 1280, 900, false, true)
	b.Wait(`document.querySelector("#all")?.hidden === false`)
	for _, p := range tab.Eval[[]string](b, tab.Audit) {
		t.Errorf("dark: %s", p)
	}
	b.Shoot("settings-dark")
}
