package pins

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/warthog618/go-gpiocdev"

	"mien/device"
)

// Chips is the header of a board: every GPIO chip the kernel has. Lines are
// found by name, because chips are numbered differently from kernel to
// kernel. A line keeps what this process wrote until the process ends; then
// the chip decides, so wire a pull resistor to the safe level.
//
// The kernel's interface in version 2 (Linux 5.10) is used where there is
// one, else version 1; both set the first level with the request itself, so
// that no line carries a wrong level even for a microsecond.
type Chips struct {
	// Chip, if set, is the only chip to look on: its device ("gpiochip0",
	// "/dev/gpiochip4") or its label ("pinctrl-rp1").
	Chip string
}

const consumer = "miend"

// Open implements device.Header.
func (c Chips) Open(name string, level int) (device.Pin, error) {
	chip, offset, err := c.find(name)
	if err != nil {
		return nil, err
	}
	l, err := gpiocdev.RequestLine(chip, offset, gpiocdev.AsOutput(level), gpiocdev.WithConsumer(consumer))
	if err != nil {
		return nil, explain(chip, name, err)
	}
	return &chipPin{l, name}, nil
}

// Input claims a line by name as an input, for instance the consent switch.
// pull is "up", "down" or "none".
func (c Chips) Input(name, pull string) (*Input, error) {
	chip, offset, err := c.find(name)
	if err != nil {
		return nil, err
	}
	opts := []gpiocdev.LineReqOption{gpiocdev.AsInput, gpiocdev.WithConsumer(consumer)}
	switch pull {
	case "up":
		opts = append(opts, gpiocdev.WithPullUp)
	case "down":
		opts = append(opts, gpiocdev.WithPullDown)
	case "none", "":
	default:
		return nil, fmt.Errorf("pins: line %q: no pull %q; there are up, down and none", name, pull)
	}
	l, err := gpiocdev.RequestLine(chip, offset, opts...)
	if err != nil {
		return nil, explain(chip, name, err)
	}
	return &Input{l}, nil
}

// Names returns the names of all lines of the chips, sorted.
func (c Chips) Names() ([]string, error) {
	chips, err := c.list()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, path := range chips {
		chip, err := gpiocdev.NewChip(path)
		if err != nil {
			continue
		}
		for i := range chip.Lines() {
			if info, err := chip.LineInfo(i); err == nil && info.Name != "" {
				out = append(out, info.Name)
			}
		}
		chip.Close()
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// find returns the chip and offset of a line.
func (c Chips) find(name string) (chip string, offset int, err error) {
	chips, err := c.list()
	if err != nil {
		return "", 0, err
	}
	var denied error
	for _, path := range chips {
		chip, err := gpiocdev.NewChip(path)
		if err != nil {
			denied = explain(path, name, err)
			continue
		}
		offset, err := chip.FindLine(name)
		chip.Close()
		if err == nil {
			return path, offset, nil
		}
	}
	if denied != nil {
		return "", 0, denied
	}
	names, err := c.Names()
	if err != nil {
		return "", 0, err
	}
	return "", 0, unknown(name, names)
}

func (c Chips) list() ([]string, error) {
	all := gpiocdev.Chips()
	if c.Chip != "" {
		want := strings.TrimPrefix(c.Chip, "/dev/")
		all = slices.DeleteFunc(all, func(path string) bool { return path != want && label(path) != c.Chip })
		if len(all) == 0 {
			return nil, fmt.Errorf("pins: no GPIO chip %q (miend doctor lists those there are)", c.Chip)
		}
	}
	if len(all) == 0 {
		return nil, errors.New(`pins: there is no GPIO chip, /dev/gpiochip0 or another (run with "pins: simulated", or enable the board's GPIO in its device tree)`)
	}
	return all, nil
}

func label(path string) string {
	chip, err := gpiocdev.NewChip(path)
	if err != nil {
		return ""
	}
	defer chip.Close()
	return chip.Label
}

// explain says what to do about what the kernel said.
func explain(chip, name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("pins: open /dev/%s: %w (add the user to group \"gpio\", or install the udev rule of the package)", chip, err)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("pins: line %q of %s is in use by another program or driver (gpioinfo %s says which)", name, chip, chip)
	}
	return fmt.Errorf("pins: line %q of %s: %w", name, chip, err)
}

// unknown names the lines that a wrong name may have meant.
func unknown(name string, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("pins: no GPIO line is called %q: the lines of this board have no names (its device tree lacks gpio-line-names)", name)
	}
	var near []string
	for _, n := range names {
		if strings.EqualFold(n, name) || strings.Contains(strings.ToLower(n), strings.ToLower(name)) {
			near = append(near, n)
		}
	}
	if len(near) == 0 {
		near = names
	}
	if len(near) > 12 {
		near = append(slices.Clone(near[:12]), "...")
	}
	return fmt.Errorf("pins: no GPIO line is called %q; there are %s", name, strings.Join(near, ", "))
}

type chipPin struct {
	l    *gpiocdev.Line
	name string
}

func (p *chipPin) Write(level int) error {
	if err := p.l.SetValue(level); err != nil {
		return fmt.Errorf("pins: set line %q to %d: %w", p.name, level, err)
	}
	return nil
}

func (p *chipPin) Close() error { return p.l.Close() }

// Input is a line that is read.
type Input struct{ l *gpiocdev.Line }

// Read returns the level, 0 or 1.
func (i *Input) Read() (int, error) { return i.l.Value() }

// Close gives the line back.
func (i *Input) Close() error { return i.l.Close() }
