package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mien/boards"
	"mien/camera"
	"mien/device"
	"mien/device/announce"
	"mien/device/appliance"
	"mien/device/config"
	"mien/device/fleet"
	"mien/device/history"
	"mien/device/hook"
	"mien/device/pins"
	"mien/device/publish"
	"mien/device/signal"
	"mien/device/status"
	"mien/device/update"
	"mien/device/vitals"
	"mien/runtime/face"
	"mien/runtime/infer"
	"mien/runtime/model"
)

// app is the firmware, wired by hand.
type app struct {
	path  string                        // of the configuration, for reloads; may be empty
	now   atomic.Pointer[config.Config] // as taken over last, heads that the model lacks left out
	began atomic.Pointer[config.Config] // as the file said when this run began
	setup string                        // where the page waits to be set up, if it does
	sim   bool                          // there are no pins here but simulated ones
	end   atomic.Pointer[context.CancelCauseFunc]
	// reloading is held while another configuration is taken over, changing
	// while the page changes the file.
	reloading, changing sync.Mutex
	settings            *configurator
	heads               atomic.Pointer[[]model.Head] // the enabled ones
	board               boards.Board
	log                 *slog.Logger
	root                fs.FS // the machine's files: its device tree, its vitals

	modelMu   sync.Mutex
	model     infer.Model // see engine
	modelName string
	unable    device.State // why nothing can be read, if so
	header    device.Header
	out       *device.Outputs
	sup       *device.Supervisor
	to        device.Observers
	page      *status.Server
	broker    atomic.Pointer[publish.Publisher] // nil while it is out of order
	away      atomic.Value                      // what the broker's side said last, as a string
	fleet     atomic.Pointer[fleet.Board]       // nil while it is out of order
	hubAway   atomic.Value                      // what the hub's side said last, as a string
	parts     parts
	past      *history.Log // what is counted, nil when nothing is
	look      func(*camera.Frame, *device.Reading)
	celsius   atomic.Uint64 // of the last look, in thousandths

	store update.Store // of the models that were installed
	slot  *update.Slot // the model that runs, until it has proven itself; nil after, and for one inside miend
	good  int          // looks in a row at which all was well
}

// appOptions are what commands differ in.
type appOptions struct {
	path string                                       // of the configuration
	file *config.Config                               // what that says, before flags change it; nil: as given
	set  string                                       // where the page waits to be set up
	open func(context.Context) (camera.Source, error) // nil: the configured camera
	once bool                                         // a recording ends the run
	to   device.Observer                              // told everything, beside the configured ones
	sim  *pins.Sim                                    // use this header
	look func(*camera.Frame, *device.Reading)
	root fs.FS // nil: this machine's files
}

// newApp builds everything short of starting it. What it has opened when it
// fails is closed again.
func newApp(cfg config.Config, log *slog.Logger, o appOptions) (_ *app, err error) {
	a := &app{path: o.path, log: log, look: o.look, root: o.root}
	if a.root == nil {
		a.root = os.DirFS("/")
	}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if a.board, _, err = boards.Detect(a.root); err != nil {
		log.Warn("board not recognised", "error", err)
	}
	a.settings = &configurator{a: a}
	began := cfg
	if o.file != nil {
		began = *o.file
	}
	a.began.Store(&began)
	if began.Untouched() {
		a.setup = o.set
	}
	a.sim = o.sim != nil || cfg.Signals.Pins == "simulated" || !pins.Any()
	named(&cfg, a.board, a.root)
	if err := a.startModel(cfg.Model, o.path != ""); err != nil {
		if o.once {
			return nil, err
		}
		a.withoutModel(err)
	}
	if err = a.settle(&cfg); err != nil {
		return nil, err
	}
	a.header = chooseHeader(&cfg, a.board, o.sim)
	if o.to != nil {
		a.to = append(a.to, o.to)
	}
	a.remember(&cfg)
	if err := a.network(&cfg); err != nil {
		return nil, err
	}
	a.tell(&cfg)
	a.parts.addDisplays(&cfg, cfg.LeadOf(*a.heads.Load()), a.header, a.watched, log)
	a.to = append(a.to, a.parts.watch...)
	if a.past != nil {
		a.to = append(a.to, a.past)
	}
	machine, err := a.machine(&cfg)
	if err != nil {
		return nil, err
	}
	if a.out, err = device.NewOutputs(machine, a.header, a.to.Transition); err != nil {
		return nil, err
	}
	a.out.Watch(func(s device.State) {
		if s.State == signal.WireFault {
			log.Error("a line does not follow; it is tried again and again", "error", s.Reason)
		}
		a.to.State(s)
	})
	p, err := a.pipeline(&cfg, 0)
	if err != nil {
		return nil, err
	}
	open, once := o.open, o.once
	if open == nil {
		if open, err = cameraOf(&cfg, a.board); err != nil {
			return nil, err
		}
		once = once || ends(&cfg)
	}
	a.sup = device.NewSupervisor(open, p, a.out, device.SupervisorOptions{
		Silence: cfg.Camera.Silence, MaxRate: cfg.Camera.MaxRate, Once: once, NeedConsent: cfg.Consent != "none",
		Unable: a.cannot().State, UnableWhy: a.cannot().Reason, Renew: a.renew,
		Note: func(s string) { log.Warn("camera lost", "why", s) },
		Hung: func(s string) { log.Error("a stage hangs", "what", s) }})
	return a, nil
}

