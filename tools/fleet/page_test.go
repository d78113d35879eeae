package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	prometheus "github.com/prometheus/common/model"

	"mien/device"
	"mien/device/fleet"
	"mien/device/page"
	"mien/device/page/tab"
	"mien/runtime/testwait"
)

// shown is a fleet that was made up for pages to show.
type shown struct {
	n    int
	away atomic.Bool // the hub's streams do not answer
}

func (s *shown) boards(now time.Time) ([]*Board, error) {
	if s.away.Load() {
		return nil, errors.New("fleet: stream STATUS: no answer")
	}
	r := rand.New(rand.NewPCG(5, 6))
	all := []*Board{}
	for i := range s.n {
		h := &fleet.Health{State: "reading", Ready: true, Version: "v1.4.0", Board: "Raspberry Pi 4", Model: "faces-7", Engine: "tflite", FrameRate: 14.2, Celsius: 51,
			Started: now.Add(-50 * time.Hour), Tags: []string{"kiosk"}, Parts: []device.PartHealth{}, Heads: []string{"age"}}
		b := &Board{Standing: Standing{Site: []string{"hall", "harbour", "museum-of-natural-history"}[i%3], Board: fmt.Sprintf("door-%04d", i), Seen: now.Add(-30 * time.Second), Health: h},
			Drift: []Drift{}, Troubles: []Trouble{}}
		counts := usual
		switch i % 97 {
		case 5:
			b.Seen = now.Add(-2 * time.Hour)
		case 7:
			h.State, h.Ready, h.Reason = "no camera", false, "v4l2: /dev/video0: no such device"
		case 11:
			h.Queued = 1234
		case 13:
			h.Version = "v1.3.9"
		case 17:
			counts = map[string]float64{"0-19": .02, "20-39": .1, "40-59": .2, "60+": .68}
		case 19:
			b.Health = nil
		case 23:
			h.Parts = []device.PartHealth{{Name: "mqtt", Problem: "publish: mqtt://broker:1883: no broker listens there"}}
		}
		b.Now = b.State(now)
		if b.Health != nil && !b.silent(now) {
			b.Hour = countsOf(r, 60+r.IntN(60), counts)
			b.Hour.Readings, b.Hour.Uncertain["age"] = 4*b.Hour.Readings, b.Hour.Readings/(8+r.IntN(8))
			b.Rates = ratesOf(b.Hour)
		}
		all = append(all, b)
	}
	compare(all)
	for _, b := range all {
		b.troubles(&known{}, now)
	}
	return all, nil
}

// stores are as full as those of a hub that is short of disk.
func (s *shown) stores(context.Context) ([]Usage, error) {
	return []Usage{{"SEEN", "what boards see: readings, tracks, transitions", 1_204_332, 4_770_000_000, 4_831_838_200, 7 * 24 * time.Hour, time.Now().Add(-60 * time.Hour)},
		{"STATUS", "how boards are: states, health, counts, audit", 9_332, 1_330_000, 2_147_483_600, 30 * 24 * time.Hour, time.Now().Add(-200 * time.Hour)},
		{"OBJ_artifacts", "models and packages", 12, 5_000_000, 1_717_986_900, 0, time.Now()}}, nil
}

// rollouts are one that is under way and one that was halted; none in an empty fleet.
func (s *shown) rollouts(context.Context) ([]Rollout, error) {
	if s.n == 0 {
		return nil, nil
	}
	some := make([]string, s.n)
	return []Rollout{
		{Name: "model-8-kiosk", Kind: fleet.OfModel, File: "faces.tflite", Version: 8, Begun: time.Now().Add(-20 * time.Minute), Boards: some, Stages: []int{1, s.n / 20, s.n / 4, s.n}, Stage: 2,
			State: Running, Progress: Progress{Offered: s.n / 4, Proven: s.n / 5, Pending: s.n/4 - s.n/5 - 2, Away: 2}},
		{Name: "model-7-kiosk", Kind: fleet.OfModel, File: "faces.tflite", Version: 7, Begun: time.Now().Add(-26 * time.Hour), Boards: some, Stages: []int{1, s.n}, State: Halted,
			Why: "1 of 1 boards failed, 0 may: hall/door-0012: it did not prove itself within 2m0s", Progress: Progress{Offered: 1, Left: 1}}}, nil
}

