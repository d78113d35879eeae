package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// An LED that was blinked shows again what the kernel had it show; those that are not
// the board's own, a keyboard's, are left alone.
func TestLEDsShowAgainWhatTheyShowed(t *testing.T) {
	dir := t.TempDir()
	was := map[string][2]string{"ACT": {"0\n", "none [mmc0] timer\n"}, "PWR": {"1\n", "[none] timer\n"}, "beaglebone:green:usr0": {"0\n", "none [heartbeat]\n"}, "input3::capslock": {"0\n", "[none]\n"}}
	for name, files := range was {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.Mkdir(at, 0o700), os.WriteFile(filepath.Join(at, "brightness"), []byte(files[0]), 0o600),
			os.WriteFile(filepath.Join(at, "trigger"), []byte(files[1]), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(name, want, trigger string) {
		t.Helper()
		at := filepath.Join(dir, name)
		if got := text(t, filepath.Join(at, "brightness")); got != want {
			t.Errorf("%s has brightness %q, want %q", name, got, want)
		}
		if got := text(t, filepath.Join(at, "trigger")); got != trigger {
			t.Errorf("%s has trigger %q, want %q", name, got, trigger)
		}
	}
	all, err := boardLEDs(dir)
	if err != nil || len(all) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, l := range all {
		shows(l.name(), "255", was[l.name()][1])
		if err := l.light(false); err != nil {
			t.Error(err)
		}
		shows(l.name(), "0", was[l.name()][1])
		if err := l.rest(); err != nil {
			t.Error(err)
		}
	}
	shows("ACT", "0", "mmc0")
	shows("PWR", "1", was["PWR"][1])
	shows("beaglebone:green:usr0", "0", "heartbeat")
	shows("input3::capslock", "0\n", was["input3::capslock"][1])
}
