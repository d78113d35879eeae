package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mien/device/exposition"
	"mien/device/page"
)

//go:embed web
var files embed.FS

// PageOptions say where the fleet's page listens, and who may see it.
type PageOptions struct {
	Listen  string   // host:port; empty for no page
	Hosts   []string // further names by which clients may call it
	Proxies []string // reverse proxies whose word about their clients is believed
}

// tokenFile is where the page's token stands. It is asked for when the file is
// there, and made where other machines reach the page.
const tokenFile = "page.token"

// Page shows a fleet: a page for people, an API for programs, metrics for
// Prometheus.
type Page struct {
	guard *page.Guard
	ask   func(time.Time) ([]*Board, error)
	weigh func(context.Context) ([]Usage, error)
	rolls func(context.Context) ([]Rollout, error)

	boards   fresh[[]*Board] // the worst first
	stores   fresh[[]Usage]
	rollouts fresh[[]ShortRollout] // the newest first
}

// fresh is an answer that is good for a while.
type fresh[T any] struct {
	mu sync.Mutex
	v  T
	at time.Time
}

// get asks again when the answer is older than age.
func (f *fresh[T]) get(age time.Duration, ask func() (T, error)) (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.at) < age {
		return f.v, nil
	}
	v, err := ask()
	if err == nil {
		f.v, f.at = v, time.Now()
	}
	return v, err
}

// guardPage says who may see the page; nil for none.
func (h *Home) guardPage(o PageOptions) (*page.Guard, error) {
	if o.Listen == "" {
		return nil, nil
	}
	token, err := h.pageToken(!page.Loopback(o.Listen))
	if err != nil {
		return nil, err
	}
	return page.New(page.Options{Addr: o.Listen, Token: token, Hosts: o.Hosts, Proxies: o.Proxies, Requests: 20, MaxConns: 192,
		Words: page.Words{It: "hub", Token: tokenFile + " in its folder", Hosts: "--host", Cookie: "mien-fleet-session"}})
}

// pageToken reads the token, or makes it up where one is needed.
func (h *Home) pageToken(needed bool) (string, error) {
	b, err := os.ReadFile(h.path(tokenFile))
	switch {
	case errors.Is(err, fs.ErrNotExist) && needed:
		token := strings.ToLower(rand.Text())
		return token, writePrivate(h.path(tokenFile), []byte(token+"\n"))
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("fleet: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fmt.Errorf("fleet: %s is empty: write a token into it, or remove it", h.path(tokenFile))
	}
	return token, nil
}

// NewPage is the page of what a View sees, for those whom the guard lets in.
func NewPage(g *page.Guard, js jetstream.JetStream, v *View) *Page {
	return &Page{guard: g, ask: v.Boards, weigh: func(ctx context.Context) ([]Usage, error) { return Use(ctx, js) },
		rolls: func(ctx context.Context) ([]Rollout, error) { return Rollouts(ctx, js) }}
}

// Handler is all that is served.
func (p *Page) Handler() http.Handler {
	return p.guard.Handler(append(page.Assets(),
		page.Open("GET /{$}", page.Asset(files, "web/index.html", "text/html; charset=utf-8")),
		page.Open("GET /fleet.js", page.Asset(files, "web/fleet.js", "text/javascript; charset=utf-8")),
		page.Open("GET /fleet.css", page.Asset(files, "web/fleet.css", "text/css; charset=utf-8")),
		page.Open("POST /v1/session", p.guard.LogIn),
		page.Open("DELETE /v1/session", p.guard.LogOut),
		page.Closed("GET /v1/fleet", answer(p.overview)),
		page.Closed("GET /v1/boards", answer(p.list)),
		page.Closed("GET /v1/boards/{site}/{board}", answer(p.one)),
		page.Closed("GET /healthz", answer(p.health)),
		page.Closed("GET /metrics", p.metrics)))
}

// Serve answers on l until ctx ends.
func (p *Page) Serve(ctx context.Context, l net.Listener) error {
	return page.Serve(ctx, l, p.Handler())
}

// problem is an error with a status, a kind for programs and a text for people.
type problem struct {
	code       int
	kind, text string
}

func (p *problem) Error() string { return p.text }

// answer sends what f returns as JSON.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		var b []byte
		if err == nil {
			b, err = json.Marshal(v)
		}
		var known *problem
		switch {
		case errors.As(err, &known):
			page.Refuse(w, known.code, known.kind, known.text)
		case err != nil:
			page.Refuse(w, http.StatusServiceUnavailable, "hub", err.Error())
		default:
			page.SendJSON(w, http.StatusOK, b)
		}
	}
}

