package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	ossignal "os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"mien/device"
	"mien/device/config"
	"mien/device/pins"
	"mien/device/signal"
	"mien/runtime/infer"
)

// watch tells systemd how things are, and feeds its watchdog and the
// hardware's while the last stage works and none hangs. A camera that is away
// is not a reason to starve them: the supervisor goes on trying. What hangs
// for good ends the program, and starts it again.
func (a *app) watch(ctx context.Context, end context.CancelCauseFunc) {
	a.notify(daemon.SdNotifyReady)
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		a.log.Warn("systemd watchdog", "error", err)
	}
	step := 5 * time.Second
	if limit > 0 {
		step = min(step, limit/4)
	}
	hard := a.openWatchdog()
	defer closeWatchdog(hard)
	var last device.Liveness
	status, reading, hungry := "", "", 0
	for every(ctx, step) {
		h := a.health()
		if s := "STATUS=" + h.Reason; s != status {
			status = s
			a.notify(s)
		}
		if r := fmt.Sprintf("X_READING=%d", bit(h.Ready)); r != reading { // for the appliance's first process
			reading = r
			a.notify(r)
		}
		now := a.sup.Liveness()
		if now.Stuck == "" {
			hungry = 0
		} else if hungry++; hungry == 1 {
			a.log.Error("a stage hangs; the watchdogs are not fed", "stage", now.Stuck)
		} else if now.Stuck == "outputs" {
			end(fmt.Errorf("%s: %w", now.Stuck, device.ErrHung))
		}
		if now.Stuck != "" || now.Outputs == last.Outputs {
			continue
		}
		a.proven(h.Ready && now.Readings > last.Readings)
		last = now
		a.notify(daemon.SdNotifyWatchdog)
		if hard != nil {
			if _, err := hard.Write([]byte{0}); err != nil {
				a.log.Error("hardware watchdog", "error", err)
			}
		}
	}
	if !errors.Is(context.Cause(ctx), errAgain) {
		a.notify(daemon.SdNotifyStopping)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// notify is quiet about a missing systemd: most development is without one.
func (a *app) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		a.log.Warn("systemd", "error", err)
	}
}

func (a *app) openWatchdog() *os.File {
	if a.now.Load().Health.Watchdog == "none" {
		return nil
	}
	f, err := os.OpenFile(a.now.Load().Health.Watchdog, os.O_WRONLY, 0)
	if err != nil {
		a.log.Error("hardware watchdog (add the user to its group, or set health.watchdog: none)", "error", err)
		return nil
	}
	return f
}

// closeWatchdog disarms it with the kernel's magic character
// (Documentation/watchdog/watchdog-api.rst), for this end is meant.
func closeWatchdog(f *os.File) {
	if f != nil {
		_, _ = f.Write([]byte("V"))
		_ = f.Close()
	}
}

// asks watches the consent line, where there is one.
func (a *app) asks(ctx context.Context) {
	name, ok := a.now.Load().ConsentPin()
	if !ok {
		return
	}
	chips := pins.Chips{Chip: a.now.Load().Signals.Chip, Board: a.board.Header}
	for ctx.Err() == nil {
		in, err := chips.Input(name)
		if err != nil {
			a.log.Error("consent line: blind until it can be read", "error", err)
			every(ctx, 5*time.Second)
			continue
		}
		if !in.Pulled {
			a.log.Warn("consent line: this kernel cannot pull it down; wire a resistor, or an open wire may read as consent", "line", name)
		}
		a.follow(ctx, in)
		_ = in.Close()
	}
}

// follow passes the level of the consent line on. Two equal looks in a row
// count, 50 ms apart: a switch bounces.
func (a *app) follow(ctx context.Context, in interface{ Read() (int, error) }) {
	before, given := -1, false
	for every(ctx, 50*time.Millisecond) {
		level, err := in.Read()
		if err != nil {
			a.log.Error("consent line: blind", "error", err)
			a.sup.Consent(false)
			return
		}
		if level == before && (level == 1) != given {
			given = level == 1
			a.log.Info("consent", "given", given, "by", "gpio")
			a.sup.Consent(given)
		}
		before = level
	}
}