// open serves such a fleet to whoever shows the token; to everybody without one.
func (s *shown) open(t testing.TB, token string) string {
	t.Helper()
	g, err := page.New(page.Options{Addr: "127.0.0.1:0", Token: token, Requests: 1000, MaxConns: 64, Words: page.Words{It: "hub", Cookie: "mien-fleet-session"}})
	if err != nil {
		t.Fatal(err)
	}
	p := &Page{guard: g, ask: s.boards, weigh: s.stores, rolls: s.rollouts}
	srv := httptest.NewServer(p.Handler())
	t.Cleanup(srv.Close)
	return srv.URL
}

func get(t *testing.T, url string, code int, to any) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && to != nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil || r.StatusCode != code {
		t.Fatalf("%s: %s %.200s %v, want %d", url, r.Status, b, err, code)
	}
	return string(b)
}

// The API says how a fleet stands, and finds boards in it.
func TestPageAPI(t *testing.T) {
	s := &shown{n: 2910} // thirty times through all that may be wrong
	url := s.open(t, "")
	var o Overview
	get(t, url+"/v1/fleet", 200, &o)
	if o.Boards != 2910 || len(o.Sites) != 3 || o.Sites[0].Boards != 970 || len(o.Versions) != 2 || o.Versions[1] != (Group{"v1.3.9", 30, 0}) || o.Troubled != 180 {
		t.Errorf("%+v", o)
	}
	if st := o.Stores; len(st) != 3 || !st[0].Short || st[0].Age != 7*24*time.Hour || st[1].Short {
		t.Errorf("%+v", o.Stores)
	}
	if r := o.Rollouts; len(r) != 2 || r[0].Boards != 2910 || r[0].Stage != 3 || r[0].Stages != 4 || r[1].State != Halted {
		t.Errorf("%+v", r)
	}
	for query, want := range map[string]struct {
		matching int
		first    string
	}{
		"":                              {2910, "hall/door-0102"}, // silent
		"order=board":                   {2910, "hall/door-0000"},
		"order=queue":                   {2910, "hall/door-0108"},
		"trouble=drift":                 {30, "hall/door-0114"},
		"trouble=state&site=hall":       {10, "hall/door-0201"},
		"version=v1.3.9&order=board":    {30, "hall/door-0207"},
		"find=NO+BROKER+hall":           {10, "hall/door-0120"},
		"find=door-0007":                {1, "harbour/door-0007"},
		"find=zebra":                    {0, ""},
		"find=never":                    {30, "hall/door-0213"},
		"order=board&from=2909&most=50": {2910, "museum-of-natural-history/door-2909"},
		"order=board&from=99999":        {2910, ""},
	} {
		var l List
		body := get(t, url+"/v1/boards?"+query, 200, &l)
		first := ""
		if len(l.Boards) > 0 {
			first = l.Boards[0].ID().String()
		}
		if l.Matching != want.matching || first != want.first || len(l.Boards) > 50 || strings.Contains(body, "shares\":{") {
			t.Errorf("%s: %d boards, the first %s; want %+v", query, l.Matching, first, want)
		}
	}
	for _, query := range []string{"order=cake", "from=-1", "most=x", "most=99999999999"} {
		get(t, url+"/v1/boards?"+query, 400, nil)
	}
	var b Board
	if get(t, url+"/v1/boards/hall/door-0114", 200, &b); b.Hour == nil || len(b.Drift[0].Shares) != 4 || b.Drift[0].Distance <= b.Drift[0].Bound {
		t.Errorf("%+v", b)
	}
	get(t, url+"/v1/boards/hall/window", 404, nil)
	get(t, url+"/healthz", 200, nil)
	s.away.Store(true)
	time.Sleep(1100 * time.Millisecond) // an answer is good for a second
	if body := get(t, url+"/v1/fleet", 503, nil); !strings.Contains(body, "STATUS: no answer") {
		t.Error(body)
	}
}