// look returns the boards, the worst first, as of the last second.
func (p *Page) look() ([]*Board, error) {
	return p.boards.get(time.Second, func() ([]*Board, error) {
		boards, err := p.ask(time.Now())
		slices.SortFunc(boards, Worst)
		return boards, err
	})
}

// use returns how full the hub's stores are, as of the last ten seconds.
func (p *Page) use(ctx context.Context) ([]Usage, error) {
	return p.stores.get(10*time.Second, func() ([]Usage, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return p.weigh(ctx)
	})
}

// mostRollouts is how many roll-outs are shown.
const mostRollouts = 5

// roll returns the newest roll-outs, as of the last two seconds.
func (p *Page) roll(ctx context.Context) ([]ShortRollout, error) {
	return p.rollouts.get(2*time.Second, func() ([]ShortRollout, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		all, err := p.rolls(ctx)
		short := []ShortRollout{}
		for i := range all[:min(len(all), mostRollouts)] {
			short = append(short, all[i].Short())
		}
		return short, err
	})
}

// Overview is a fleet in short.
type Overview struct {
	Time     time.Time `json:"time"`
	Boards   int       `json:"boards"`
	Troubled int       `json:"troubled"`
	Sites    []Group   `json:"sites"`
	States   []Group   `json:"states"`
	Versions []Group   `json:"versions"`
	Models   []Group   `json:"models"`
	Troubles []Group   `json:"troubles"` // a board that has two is in both
	Stores   []Store   `json:"stores"`   // what the hub keeps, and for how long

	Rollouts []ShortRollout `json:"rollouts"` // the newest first
}

// Group is the boards that have something in common.
type Group struct {
	Name     string `json:"name"`
	Boards   int    `json:"boards"`
	Troubled int    `json:"troubled"`
}

// Store is how full a stream or store is; short: its bytes, not its age, decide
// what goes.
type Store struct {
	Usage
	Short bool `json:"short"`
}

func (p *Page) overview(r *http.Request) (any, error) {
	boards, err := p.look()
	if err != nil {
		return nil, err
	}
	stores, err := p.use(r.Context())
	if err != nil {
		return nil, err
	}
	rollouts, err := p.roll(r.Context())
	if err != nil {
		return nil, err
	}
	o := Overview{Time: time.Now().UTC(), Boards: len(boards), Stores: []Store{}, Rollouts: rollouts,
		Sites:    group(boards, func(b *Board) []string { return []string{b.Site} }),
		States:   group(boards, func(b *Board) []string { return []string{b.Now} }),
		Versions: group(boards, ofHealth(func(b *Board) string { return b.Health.Version })),
		Models:   group(boards, ofHealth(func(b *Board) string { return b.Health.Model })),
		Troubles: group(boards, (*Board).kindsOfTrouble)}
	for _, b := range boards {
		if len(b.Troubles) > 0 {
			o.Troubled++
		}
	}
	for _, u := range stores {
		o.Stores = append(o.Stores, Store{u, u.Short()})
	}
	return o, nil
}

// ofHealth names a board by its health, where it has been heard of.
func ofHealth(name func(*Board) string) func(*Board) []string {
	return func(b *Board) []string {
		if b.Health == nil {
			return nil
		}
		return []string{name(b)}
	}
}

func (b *Board) kindsOfTrouble() (names []string) {
	for _, t := range b.Troubles {
		if !slices.Contains(names, t.Kind) {
			names = append(names, t.Kind)
		}
	}
	return names
}

// group counts boards by names, those with the most first.
func group(boards []*Board, names func(*Board) []string) []Group {
	at, all := map[string]int{}, []Group{}
	for _, b := range boards {
		for _, n := range names(b) {
			i, ok := at[n]
			if !ok {
				i = len(all)
				at[n], all = i, append(all, Group{Name: n})
			}
			all[i].Boards++
			if len(b.Troubles) > 0 {
				all[i].Troubled++
			}
		}
	}
	slices.SortFunc(all, func(a, b Group) int { return cmp.Or(cmp.Compare(b.Boards, a.Boards), strings.Compare(a.Name, b.Name)) })
	return all
}

// List is a part of the boards that match.
type List struct {
	Matching int      `json:"matching"`
	From     int      `json:"from"`
	Boards   []*Board `json:"boards"` // without counts and shares of labels
}