// engine returns the model in use.
func (a *app) engine() infer.Model {
	a.modelMu.Lock()
	defer a.modelMu.Unlock()
	return a.model
}

// renew opens the model anew, for the one in use hangs. That one is left
// behind: nothing can be closed that is at work.
func (a *app) renew() (*device.Pipeline, error) {
	m, name, err := openModelOn(a.now.Load().Model, a.board)
	if err != nil {
		return nil, err
	}
	a.modelMu.Lock()
	a.model, a.modelName = m, name
	a.modelMu.Unlock()
	return a.pipeline(a.now.Load(), 0)
}

// noModel stands where no model could be opened: everything but reading goes
// on, and says so.
type noModel struct{ spec model.Spec }

func (n noModel) Predict(*image.Gray, *model.Scores) error { return errors.New("there is no model") }
func (n noModel) Spec() *model.Spec                        { return &n.spec }
func (noModel) Engine() string                             { return "none" }
func (noModel) Close() error                               { return nil }

func (a *app) withoutModel(why error) {
	a.log.Error("nothing can be read; the rest goes on", "error", why)
	a.model, a.modelName = noModel{model.Spec{Heads: model.Heads()}}, "none"
	a.unable = device.State{State: signal.NoModel, Reason: why.Error()}
}

// cannot says why nothing can be read, if so.
func (a *app) cannot() device.State {
	a.modelMu.Lock()
	defer a.modelMu.Unlock()
	return a.unable
}

// settle makes cfg the present configuration, with its heads by name. Without
// a model, or without a head that it has, nothing is read; it fails when the
// rest of cfg does not fit the model.
func (a *app) settle(cfg *config.Config) error {
	spec, why := a.engine().Spec(), a.cannot()
	heads := spec.Heads
	if _, _, err := device.EnabledHeads(spec, cfg.Heads); err != nil && why.State != signal.NoModel {
		a.log.Error("nothing can be read; the rest goes on", "error", err)
		why = device.State{State: signal.NoHead, Reason: err.Error()}
	} else if why.State != signal.NoModel {
		if heads, err = fitting(cfg, spec); err != nil {
			return err
		}
		cfg.Heads, why = namesOf(heads), device.State{}
	}
	a.modelMu.Lock()
	a.unable = why
	a.modelMu.Unlock()
	a.heads.Store(&heads)
	a.now.Store(cfg)
	return nil
}

// fitting returns the heads that a configuration enables of a model, when all
// that it says of them is so.
func fitting(cfg *config.Config, spec *model.Spec) ([]model.Head, error) {
	heads, _, err := device.EnabledHeads(spec, cfg.Heads)
	if err != nil {
		return nil, err
	}
	return heads, errors.Join(cfg.Fit(heads, func(key, format string, args ...any) error {
		return fmt.Errorf("config: "+key+": "+format, args...)
	})...)
}

func namesOf(heads []model.Head) []string {
	names := make([]string, len(heads))
	for i, h := range heads {
		names[i] = h.Name
	}
	return names
}

// chooseHeader returns the real pins or simulated ones.
func chooseHeader(cfg *config.Config, b boards.Board, sim *pins.Sim) device.Header {
	switch {
	case sim != nil:
		return sim
	case cfg.Signals.Pins == "simulated", cfg.Signals.Pins == "auto" && len(cfg.Signals.Lines) == 0 && cfg.Buzzer.Pin == "":
		return &pins.Sim{Names: simulated(b)}
	}
	return pins.Chips{Chip: cfg.Signals.Chip, Board: b.Header}
}