// Without the token nothing is told.
func TestPageAsksForToken(t *testing.T) {
	const token = "0123456789abcdef"
	url := (&shown{n: 10}).open(t, token)
	for _, path := range []string{"/v1/fleet", "/v1/boards", "/v1/boards/hall/door-0000", "/healthz", "/metrics"} {
		if body := get(t, url+path, 401, nil); strings.Contains(body, "door") {
			t.Errorf("%s: %s", path, body)
		}
		r, err := http.NewRequest("GET", url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%s with the token: %v %v", path, resp, err)
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if strings.Contains(string(b), token) {
			t.Errorf("%s tells the token", path)
		}
	}
	for _, path := range []string{"/", "/fleet.js", "/fleet.css", "/style.css", "/common.js", "/icon.svg"} {
		get(t, url+path, 200, nil)
	}
}

// Prometheus reads what is written, and its linter likes it.
func TestPageMetrics(t *testing.T) {
	url := (&shown{n: 200}).open(t, "")
	text := get(t, url+"/metrics", 200, nil)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	parser := expfmt.NewTextParser(prometheus.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"mien_hub_site_boards": 3, "mien_hub_board_ready": 200, "mien_hub_board_queued": 198, "mien_hub_board_drift_distance": 195,
		"mien_hub_board_with_face_ratio": 195, "mien_hub_store_bytes": 3, "mien_hub_rollout_running": 2, "mien_hub_rollout_boards": 10, "mien_hub_trouble_boards": 6} {
		if got := len(families[name].GetMetric()); got != n {
			t.Errorf("%s: %d samples, want %d", name, got, n)
		}
	}
}

// A hub serves its page: to this machine freely, to others with the token that it
// makes up, which is in its file and nowhere else.
func TestServeShowsThePage(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", ":0"} {
		dir := filepath.Join(t.TempDir(), "hub")
		var out testwait.Log
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Serve(ctx, ServeOptions{Dir: dir, Listen: "127.0.0.1:0", Disk: 1 << 30, Sync: time.Minute, Out: &out, Page: PageOptions{Listen: listen}})
		}()
		var port string
		testwait.Until(t, "the page is there", func() bool {
			_, after, ok := strings.Cut(out.String(), "page on http://")
			line, _, whole := strings.Cut(after, "\n")
			port = line[strings.LastIndex(line, ":")+1:]
			return ok && whole
		})
		token, err := os.ReadFile(filepath.Join(dir, tokenFile))
		if open := listen == "127.0.0.1:0"; open != (err != nil) {
			t.Errorf("%s: token %q, %v", listen, token, err)
		}
		r, err := http.NewRequest("GET", "http://127.0.0.1:"+port+"/v1/fleet", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(token) > 0 {
			get(t, r.URL.String(), 401, nil)
			if st, err := os.Stat(filepath.Join(dir, tokenFile)); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%v %v", st, err)
			}
			if strings.Contains(out.String(), strings.TrimSpace(string(token))) {
				t.Errorf("the log says the token: %s", out.String())
			}
			r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var o Overview
		if err := json.NewDecoder(resp.Body).Decode(&o); err != nil || resp.StatusCode != 200 || !slices.ContainsFunc(o.Stores, func(s Store) bool { return s.Name == "STATUS" && s.Age > 0 && s.Bound > 0 }) {
			t.Errorf("%s: %s %+v %v", listen, resp.Status, o, err)
		}
		resp.Body.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// Where the page cannot be, the hub says so at once, and how that is changed.
func TestServeSaysThatThePageCannotBe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = Serve(t.Context(), ServeOptions{Dir: filepath.Join(t.TempDir(), "hub"), Listen: "127.0.0.1:0", Disk: 1 << 30, Sync: time.Minute, Out: io.Discard, Page: PageOptions{Listen: l.Addr().String()}})
	if err == nil || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "--page") {
		t.Errorf("%v", err)
	}
}

