package main

import (
	"fmt"
	"image"
	"log/slog"

	"mien/device/config"
	"mien/device/fleet"
	"mien/device/update"
	"mien/runtime/model"
	"mien/runtime/zoo"
)

// Where updates live, and the public keys whose models are trusted.
const (
	modelsDir = "/var/lib/mien/models"
	keysDir   = "/etc/mien/keys"
)

type updateCmd struct {
	Model    string `arg:"" optional:"" help:"The .tflite file; its signature is beside it, as FILE.minisig."`
	Rollback bool   `help:"Go back to the model before."`
	Store    string `default:"/var/lib/mien/models" placeholder:"DIR" help:"Where the two slots are (${default})."`
	Keys     string `default:"/etc/mien/keys" placeholder:"DIR" help:"Where the trusted public keys are (${default})."`
}

// Run installs a model for the next start, on trial.
func (c updateCmd) Run(e env) error {
	keys, bad := update.Keys(c.Keys)
	for _, err := range bad {
		fmt.Fprintln(e.stderr, "miend:", err)
	}
	store := update.Store{Dir: c.Store, Keys: keys}
	if c.Rollback && c.Model != "" {
		return fmt.Errorf("either --rollback or a model to install, not both")
	}
	if c.Rollback {
		st, err := store.State()
		if err != nil {
			return err
		}
		if st.Current == nil {
			return fmt.Errorf("%s holds no installed model: there is nothing to go back from, the one inside miend runs", c.Store)
		}
		if err := store.Rollback(); err != nil {
			return err
		}
		_, err = fmt.Fprintln(e.stdout, "the model before is back; it runs after: systemctl restart miend")
		return err
	}
	if c.Model == "" {
		return fmt.Errorf("which model? miend update FILE, or miend update --rollback")
	}
	data, signature, err := update.ReadModel(c.Model)
	if err != nil {
		return err
	}
	if err := store.Install(data, signature, func(data []byte) error { return tryOn("auto", data, nil) }); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, "installed, on trial; it runs after: systemctl restart miend")
	return err
}

// tryOn runs a model, as far as it can be tried beforehand: once, and on known faces
// where there are such.
func tryOn(engine string, data []byte, known *fleet.Canary) error {
	m, err := openEngine(engine, data, 1, false)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Predict(image.NewGray(image.Rect(0, 0, model.Side, model.Side)), m.Spec().NewScores()); err != nil || known == nil {
		return err
	}
	return known.Check(m)
}

// installed is the store of the models that were installed.
func installed(log *slog.Logger) update.Store {
	keys, bad := update.Keys(keysDir)
	for _, err := range bad {
		log.Warn("a key is left out", "error", err)
	}
	return update.Store{Dir: modelsDir, Keys: keys}
}

// startModel opens the model to run. The firmware itself counts the starts of
// one that is on trial, and goes back to the one before when it does not even
// open; the other commands only look.
func (a *app) startModel(c config.Model, firmware bool) (err error) {
	a.store = installed(a.log)
	if c.File == "" && firmware {
		if a.startInstalled(c) {
			return nil
		}
		if len(zoo.Default()) > 0 {
			c.File = zoo.DefaultName // and not one that was installed and does not open
		}
	}
	a.model, a.modelName, err = openModelOn(c, a.board)
	if err == nil {
		a.warnOfEngine()
	}
	return err
}

// startInstalled opens an installed model, if there is one that opens.
func (a *app) startInstalled(c config.Model) bool {
	for {
		data, slot, fallen, err := a.store.Start()
		if err != nil {
			a.log.Error("installed models", "error", err)
		}
		for _, f := range fallen {
			a.log.Error("a model is rolled back", "model", f.Name, "version", f.Version, "why", f.Why)
		}
		if data == nil {
			return false
		}
		if a.model, err = openEngine(c.Engine, data, threadsOf(c, a.board.Threads), a.board.Delegate == "edgetpu"); err == nil {
			a.modelName, a.slot = a.nameOf(slot), slot
			a.warnOfEngine()
			return true
		}
		a.log.Error("a model is rolled back", "model", slot.Name, "version", slot.Version, "why", err)
		if err := a.store.Reject(slot, "it does not open: "+err.Error()); err != nil {
			a.log.Error("installed models cannot be used; the one inside miend runs", "error", err)
			return false
		}
		if st, err := a.store.State(); err != nil || st.Current != nil && *st.Current == *slot {
			return false // that it does not work could not be noted
		}
	}
}

// nameOf is what page and log call an installed model; with the last one that
// had to give way to it, if that is newer.
func (a *app) nameOf(slot *update.Slot) string {
	name := fmt.Sprintf("%s (installed, version %d)", slot.Name, slot.Version)
	if st, err := a.store.State(); err == nil && len(st.Fallen) > 0 {
		if f := st.Fallen[len(st.Fallen)-1]; f.Version > slot.Version {
			name += fmt.Sprintf("; version %d was rolled back: %s", f.Version, f.Why)
		}
	}
	return name
}

// warnOfEngine says when an accelerator that the board has does not serve.
func (a *app) warnOfEngine() {
	if w, ok := a.model.(interface{ Warning() string }); ok && w.Warning() != "" {
		a.log.Warn("slower than this board can be", "why", w.Warning())
	}
}

// provenAfter is how many looks in a row have to be good.
const provenAfter = 3

// proven ends the trial of a new model once the device has been well with it
// for a while.
func (a *app) proven(well bool) {
	if a.slot == nil {
		return
	}
	if a.good++; !well {
		a.good = 0
	}
	if a.good < provenAfter {
		return
	}
	slot := a.slot
	a.slot = nil
	if err := a.store.Healthy(slot); err != nil {
		a.log.Error("the model's trial cannot be ended", "error", err)
	}
}