// simulated are the names of a header in memory: those of the board's own, and
// where it has the layout of the Raspberry Pi's, or none, all that a Raspberry
// Pi has.
func simulated(b boards.Board) (names []string) {
	for _, p := range b.Header {
		names = append(names, p.Name())
	}
	if b.Layout == boards.Coral {
		return names
	}
	for i := range 28 {
		names = append(names, fmt.Sprintf("GPIO%d", i))
	}
	for i := range 40 {
		names = append(names, fmt.Sprintf("header %d", i+1))
	}
	return names
}

// named gives the device its name where the configuration does not, and puts
// the kernel's names in the place of those by which a configuration may call
// the pins of the board's header, so that a pin has one name everywhere.
func named(cfg *config.Config, b boards.Board, root fs.FS) {
	cfg.Name = cfg.NameOn(line(root, "proc/sys/kernel/hostname"), line(root, "etc/machine-id"))
	lines := map[string]config.Line{}
	for name, l := range cfg.Signals.Lines {
		l.Pin = b.PinName(l.Pin)
		lines[name] = l
	}
	cfg.Signals.Lines = lines
	cfg.Buzzer.Pin = b.PinName(cfg.Buzzer.Pin)
	if pin, ok := cfg.ConsentPin(); ok {
		cfg.Consent = "gpio " + b.PinName(pin)
	}
}