// reloads takes a changed configuration over on SIGHUP.
func (a *app) reloads(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	ossignal.Notify(hup, syscall.SIGHUP)
	defer ossignal.Stop(hup)
	again := time.NewTicker(modelRetry)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			a.lookForModel()
			continue
		case <-hup:
		}
		if a.path == "" {
			continue
		}
		f, err := loadFile(a.path)
		if err == nil {
			err = a.reload(f.Config)
		}
		if err != nil {
			a.log.ErrorContext(answer(ctx), "the changed configuration is refused, the one before stays", "error", err)
		}
	}
}

// modelRetry is how often a model that could not be opened is looked for.
const modelRetry = 10 * time.Second

// lookForModel opens the model that was not there at start, if it is now.
func (a *app) lookForModel() {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	none := a.cannot()
	if none.State != signal.NoModel {
		return
	}
	cfg := *a.now.Load()
	m, name, err := openModelOn(cfg.Model, a.board)
	if err != nil {
		return // the state says so
	}
	put := func(m infer.Model, name string, why device.State) (before infer.Model) {
		a.modelMu.Lock()
		defer a.modelMu.Unlock()
		before, a.model, a.modelName, a.unable = a.model, m, name, why
		return before
	}
	before := put(m, name, device.State{})
	if err := a.takeOver(&cfg, map[config.Reload]bool{config.Heads: true}); err != nil {
		put(before, "none", none)
		a.log.Error("the model opens, but the configuration does not fit it", "model", name, "error", errors.Join(err, m.Close()))
		return
	}
	a.log.Info("the model is there", "model", name)
}

// reload takes a changed configuration over, as far as that goes while frames
// flow. What the change does not touch stays as it is: tracks, lines,
// connections. Keys that need a restart keep their value, and the log names
// them.
func (a *app) reload(cfg config.Config) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	named(&cfg, a.board, a.root)
	was := a.now.Load()
	if a.cannot().State != signal.NoModel {
		heads, err := fitting(&cfg, a.engine().Spec())
		if err != nil {
			return err
		}
		cfg.Heads = namesOf(heads)
	}
	var taken, later []config.Key
	how := map[config.Reload]bool{}
	for _, k := range config.Changed(was, &cfg) {
		if k.Reload == config.Restart {
			k.Of(&cfg).Set(k.Of(was))
			later = append(later, k)
			continue
		}
		taken = append(taken, k)
		how[k.Reload] = true
	}
	if len(later) > 0 {
		a.log.WarnContext(answer(context.Background()), "these keys take effect after a restart (systemctl restart miend)", "keys", config.Names(later))
	}
	if len(taken) == 0 {
		a.log.Info("nothing has changed that can be taken over now")
		return nil
	}
	if err := a.takeOver(&cfg, how); err != nil {
		return err
	}
	a.log.Info("configuration taken over", "keys", config.Names(taken), "enabled", audit(&cfg))
	return nil
}

// takeOver makes cfg the present configuration, everywhere.
func (a *app) takeOver(cfg *config.Config, how map[config.Reload]bool) error {
	if err := a.replace(cfg, how); err != nil {
		return err
	}
	if err := a.settle(cfg); err != nil {
		return err
	}
	a.sup.Unable(a.cannot())
	if a.page != nil {
		a.page.SetPreview(cfg.Status.Preview)
		if how[config.Heads] {
			a.page.Tell(a.statusOptions(cfg).Info)
		}
	}
	if b := a.broker.Load(); b != nil {
		if err := b.Describe(*a.heads.Load(), cfg.PublishOptions(*a.heads.Load()).Lines); err != nil {
			a.log.Warn("mqtt", "error", err)
		}
	}
	return nil
}

// replace makes anew what has changed, all of it or nothing.
func (a *app) replace(cfg *config.Config, how map[config.Reload]bool) error {
	reading, lines := how[config.Reading] || how[config.Heads], how[config.Lines] || how[config.Heads]
	if !reading && !lines {
		return nil
	}
	return a.sup.Replace(func(p *device.Pipeline) (_ *device.Pipeline, err error) {
		if reading {
			if p, err = a.pipeline(cfg, p.Last()); err != nil {
				return nil, err
			}
		}
		if lines {
			m, err := a.machine(cfg)
			if err != nil {
				return nil, err
			}
			return p, a.out.Replace(m)
		}
		return p, nil
	})
}