// Each order in which boards can be listed is in the page's choice and in the README.
func TestOrders(t *testing.T) {
	html, err := files.ReadFile("web/index.html")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(readme), "`order=`")
	row, _, _ = strings.Cut(row, "`")
	_, choice, _ := strings.Cut(string(html), `<select id="order">`)
	choice, _, _ = strings.Cut(choice, "</select>")
	for name := range orders {
		if !slices.Contains(strings.FieldsFunc(row, func(r rune) bool { return r == ' ' || r == ',' }), name) {
			t.Errorf("the README does not name order=%s", name)
		}
		if !strings.Contains(choice, `<option value="`+name+`">`) {
			t.Errorf("the page does not offer order=%s", name)
		}
	}
	if n := strings.Count(choice, "<option"); n != len(orders) {
		t.Errorf("the page offers %d orders, there are %d", n, len(orders))
	}
}

// TestPage shows the page to a real browser.
func TestPage(t *testing.T) {
	b := tab.New(t)
	for name, part := range map[string]func(*testing.T, *tab.Tab){"views": viewsOfThePage, "find": pageFinds, "details": pageTellsMore, "token": pageAsksBrowserForToken, "away": pageSaysThatHubIsAway} {
		t.Run(name, func(t *testing.T) {
			b.Begin(t)
			part(t, b)
		})
	}
}

const drawn = `document.querySelectorAll("#rows > li").length > 0 && document.querySelector("#kept").children.length === 3 && document.querySelector("#rollouts").children.length === 2`

func viewsOfThePage(t *testing.T, b *tab.Tab) {
	for _, view := range []struct {
		name          string
		width, height int64
		dark, phone   bool
		boards        int
		state         string
	}{
		{"fleet-light", 1280, 900, false, false, 2910, "2,910 boards, 180 with trouble"},
		{"fleet-dark", 1280, 900, true, false, 60, "60 boards, 6 with trouble"},
		{"fleet-between", 900, 900, false, false, 60, "60 boards, 6 with trouble"},
		{"fleet-phone", 390, 844, false, true, 30, "30 boards, 6 with trouble"},
		{"fleet-phone-dark", 390, 844, true, true, 2910, "2,910 boards, 180 with trouble"},
		{"fleet-empty", 1280, 900, false, false, 0, "0 boards"},
	} {
		url := (&shown{n: view.boards}).open(t, "")
		b.Open(url, view.width, view.height, view.phone, view.dark)
		if view.boards > 0 {
			b.Wait(drawn)
		}
		b.Wait(fmt.Sprintf(`document.querySelector("#state-text").textContent === %q`, view.state))
		for _, p := range tab.Eval[[]string](b, tab.Audit) {
			t.Errorf("%s: %s", view.name, p)
		}
		if wide := tab.Eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
			t.Errorf("%s: the page is %v pixels wider than the screen", view.name, wide)
		}
		if n := tab.Eval[int](b, `document.querySelectorAll("#rows > li").length`); n != min(view.boards, 50) {
			t.Errorf("%s: %d rows", view.name, n)
		}
		if said := tab.Eval[string](b, `document.querySelector("#kept").innerText + document.querySelector("#short").innerText`); !strings.Contains(said, "7 days at most") || !strings.Contains(said, "SEEN is full") {
			t.Errorf("%s: of what is kept it says %q", view.name, said)
		}
		b.Shoot(view.name)
	}
	b.Quiet("")
}