// line returns what a small file says, empty when there is none.
func line(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// machine is the contract's. Where nothing can be read it has every line that
// is wired, so that each rests at its safe level.
func (a *app) machine(cfg *config.Config) (*signal.Machine, error) {
	spec := a.engine().Spec()
	if _, _, err := device.EnabledHeads(spec, cfg.Heads); err != nil || a.cannot().State == signal.NoModel {
		return signal.New(spec.Heads, cfg.SignalOptions(spec.Heads))
	}
	heads, err := fitting(cfg, spec)
	if err != nil {
		return nil, err
	}
	return signal.New(heads, cfg.SignalOptions(heads))
}

// pipeline is nil where nothing can be read.
func (a *app) pipeline(cfg *config.Config, after uint64) (*device.Pipeline, error) {
	if _, _, err := device.EnabledHeads(a.engine().Spec(), cfg.Heads); err != nil || a.cannot().State == signal.NoModel {
		return nil, nil
	}
	faces := cfg.FaceOptions()
	faces.Live = true
	finder, err := face.NewDetector(faces)
	if err != nil {
		return nil, err
	}
	o := device.PipelineOptions{Heads: cfg.Heads, Track: cfg.TrackOptions(), After: after, Look: a.look}
	if page := a.page; page != nil {
		look := a.look
		o.Look = func(f *camera.Frame, r *device.Reading) {
			page.Frame(&f.Gray)
			if look != nil {
				look(f, r)
			}
		}
	}
	return device.NewPipeline(finder, a.engine(), a.out, a.to, o)
}

// network adds the page and the broker to the parts.
func (a *app) network(cfg *config.Config) (err error) {
	if cfg.Status.Listen != "none" || a.setup != "" {
		if a.page, err = status.New(a.statusOptions(cfg)); err != nil {
			return err
		}
		a.to = append(a.to, a.page)
		a.parts.add("page", a.log, a.openPage)
		a.announce(cfg)
	}
	if !cfg.MQTT.Broker.IsZero() {
		news := &late{}
		a.to = append(a.to, news)
		a.parts.add("mqtt", a.log, func() (running, error) {
			b, err := publish.New(a.publishOptions(a.now.Load())) // heads and lines may have changed since the start
			if err != nil {
				return nil, err
			}
			a.broker.Store(b)
			news.set(b)
			return func(ctx context.Context) error {
				defer a.broker.Store(nil)
				return b.Run(ctx)
			}, nil
		})
	}
	if len(cfg.Fleet.Servers) > 0 {
		news := &late{}
		a.to = append(a.to, news)
		a.parts.add("fleet", a.log, func() (running, error) {
			b, err := fleet.New(a.fleetOptions(a.now.Load()))
			if err != nil {
				return nil, err
			}
			a.fleet.Store(b)
			news.set(b)
			return func(ctx context.Context) error {
				defer a.fleet.Store(nil)
				return b.Run(ctx)
			}, nil
		})
	}
	return nil
}

// tell adds who is told of events by a post, or by a program that is run.
func (a *app) tell(cfg *config.Config) {
	add := func(name string, events []string, atOnce int, teller func() (hook.Teller, error)) {
		news := &late{}
		a.to = append(a.to, news)
		var x *part
		x = a.parts.add(name, a.log, func() (running, error) {
			to, err := teller()
			if err != nil {
				return nil, err
			}
			h := hook.New(hook.Options{Device: cfg.Name, Events: events, To: to, AtOnce: atOnce, Note: func(err error) { x.note(err) }})
			news.set(h)
			return h.Run, nil
		})
	}
	if w := cfg.Webhook; !w.URL.IsZero() {
		add("webhook", w.Events, 1, func() (hook.Teller, error) { return hook.NewWebhook(w.URL.Reveal(), w.Key.Reveal(), w.CA) })
	}
	if c := cfg.Hook; len(c.Command) > 0 {
		add("hook", c.Events, c.AtOnce, func() (hook.Teller, error) { return hook.NewCommand(c.Command) })
	}
}

// remember begins to count, where that is asked for, and else removes what was
// counted before. A device that has no configuration of its own leaves both.
func (a *app) remember(cfg *config.Config) {
	if a.path == "" {
		return
	}
	if cfg.History.Days == 0 {
		if err := history.Remove(cfg.History.File); err != nil {
			a.log.Warn("what was counted cannot be removed", "error", err)
		}
		return
	}
	past, err := history.Open(cfg.History.File, cfg.History.Days, func() string { return a.now.Load().LeadOf(*a.heads.Load()).Name })
	if err != nil {
		a.log.Warn("history", "error", err)
	}
	a.past = past
	a.parts.add("history", a.log, func() (running, error) { return past.Run, nil })
}

// announce gives the page its name in the network, where that reaches it.
func (a *app) announce(cfg *config.Config) {
	o := a.statusOptions(cfg)
	port, ok := announce.PortOf(o.Addr)
	if !ok || cfg.Status.MDNS == "none" {
		return
	}
	a.parts.add("mdns", a.log, func() (running, error) {
		return func(ctx context.Context) error {
			return announce.Run(ctx, announce.Options{Host: cfg.Status.MDNS, Name: cfg.Name, Port: port})
		}, nil
	})
}

func (a *app) openPage() (running, error) {
	l, err := a.page.Listen()
	if err != nil {
		return nil, err
	}
	a.log.InfoContext(relief(context.Background()), "page", "address", "http://"+l.Addr().String())
	return func(ctx context.Context) error { return a.page.Serve(ctx, l) }, nil
}

func (a *app) statusOptions(cfg *config.Config) status.Options {
	info := status.Info{Name: cfg.Name, Version: version, Lead: cfg.LeadOf(*a.heads.Load()).Name, Board: a.board.Title, Header: status.HeaderOf(a.board)}
	for _, h := range a.engine().Spec().Heads {
		info.Heads = append(info.Heads, status.Head{Name: h.Name, Labels: h.Labels, Unit: h.Unit, Enabled: slices.Contains(cfg.Heads, h.Name)})
	}
	o := cfg.StatusOptions()
	if a.path != "" {
		o.Settings, o.Claim = a.settings, a.claim(cfg)
	}
	if appliance.Below.Here() {
		o.System, info.System = belowUs{appliance.Below}, appliance.Note
	}
	if a.setup != "" && o.Token == "" {
		o.Addr, o.Setup = a.setup, true
	}
	if host := line(a.root, "proc/sys/kernel/hostname"); host != "" {
		o.Hosts = append(slices.Clone(o.Hosts), host+".local") // as avahi announces it
	}
	if cfg.Status.MDNS != "none" {
		o.Hosts = append(slices.Clone(o.Hosts), announce.Names(cfg.Status.MDNS)...)
	}
	if a.past != nil {
		info.History, o.History = cfg.History.Days, a.past.Hours
	}
	o.Info, o.Health, o.Lines = info, a.health, func() []signal.Line { return a.out.Lines() }
	if cfg.Consent == "http" {
		o.Consent = func(given bool) {
			a.log.Info("consent", "given", given, "by", "http")
			a.sup.Consent(given)
		}
	}
	if !cfg.MQTT.Broker.IsZero() {
		o.Outbox = func() status.Outbox {
			broker := a.broker.Load()
			if broker == nil {
				return status.Outbox{}
			}
			b := broker.Stats()
			return status.Outbox{Connected: b.Connected, Queued: b.Queued, Sent: b.Sent, Lost: b.Lost}
		}
	}
	if len(cfg.Fleet.Servers) > 0 {
		o.Fleet = func() status.Outbox {
			b := a.fleet.Load()
			if b == nil {
				return status.Outbox{}
			}
			s := b.Stats()
			return status.Outbox{Connected: s.Connected, Queued: s.Queued, Sent: s.Sent, Lost: s.Lost}
		}
	}
	return o
}

// introduced are the options of MQTT as far as they say what the device is.
func introduced(cfg *config.Config, heads []model.Head, b boards.Board) publish.Options {
	o := cfg.PublishOptions(heads)
	o.Version, o.Board, o.Page = version, b.Title, pageFor(cfg.Status)
	return o
}

func (a *app) publishOptions(cfg *config.Config) publish.Options {
	o := introduced(cfg, *a.heads.Load(), a.board)
	o.Report = func(err error) {
		a.away.Store(err.Error())
		a.log.Warn("mqtt", "error", err)
	}
	o.Health = a.health
	o.Forget = a.health().Consent == "awaited"
	o.Levels = func() []signal.Line {
		if a.out == nil {
			return nil
		}
		return a.out.Lines()
	}
	return o
}

// pageFor is the page's address as other machines call it, empty when they
// cannot.
func pageFor(s config.Status) string {
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return ""
	} else if host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return ""
		}
		if len(s.Hosts) > 0 {
			host = s.Hosts[0]
		}
	}
	return "http://" + net.JoinHostPort(host, port)
}

