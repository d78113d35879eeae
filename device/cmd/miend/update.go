package main

import (
	"fmt"
	"image"

	"mien/device/config"
	"mien/device/update"
	"mien/runtime/model"
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
	store := update.Store{Dir: c.Store}
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
	keys, err := update.Keys(c.Keys)
	if err != nil {
		return err
	}
	if err := store.Install(data, signature, keys, tryBytes); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, "installed, on trial; it runs after: systemctl restart miend")
	return err
}

// tryBytes runs a model once, as far as it can be tried beforehand.
func tryBytes(data []byte) error {
	m, err := openEngine("auto", data, 1, false)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Predict(image.NewGray(image.Rect(0, 0, model.Side, model.Side)), m.Spec().NewScores())
}

// startModel opens the model to run. The firmware itself counts the starts of
// one that is on trial, and goes back when it does not even open; the other
// commands only look.
func (a *app) startModel(c config.Model, firmware bool) (err error) {
	store := update.Store{Dir: modelsDir}
	if c.File == "" && firmware {
		data, slot, err := store.Start()
		if err != nil {
			a.log.Error("installed models cannot be used; the one inside miend runs", "error", err)
		}
		if data != nil {
			if a.model, err = openEngine(c.Engine, data, threadsOf(c, a.board.Threads), a.board.Delegate == "edgetpu"); err == nil {
				a.modelName, a.trial = slot.Name+" (installed)", true
				a.warnOfEngine()
				return nil
			}
			a.log.Error("the installed model does not open; going back", "model", slot.Name, "error", err)
			if err := store.Rollback(); err != nil {
				return err
			}
		}
	}
	a.model, a.modelName, err = openModelOn(c, a.board)
	if err == nil {
		a.warnOfEngine()
	}
	return err
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
	if !a.trial {
		return
	}
	if a.good++; !well {
		a.good = 0
	}
	if a.good < provenAfter {
		return
	}
	a.trial = false
	if err := (update.Store{Dir: modelsDir}).Healthy(); err != nil {
		a.log.Error("the model's trial cannot be ended", "error", err)
	}
}