// orders are the ways in which boards can be listed.
var orders = map[string]func(a, b *Board) int{
	"worst": Worst,
	"board": ByName,
	"queue": func(a, b *Board) int { return cmp.Or(cmp.Compare(queued(b), queued(a)), Worst(a, b)) },
	"drift": func(a, b *Board) int { return cmp.Or(cmp.Compare(drift(b), drift(a)), Worst(a, b)) },
	"uncertain": func(a, b *Board) int {
		return cmp.Or(cmp.Compare(some(b.Rates.Uncertain), some(a.Rates.Uncertain)), Worst(a, b))
	},
	"face": func(a, b *Board) int {
		return cmp.Or(cmp.Compare(some(b.Rates.WithFace), some(a.Rates.WithFace)), Worst(a, b))
	},
}

func queued(b *Board) int {
	if b.Health == nil {
		return -1
	}
	return b.Health.Queued
}

func drift(b *Board) float64 {
	if len(b.Drift) == 0 {
		return -1
	}
	return b.Drift[0].Distance / b.Drift[0].Bound
}

func some(v *float64) float64 {
	if v == nil {
		return -1
	}
	return *v
}

// mostListed is how many boards are listed at once.
const mostListed = 500

// list answers /v1/boards?find=WORDS&site=SITE&trouble=KIND&version=V&order=worst&from=0&most=50.
func (p *Page) list(r *http.Request) (any, error) {
	boards, err := p.look()
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	order, ok := orders[cmp.Or(q.Get("order"), "worst")]
	if !ok {
		return nil, &problem{http.StatusBadRequest, "order", "order is one of " + strings.Join(slices.Sorted(maps.Keys(orders)), ", ")}
	}
	from, err := number(q.Get("from"), 0)
	if err != nil {
		return nil, err
	}
	most, err := number(q.Get("most"), 50)
	if err != nil {
		return nil, err
	}
	words := strings.Fields(strings.ToLower(q.Get("find")))
	var matching []*Board
	for _, b := range boards {
		if b.is(q.Get("site"), q.Get("trouble"), q.Get("version")) && b.says(words) {
			matching = append(matching, b)
		}
	}
	slices.SortFunc(matching, order)
	l := List{len(matching), from, []*Board{}}
	from = min(from, len(matching))
	for _, b := range matching[from:min(len(matching), from+min(most, mostListed))] {
		l.Boards = append(l.Boards, b.brief())
	}
	return l, nil
}

func number(s string, usual int) (int, error) {
	if s == "" {
		return usual, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, &problem{http.StatusBadRequest, "number", "from and most are whole numbers"}
	}
	return int(n), nil
}

// is reports whether a board is of a site, has a kind of trouble and a version; each
// may be empty, for any.
func (b *Board) is(site, trouble, version string) bool {
	return (site == "" || b.Site == site) && (trouble == "" || slices.Contains(b.kindsOfTrouble(), trouble)) &&
		(version == "" || b.Health != nil && b.Health.Version == version)
}

// says reports whether all words stand somewhere in what is known of a board.
func (b *Board) says(words []string) bool {
	text := []string{b.Site + "/" + b.Board, b.Now}
	if h := b.Health; h != nil {
		text = append(append(text, h.Version, h.Model, h.Board, h.Engine), h.Tags...)
	}
	for _, t := range b.Troubles {
		text = append(text, t.Kind, t.Text)
	}
	all := strings.ToLower(strings.Join(text, "\n"))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(all, w) })
}

// brief is a board as a list has it.
func (b *Board) brief() *Board {
	c := *b
	c.Counts, c.Hour, c.Drift = nil, nil, slices.Clone(b.Drift)
	for i := range c.Drift {
		c.Drift[i].Shares = nil
	}
	return &c
}

func (p *Page) one(r *http.Request) (any, error) {
	boards, err := p.look()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(boards, func(b *Board) bool { return b.Site == r.PathValue("site") && b.Board == r.PathValue("board") })
	if i < 0 {
		return nil, &problem{http.StatusNotFound, "board", "no such board is enrolled"}
	}
	return boards[i], nil
}

// health is for watchdogs: 200 while the hub's streams answer, 503 otherwise.
func (p *Page) health(r *http.Request) (any, error) {
	_, err := p.use(r.Context())
	return map[string]bool{"ready": true}, err
}

func (p *Page) metrics(w http.ResponseWriter, r *http.Request) {
	boards, err := p.look()
	var stores []Usage
	if err == nil {
		stores, err = p.use(r.Context())
	}
	var rollouts []ShortRollout
	if err == nil {
		rollouts, err = p.roll(r.Context())
	}
	if err != nil {
		page.Refuse(w, http.StatusServiceUnavailable, "hub", err.Error())
		return
	}
	var x exposition.Text
	expose(&x, boards, stores, time.Now())
	exposeRollouts(&x, rollouts)
	x.Send(w)
}