// health is what the page, the API and the broker say about the device.
func (a *app) health() device.Health {
	if a.sup == nil || a.out == nil {
		return device.Health{State: signal.Starting, Reason: signal.Starting.Meaning().Text}
	}
	h, cfg := a.sup.Health(), a.now.Load()
	a.modelMu.Lock()
	h.Engine, h.Model = a.model.Engine(), a.modelName
	a.modelMu.Unlock()
	h.Camera, h.Heads = cfg.Camera.Source.String(), cfg.Heads
	h.Parts = a.parts.health()
	unconnected := func(part string, said *atomic.Value) {
		for i := range h.Parts {
			if p := &h.Parts[i]; p.Name == part && p.Problem == "" {
				why, _ := said.Load().(string)
				p.Problem = "no connection; " + cmp.Or(why, "trying")
			}
		}
	}
	if b := a.broker.Load(); b != nil && !b.Stats().Connected {
		unconnected("mqtt", &a.away)
	}
	if b := a.fleet.Load(); b != nil && !b.Stats().Connected {
		unconnected("fleet", &a.hubAway)
	}
	h.Preview, h.Celsius = a.watched(), float64(a.celsius.Load())/1000
	return h
}

// watched reports whether pictures can be seen on the page.
func (a *app) watched() bool {
	return a.page != nil && (a.now.Load().Status.Preview || a.page.Lent())
}

// run works until ctx ends or, for a recording, until that has ended.
func (a *app) run(ctx context.Context) error {
	a.log.Info("miend", "version", version, "board", a.board.Name, "engine", a.engine().Engine(), "model", a.modelName)
	a.log.Info("audit", "enabled", audit(a.now.Load()))
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.end.Store(&cancel)
	var services sync.WaitGroup
	// Lines and what tells of them have contexts of their own, and go last.
	telling, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTelling()
	services.Go(func() { a.parts.run(telling) })
	services.Go(func() { a.watch(inner, cancel) })
	services.Go(func() { a.vitals(inner) })
	services.Go(func() { a.asks(inner) })
	services.Go(func() { a.reloads(inner) })
	lines, stopLines := context.WithCancel(context.WithoutCancel(ctx))
	outErr := make(chan error, 1)
	go func() { outErr <- a.out.Run(lines) }()
	err := a.sup.Run(inner)
	if cause := context.Cause(inner); err == nil && (errors.Is(cause, device.ErrHung) || errors.Is(cause, errAgain)) {
		err = cause
	}
	stopLines()
	cancel(nil)
	served := make(chan error, 1)
	go func() { services.Wait(); served <- nil }()
	// Nothing that hangs keeps the program from its end.
	for _, c := range []chan error{outErr, served} {
		select {
		case e := <-c:
			err = errors.Join(err, e)
		case <-time.After(leave):
			a.log.Error("something does not end; it is left behind")
		}
		stopTelling()
	}
	return err
}

