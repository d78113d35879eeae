package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"mien/device"
	"mien/device/config"
	"mien/device/fleet"
	"mien/device/signal"
)

// fleetOptions are those of the hub, with what may be asked from afar.
func (a *app) fleetOptions(cfg *config.Config) fleet.Options {
	o := cfg.FleetOptions()
	o.Version, o.Board, o.Health = version, a.board.Title, a.health
	o.Forget = a.health().Consent == "awaited"
	o.Report = func(err error) {
		a.hubAway.Store(err.Error())
		a.log.Warn("fleet", "error", err)
	}
	o.Audit = func(x fleet.Audit) {
		a.log.Info("audit", "command", x.Command, "by", x.By, "done", x.Done, "outcome", brief(x.Outcome))
	}
	all := map[string]fleet.Do{fleet.Identify: a.identify, fleet.Doctor: a.examine, fleet.Restart: a.restart, fleet.Set: a.set}
	o.Commands = map[string]fleet.Do{}
	for _, name := range cfg.Fleet.Commands {
		o.Commands[name] = all[name]
	}
	o.Updates, o.Restart = a.updaters(cfg), a.settings.Restart
	return o
}

// brief is the first line of a text.
func brief(s string) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		line += " ..."
	}
	return line
}

// identified is how long a board shows which it is, and how often it blinks in that
// time.
const (
	identified = 5 * time.Second
	blinks     = 10
)

// identify beeps, and has the board's own LED blink, as far as there are such and
// the service may.
func (a *app) identify(ctx context.Context, _ map[string]string) (string, error) {
	leds, err := boardLEDs(ledsDir)
	if err != nil {
		return "", err
	}
	var showed []string
	for _, l := range leds {
		showed = append(showed, "LED "+l.name())
		defer l.rest()
	}
	if b := a.now.Load().Buzzer; b.Pin != "" && slices.Contains(b.On, string(device.Begin)) {
		showed = append(showed, "the buzzer")
	}
	if len(showed) == 0 {
		return "", errors.New("nothing here can show it: no buzzer that beeps at begin is configured, and the service may write no LED below /sys/class/leds")
	}
	for i := range blinks {
		if i%2 == 0 {
			for _, o := range a.parts.watch {
				o.Track(&device.Track{Kind: device.Begin, Time: time.Now()})
			}
		}
		for _, l := range leds {
			_ = l.light(i%2 == 1) // it could be written before
		}
		if !every(ctx, identified/blinks) {
			break
		}
	}
	return "showed itself: " + strings.Join(showed, ", "), nil
}

// mostSaid bounds the answer of doctor, in bytes.
const mostSaid = 64 << 10

// examine runs miend doctor beside this program, as somebody at the board would.
func (a *app) examine(ctx context.Context, _ map[string]string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	args := []string{"doctor"}
	if a.path != "" {
		args = append(args, "--config", a.path)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	said := string(out.Bytes()[:min(out.Len(), mostSaid)])
	if err != nil && said == "" {
		return "", err
	}
	return said, nil // what has to be mended is what was asked for
}

// restart makes the pipeline anew: finder, tracker, heads. Lines, page and
// connections stay.
func (a *app) restart(context.Context, map[string]string) (string, error) {
	if why := a.cannot(); why.State == signal.NoModel {
		return "", errors.New(why.Reason)
	}
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if err := a.replace(a.now.Load(), map[config.Reload]bool{config.Reading: true}); err != nil {
		return "", err
	}
	return "the pipeline is new", nil
}

// set has the configuration file hold other values of keys that it lets be set, as
// the page does: its comments stay, the page can take the change back, and a secret
// kept elsewhere is not to be had by it.
func (a *app) set(_ context.Context, values map[string]string) (string, error) {
	if len(values) == 0 {
		return "", errors.New("set takes KEY=VALUE")
	}
	if a.path == "" {
		return "", errors.New("this run has no configuration file")
	}
	names := slices.Sorted(maps.Keys(values))
	for _, name := range names {
		if !slices.Contains(a.now.Load().Fleet.Settable, name) {
			return "", fmt.Errorf("%.60q may not be set from afar (fleet.settable)", name)
		}
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	data, err := a.settings.read()
	if err != nil {
		return "", err
	}
	v, err := a.settings.change(data, values, true)
	if err != nil {
		return "", err
	}
	if !v.Taken {
		var all []error
		for _, p := range v.Problems {
			all = append(all, errors.New(strings.TrimPrefix(p.Key+": "+p.Text, ": ")))
		}
		return "", errors.Join(all...)
	}
	outcome := fmt.Sprintf("set %s in %s", strings.Join(names, ", "), a.path)
	if len(v.Pending) > 0 {
		outcome += "; of the file there wait for a restart: " + strings.Join(v.Pending, ", ")
	}
	return outcome, nil
}
