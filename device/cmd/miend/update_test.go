package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"mien/device/config"
	"mien/device/update"
	"mien/runtime/zoo"
)

// A new model that does not open gives way to the one before it, not to the
// one inside, and both log and page say so.
func TestFailedModelGivesWay(t *testing.T) {
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := update.Store{Dir: filepath.Join(t.TempDir(), "models"), Keys: []minisign.PublicKey{public}}
	install := func(model []byte, version int) {
		t.Helper()
		sig := minisign.SignWithComments(private, model, fmt.Sprintf("version:%d\tfile:mine", version), "")
		if err := s.Install(model, sig, func([]byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	start := func() (*app, string, bool) {
		var log bytes.Buffer
		a := &app{log: newLog(&log), store: s}
		ok := a.startInstalled(config.Model{Engine: "auto"})
		if ok {
			a.model.Close()
		}
		return a, log.String(), ok
	}
	install(zoo.Default(), 1)
	a, _, ok := start()
	if !ok || a.modelName != "mine (installed, version 1)" {
		t.Fatalf("%q, %v", a.modelName, ok)
	}
	for range provenAfter {
		a.proven(true)
	}
	install([]byte("this is no model"), 2)
	a, said, ok := start()
	if !ok || a.slot.Version != 1 || !strings.Contains(a.modelName, "version 2 was rolled back") || !strings.Contains(said, "rolled back") {
		t.Errorf("%q, %v; the log says %s", a.modelName, ok, said)
	}
	install([]byte("nor is this"), 3)
	if a, _, ok = start(); !ok || a.slot.Version != 1 {
		t.Errorf("the second time: %q, %v", a.modelName, ok)
	}
	// The first one of all gives way to the one inside.
	s.Dir = filepath.Join(t.TempDir(), "other")
	install([]byte("no model either"), 4)
	if _, said, ok := start(); ok || !strings.Contains(said, "rolled back") {
		t.Errorf("%v; the log says %s", ok, said)
	}
}
