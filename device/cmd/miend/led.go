package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ledsDir is where the kernel shows LEDs (Documentation/leds/leds-class.rst).
const ledsDir = "/sys/class/leds"

// led is an LED of the board's own, and what it shows when nobody blinks it.
type led struct{ dir, brightness, trigger string }

// boardLEDs are those of the board's own, as Raspberry Pis, BeagleBones and Corals
// call them, that this program may write.
func boardLEDs(dir string) (all []led, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	for _, at := range names {
		name := strings.ToLower(filepath.Base(at))
		if !slices.Contains([]string{"act", "led0", "pwr", "led1", "status"}, name) && !strings.HasPrefix(name, "beaglebone:") {
			continue
		}
		l := led{dir: at}
		b, err := os.ReadFile(filepath.Join(at, "brightness"))
		if err == nil {
			l.brightness = strings.TrimSpace(string(b))
			b, err = os.ReadFile(filepath.Join(at, "trigger"))
		}
		if err == nil && l.light(true) == nil {
			_, after, _ := strings.Cut(string(b), "[") // of all that there are the one that is set
			l.trigger, _, _ = strings.Cut(after, "]")
			all = append(all, l)
		}
	}
	return all, nil
}

func (l led) name() string { return filepath.Base(l.dir) }

func (l led) write(file, value string) error {
	f, err := os.OpenFile(filepath.Join(l.dir, file), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func (l led) light(on bool) error {
	if on {
		return l.write("brightness", "255") // the kernel takes the most that there is for it
	}
	return l.write("brightness", "0") // which takes its trigger away
}

// rest has it show again what it showed.
func (l led) rest() error {
	if err := l.write("brightness", l.brightness); l.trigger == "" || l.trigger == "none" {
		return err
	}
	return l.write("trigger", l.trigger)
}