// leave is how long the end waits for the lines, which may take two seconds,
// and then for the rest.
const leave = 4 * time.Second

// vitals slows the pipeline while the board is hot or its power is low, and
// takes a changed rate over.
func (a *app) vitals(ctx context.Context) {
	rate, why := a.now.Load().Camera.MaxRate, ""
	for every(ctx, 2*time.Second) {
		cfg := a.now.Load()
		v := vitalsOf(ctx, a.root, a.board)
		a.celsius.Store(uint64(max(v.Celsius, 0) * 1000))
		r, w := pace(cfg, v)
		if w != why && w != "" {
			a.log.Warn("holding readings down", "why", w, "readings_per_second", r)
		} else if w != why {
			a.log.InfoContext(relief(ctx), "full rate again")
		}
		if r != rate || w != why {
			rate, why = r, w
			a.sup.SetRate(rate, why)
		}
	}
}

// vitalsOf looks at a machine's files. Where the kernel does not show what a
// Raspberry Pi's firmware says of its power, vcgencmd is asked, if there is
// one.
func vitalsOf(ctx context.Context, root fs.FS, b boards.Board) vitals.Vitals {
	v := vitals.Read(root, b.Thermal)
	if b.Throttle == "vcgencmd" && !v.Told && inPath("vcgencmd") {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if out, err := exec.CommandContext(ctx, "vcgencmd", "get_throttled").Output(); err == nil {
			v.Hear(string(out))
		}
	}
	return v
}

// pace returns the readings a second that a board in this state may make, 0
// for as many as there are frames, below 0 for none, and why they are held
// down.
func pace(cfg *config.Config, v vitals.Vitals) (rate float64, why string) {
	most := cfg.Camera.MaxRate
	if !cfg.Health.Throttle {
		return most, ""
	}
	switch why = v.Slow(cfg.Health.TooHot); {
	case why == "":
		return most, ""
	case cfg.Health.SlowRate == 0:
		return -1, why
	case most > 0:
		return min(most, cfg.Health.SlowRate), why
	}
	return cfg.Health.SlowRate, why
}

// close gives back what newApp opened.
func (a *app) close() error {
	a.parts.close()
	if m := a.engine(); m != nil && a.sup.Idle() {
		return m.Close()
	}
	return nil
}

// every waits, and reports whether ctx goes on.
func every(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// audit says in one line what is enabled: what is read, shown, sent, kept.
func audit(c *config.Config) string {
	parts := []string{"reads " + strings.Join(c.Heads, ", ")}
	if n := len(c.Signals.Lines); n > 0 {
		parts = append(parts, fmt.Sprintf("%d %s", n, plural(n, "line")))
	}
	if c.Status.Listen != "none" {
		words := "page on " + c.Status.Listen
		if c.Status.Token.IsZero() {
			words += " without token"
		}
		parts = append(parts, words)
	}
	if c.Status.Preview {
		parts = append(parts, "camera preview on")
	} else {
		parts = append(parts, "no preview")
	}
	if !c.MQTT.Broker.IsZero() {
		parts = append(parts, "MQTT to "+c.MQTT.Broker.String())
	}
	if f := &c.Fleet; len(f.Servers) > 0 {
		words := "fleet at " + strings.Join(f.Servers, ", ") + " is told counts, health and states"
		if f.Readings > 0 {
			words += fmt.Sprintf(", %g readings a second", f.Readings)
		}
		for _, e := range f.Events {
			words += ", each " + e
		}
		if len(f.Commands) > 0 {
			words += " and may ask for " + strings.Join(f.Commands, ", ")
		}
		for _, u := range f.Updates {
			words += ", and may update the " + u
		}
		parts = append(parts, words)
	}
	if !c.Webhook.URL.IsZero() {
		parts = append(parts, "webhook to "+hook.Host(c.Webhook.URL.Reveal())+" of each "+strings.Join(c.Webhook.Events, ", "))
	}
	if len(c.Hook.Command) > 0 {
		parts = append(parts, "runs "+c.Hook.Command[0]+" for each "+strings.Join(c.Hook.Events, ", "))
	}
	if c.History.Days > 0 {
		parts = append(parts, fmt.Sprintf("counts by the hour kept for %d %s", c.History.Days, plural(c.History.Days, "day")))
	}
	parts = append(parts, "consent "+c.Consent, "no picture stored or sent")
	return strings.Join(parts, "; ")
}