// expose writes a fleet's metrics.
func expose(x *exposition.Text, boards []*Board, stores []Usage, now time.Time) {
	groups := func(name, label, help string, all []Group) {
		x.Family("gauge", name, help)
		for _, g := range all {
			x.Sample(name, float64(g.Boards), label, g.Name)
		}
	}
	groups("mien_hub_site_boards", "site", "Boards that are enrolled, by site.", group(boards, func(b *Board) []string { return []string{b.Site} }))
	groups("mien_hub_state_boards", "state", "Boards by state.", group(boards, func(b *Board) []string { return []string{b.Now} }))
	groups("mien_hub_version_boards", "version", "Boards by the version of their firmware.", group(boards, ofHealth(func(b *Board) string { return b.Health.Version })))
	groups("mien_hub_trouble_boards", "kind", "Boards that have a trouble, by its kind.", group(boards, (*Board).kindsOfTrouble))
	for _, m := range []struct {
		kind, name, help string
		of               func(*Board) (float64, bool)
	}{
		{"gauge", "mien_hub_board_heard_seconds", "How long ago a board's health came.", func(b *Board) (float64, bool) { return now.Sub(b.Seen).Seconds(), b.Health != nil }},
		{"gauge", "mien_hub_board_ready", "1 while a board is heard of and ready.", func(b *Board) (float64, bool) {
			return exposition.One(b.Health != nil && !b.silent(now) && b.Health.Ready), true
		}},
		{"gauge", "mien_hub_board_queued", "Messages that wait on a board.", func(b *Board) (float64, bool) { return float64(queued(b)), b.Health != nil }},
		{"counter", "mien_hub_board_lost_total", "Messages that had no room on a board since it started.", func(b *Board) (float64, bool) {
			if b.Health == nil {
				return 0, false
			}
			return float64(b.Health.Lost), true
		}},
		{"gauge", "mien_hub_board_with_face_ratio", "Part of a board's readings with a face, of the last hour.", func(b *Board) (float64, bool) { return some(b.Rates.WithFace), b.Rates.WithFace != nil }},
		{"gauge", "mien_hub_board_uncertain_ratio", "Part of a board's answers without a label, of the last hour.", func(b *Board) (float64, bool) { return some(b.Rates.Uncertain), b.Rates.Uncertain != nil }},
	} {
		x.Family(m.kind, m.name, m.help)
		for _, b := range boards {
			if v, ok := m.of(b); ok {
				x.Sample(m.name, v, "site", b.Site, "board", b.Board)
			}
		}
	}
	for _, m := range []struct {
		name, help string
		of         func(Drift) float64
	}{
		{"mien_hub_board_drift_distance", "How far a board's answers are from those of its group, 0 to 1.", func(d Drift) float64 { return d.Distance }},
		{"mien_hub_board_drift_bound", "How far they may be by chance.", func(d Drift) float64 { return d.Bound }},
	} {
		x.Family("gauge", m.name, m.help)
		for _, b := range boards {
			for _, d := range b.Drift {
				x.Sample(m.name, m.of(d), "site", b.Site, "board", b.Board, "head", d.Head)
			}
		}
	}
	for _, m := range []struct {
		name, help string
		of         func(Usage) float64
	}{
		{"mien_hub_store_messages", "Messages that a stream or store keeps.", func(u Usage) float64 { return float64(u.Messages) }},
		{"mien_hub_store_bytes", "Bytes that it takes.", func(u Usage) float64 { return float64(u.Bytes) }},
		{"mien_hub_store_bound_bytes", "Bytes at which its oldest goes.", func(u Usage) float64 { return float64(u.Bound) }},
		{"mien_hub_store_bound_seconds", "Age at which what it keeps goes, 0 for none.", func(u Usage) float64 { return u.Age.Seconds() }},
	} {
		x.Family("gauge", m.name, m.help)
		for _, u := range stores {
			x.Sample(m.name, m.of(u), "store", u.Name)
		}
	}
}

// exposeRollouts writes the metrics of roll-outs.
func exposeRollouts(x *exposition.Text, all []ShortRollout) {
	const running, boards = "mien_hub_rollout_running", "mien_hub_rollout_boards"
	x.Family("gauge", running, "1 while a roll-out is under way, or being taken back.")
	for _, r := range all {
		x.Sample(running, exposition.One(!r.State.Ended()), "rollout", r.Name)
	}
	x.Family("gauge", boards, "Boards that were offered a roll-out, by what has become of it.")
	for _, r := range all {
		for _, o := range outcomes {
			x.Sample(boards, float64(*o.boards(&r.Progress)), "rollout", r.Name, "outcome", o.name)
		}
	}
}