// Of thousands of boards the worst stand first, and any is found by a few letters.
func pageFinds(t *testing.T, b *tab.Tab) {
	b.Open((&shown{n: 2910}).open(t, ""), 1280, 900, false, false)
	b.Wait(drawn)
	if first := tab.Eval[string](b, `document.querySelector("#rows > li").innerText`); !strings.Contains(first, "said nothing for 2h") {
		t.Errorf("first is %q", first)
	}
	b.Do(chromedp.Focus(chromedp.CSS("#find")), chromedp.SendKeys(chromedp.CSS("#find"), "door-0108"))
	b.Wait(`document.querySelectorAll("#rows > li").length === 1 && document.querySelector("#rows").innerText.includes("1,234")`)
	tab.Eval[int](b, `$("find").value = ""; $("trouble").value = "drift"; $("trouble").dispatchEvent(new Event("change")); 1`)
	b.Wait(`document.querySelector("#count").textContent === "30 shown" && document.querySelectorAll(".cell.over").length === 30`)
	tab.Eval[int](b, `$("trouble").value = ""; $("order").value = "board"; $("order").dispatchEvent(new Event("change")); 1`)
	b.Wait(`document.querySelector("#range").textContent === "1 to 50 of 2,910" && document.querySelector(".called").innerText === "hall/door-0000"`)
	b.Do(chromedp.Focus(chromedp.CSS("#on")), chromedp.KeyEvent("\r"))
	b.Wait(`document.querySelector("#range").textContent === "51 to 100 of 2,910" && document.querySelector(".called").innerText === "hall/door-0150"`)
	b.Do(chromedp.Focus(chromedp.CSS("#sites button")), chromedp.KeyEvent("\r"))
	b.Wait(`document.querySelector("#count").textContent === "970 shown" && document.querySelector("#site").value === "hall"`)
	b.Quiet("")
}

// A row opens by the keyboard, says all that there is, and stays open.
func pageTellsMore(t *testing.T, b *tab.Tab) {
	url := (&shown{n: 120}).open(t, "")
	for _, phone := range []bool{false, true} {
		width := int64(1280)
		if phone {
			width = 390
		}
		b.Open(url, width, 900, phone, false)
		b.Wait(drawn)
		tab.Eval[int](b, `$("trouble").value = "drift"; $("trouble").dispatchEvent(new Event("change")); 1`)
		b.Wait(`document.querySelectorAll("#rows > li").length === 2`)
		b.Do(chromedp.Focus(chromedp.CSS("#rows summary")), chromedp.KeyEvent("\r"))
		b.Wait(`document.querySelectorAll(".shares tbody tr").length === 4`)
		if said := tab.Eval[string](b, `document.querySelector(".more").innerText`); !strings.Contains(said, "Raspberry Pi 4") || !strings.Contains(said, "the median of 11") || !strings.Contains(said, "60+") {
			t.Errorf("it says %q", said)
		}
		for _, p := range tab.Eval[[]string](b, tab.Audit) {
			t.Error(p)
		}
		b.Shoot(fmt.Sprint("fleet-more-", width))
		tab.Eval[int](b, `draw(); 1`)
		time.Sleep(300 * time.Millisecond)
		if !tab.Eval[bool](b, `document.querySelector("#rows details").open`) {
			t.Error("a row closes when the page draws anew")
		}
	}
	b.Quiet("")
}

func pageAsksBrowserForToken(t *testing.T, b *tab.Tab) {
	b.Open((&shown{n: 9}).open(t, "0123456789abcdef"), 390, 844, true, false)
	b.Wait(`document.querySelector("#login").open`)
	b.Shoot("fleet-login")
	b.Do(chromedp.SendKeys(chromedp.CSS("#token"), "wrong\r"))
	b.Wait(`document.querySelector("#login-error").textContent === "That is not the token."`)
	if n := tab.Eval[int](b, `document.querySelectorAll("#rows > li").length`); n != 0 {
		t.Errorf("%d boards shown without the token", n)
	}
	tab.Eval[string](b, `document.querySelector("#token").value = ""`)
	b.Do(chromedp.SendKeys(chromedp.CSS("#token"), "0123456789abcdef\r"))
	b.Wait(drawn)
	if got := tab.Eval[string](b, `document.cookie`); got != "" {
		t.Errorf("a script can read the cookie %q", got)
	}
}

func pageSaysThatHubIsAway(t *testing.T, b *tab.Tab) {
	s := &shown{n: 9}
	b.Open(s.open(t, ""), 1280, 900, false, false)
	b.Wait(drawn)
	s.away.Store(true)
	time.Sleep(1100 * time.Millisecond)
	tab.Eval[int](b, `draw(); 1`)
	b.Wait(`!document.querySelector("#fault").hidden && document.querySelector("#fault").textContent.includes("no answer")`)
	s.away.Store(false)
	tab.Eval[int](b, `draw(); 1`)
	b.Wait(`document.querySelector("#fault").hidden`)
	b.Quiet("503")
}
