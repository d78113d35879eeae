// Package status shows what the device sees, thinks and does: a page for
// people, an HTTP API for programs, metrics for Prometheus. It only ever
// listens; nothing that its clients do, or fail to do, holds up the pipeline.
package status

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"mien/device"
	"mien/device/history"
	"mien/device/page"
	"mien/device/signal"
)

// Options say where to listen and what to show. The zero value serves an empty
// page on loopback.
type Options struct {
	// Addr is host:port, or :port for every network; "127.0.0.1:8080" if
	// empty. A name or an address that is not loopback needs a Token.
	Addr string
	// Token is what clients have to show, as "Authorization: Bearer TOKEN" or
	// typed into the page. At least 16 characters. If set it is asked for on
	// loopback too.
	Token string
	// Hosts are further names by which clients may call the device, beside its
	// addresses and localhost: a page of another site can point a name of its
	// own at this device, and that name is refused.
	Hosts []string
	// Proxies are the addresses and networks of reverse proxies whose word
	// about their clients is believed, for limits and sessions. What comes
	// through any proxy needs the token.
	Proxies []string
	Info    Info
	// Health, Lines, Outbox and Fleet are asked once a second, and Health on each
	// /healthz. Nil leaves its part of the page empty.
	Health func() device.Health
	Lines  func() []signal.Line
	Outbox func() Outbox
	Fleet  func() Outbox
	// Rate is how many readings a second are sent to watchers (10).
	Rate float64
	// MaxStreams is how many may watch at once (128), MaxConns how many
	// connections are held at all (MaxStreams + 64).
	MaxStreams, MaxConns int
	// Requests a second that one address may make (20, in bursts of 60).
	Requests float64
	// Preview allows the camera's picture, handed over with Frame, to be
	// looked at, until SetPreview says otherwise. The page says so whether or
	// not anyone looks.
	Preview bool
	// Consent is called with the answer when somebody gives or withdraws
	// consent on the page; nil if the device is not set to ask.
	Consent func(given bool)
	// History returns what was counted; nil where nothing is.
	History func() []history.Hour
	// Settings is the configuration, to be changed by whoever has shown the
	// token; nil if the page does not change it.
	Settings Settings
	// Claim is how the device gets its first token; nil where it has one, or
	// where it is meant to have none.
	Claim *Claim
	// System is what lies below the program where that is this project's own, the
	// card image; nil elsewhere.
	System System
	// Setup says that without a token nothing is shown but the way to give one.
	// Then the address may be one that other machines reach.
	Setup bool
}

func (o Options) defaults() Options {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:8080"
	}
	if o.Rate == 0 {
		o.Rate = 10
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 128
	}
	if o.MaxConns == 0 {
		o.MaxConns = o.MaxStreams + 64
	}
	if o.Requests == 0 {
		o.Requests = 20
	}
	return o
}

// Check says what is wrong with the options, as New does.
func (o Options) Check() error {
	_, err := o.defaults().guard()
	return err
}

// guard is who decides who may ask.
func (o Options) guard() (*page.Guard, error) {
	if o.Rate < 0 || o.Requests < 0 || o.MaxStreams < 0 || o.MaxConns < 0 {
		return nil, errors.New("status: rates and limits cannot be below zero")
	}
	return page.New(page.Options{Addr: o.Addr, Token: o.Token, Hosts: o.Hosts, Proxies: o.Proxies, Requests: o.Requests, MaxConns: o.MaxConns, Setup: o.Setup,
		Words: page.Words{It: "device", Token: "status.token on the device", Hosts: "the status page's hosts", Cookie: "mien-session"}})
}

// Server serves the page and the API. It is a device.Observer: its methods
// return at once, whatever its clients do.
type Server struct {
	o       Options
	hub     *hub
	auth    *page.Guard
	preview preview
	run     string     // a word of this start alone
	claims  sync.Mutex // keeps two who come at once apart
	handler http.Handler
}

// New checks the options and prepares everything short of listening.
func New(o Options) (*Server, error) {
	o = o.defaults()
	auth, err := o.guard()
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, hub: newHub(&o), auth: auth, run: rand.Text()}
	s.hub.preview, s.hub.expire = func() bool { return s.preview.shown(time.Now()) }, s.preview.expire
	s.SetPreview(o.Preview)
	s.handler = auth.Handler(s.table())
	return s, nil
}

// Handler is everything the server serves, checks of host and token included.
// What it shows moves only while Serve runs.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen opens the address of the options. It fails at once when the address
// is taken, so that the program can say so before anything else starts.
func (s *Server) Listen() (net.Listener, error) { return s.auth.Listen() }

// Serve answers on l until ctx ends, then closes it and every connection. It
// returns nil after that, and an error when l fails by itself.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { s.hub.run(ctx) })
	err := page.Serve(ctx, l, s.handler)
	cancel()
	running.Wait()
	return err
}

// Tell replaces Options.Info: what stays the same has changed after all. Who
// watches is told.
func (s *Server) Tell(info Info) { s.hub.send(s.hub.encode("info", &info)) }

// Reading implements device.Observer. Of many in a row watchers see Rate a
// second; it allocates nothing in steady use.
func (s *Server) Reading(r *device.Reading) { s.hub.take(r) }

// Track implements device.Observer.
func (s *Server) Track(t *device.Track) { s.hub.event("track", t.Clone()) }

// Transition implements device.Observer.
func (s *Server) Transition(t signal.Transition) { s.hub.event("transition", &t) }

// State implements device.StateObserver. Without consent nothing that was
// seen is kept: no picture, no answer, neither for those who watch nor for
// those who come later.
func (s *Server) State(st device.State) {
	blind := st.State == signal.NoConsent
	s.preview.blind.Store(blind)
	if blind {
		s.preview.wipe()
		s.hub.wipe()
	}
	s.hub.event("state", &st)
}
