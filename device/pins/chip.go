package pins

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/warthog618/go-gpiocdev"

	"mien/boards"
	"mien/device"
)

// Chips is the header of a board: every GPIO chip the kernel has. Lines are
// found by name, because chips are numbered differently from kernel to
// kernel; those that the kernel does not name by their place, "header 13",
// from the board's own table. A line keeps what this process wrote until the
// process ends; then the chip decides, so wire a pull resistor to the safe
// level.
//
// The kernel's interface in version 2 (Linux 5.10) is used where there is
// one, else version 1; both set the first level with the request itself, so
// that no line carries a wrong level even for a microsecond.
type Chips struct {
	// Chip, if set, is the only chip to look on: its device ("gpiochip0",
	// "/dev/gpiochip4") or its label ("pinctrl-rp1").
	Chip string
	// Board is the board's header, for pins whose lines have no name.
	Board []boards.Pin
	// ABI is the version of the kernel's interface to use, 1 or 2; 0 means the
	// newest there is.
	ABI int
}

// Consumer is what the kernel calls the holder of a line of ours.
const Consumer = "miend"

// Open implements device.Header.
func (c Chips) Open(name string, level int) (device.Pin, error) {
	chip, offset, err := c.find(name)
	if err != nil {
		return nil, err
	}
	l, err := gpiocdev.RequestLine(chip, offset, c.with(gpiocdev.AsOutput(level))...)
	if err != nil {
		return nil, explain(chip, name, err)
	}
	return &chipPin{l, name}, nil
}

// with adds what goes with every request.
func (c Chips) with(opts ...gpiocdev.LineReqOption) []gpiocdev.LineReqOption {
	opts = append(opts, gpiocdev.WithConsumer(Consumer))
	if c.ABI != 0 {
		opts = append(opts, gpiocdev.WithABIVersion(c.ABI))
	}
	return opts
}

// Input claims a line by name as an input that is low unless something drives
// it high, for instance the consent switch. Kernels before 5.5 cannot switch
// the pull-down on; there it is the wiring's affair, and Input.Pulled is false.
func (c Chips) Input(name string) (*Input, error) {
	chip, offset, err := c.find(name)
	if err != nil {
		return nil, err
	}
	l, err := gpiocdev.RequestLine(chip, offset, c.with(gpiocdev.AsInput, gpiocdev.WithPullDown)...)
	pulled := err == nil
	if errors.Is(err, syscall.EINVAL) {
		l, err = gpiocdev.RequestLine(chip, offset, c.with(gpiocdev.AsInput)...)
	}
	if err != nil {
		return nil, explain(chip, name, err)
	}
	return &Input{Pulled: pulled, l: l}, nil
}

// Names returns every name that Open takes, sorted: those of the chips' lines
// and the places on the board's header of lines without one.
func (c Chips) Names() ([]string, error) {
	chips, err := c.list()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, path := range chips {
		chip, err := c.open(path)
		if err != nil {
			continue
		}
		for i := range chip.Lines() {
			if info, err := chip.LineInfo(i); err == nil && info.Name != "" {
				out = append(out, info.Name)
			}
		}
		for _, p := range c.Board {
			if p.Line == "" && p.Chip == chip.Label && p.Offset < chip.Lines() {
				out = append(out, p.Place())
			}
		}
		chip.Close()
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Any reports whether there is a GPIO chip at all.
func Any() bool { return len(gpiocdev.Chips()) > 0 }

// Blink lets a line that nobody holds change its level a few times, so that
// somebody sees which pin it is. The line begins at the level it has, ends
// there, and is given back in the direction in which it was.
func (c Chips) Blink(ctx context.Context, name string) (err error) {
	who, err := c.Holder(name)
	if err != nil {
		return err
	}
	if who != "" {
		return fmt.Errorf("pins: line %q is in use by %s", name, who)
	}
	chip, offset, err := c.find(name)
	if err != nil {
		return err
	}
	l, err := gpiocdev.RequestLine(chip, offset, c.with()...) // as it is: nothing moves
	if err != nil {
		return explain(chip, name, err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	info, err := l.Info()
	if err != nil {
		return explain(chip, name, err)
	}
	level, err := l.Value()
	if err != nil {
		return explain(chip, name, err)
	}
	if err := l.Reconfigure(gpiocdev.AsOutput(level)); err != nil {
		return explain(chip, name, err)
	}
	err = blink(ctx, level, l.SetValue)
	if info.Config.Direction != gpiocdev.LineDirectionOutput {
		err = errors.Join(err, l.Reconfigure(gpiocdev.AsInput))
	}
	return err
}

// Blinks is how often a line changes to the other level and back, and
// BlinkHalf how long it stays there.
const (
	Blinks    = 4
	BlinkHalf = 250 * time.Millisecond
)

// blink ends at the level at which it began, whatever happens.
func blink(ctx context.Context, level int, set func(int) error) error {
	for range Blinks {
		for _, l := range []int{1 - level, level} {
			if err := set(l); err != nil {
				return errors.Join(err, set(level))
			}
			select {
			case <-ctx.Done():
				return set(level)
			case <-time.After(BlinkHalf):
			}
		}
	}
	return nil
}

// Holder returns who holds a line, as that has called itself; empty when the
// line is free.
func (c Chips) Holder(name string) (string, error) {
	path, offset, err := c.find(name)
	if err != nil {
		return "", err
	}
	chip, err := c.open(path)
	if err != nil {
		return "", explain(path, name, err)
	}
	defer chip.Close()
	info, err := chip.LineInfo(offset)
	switch {
	case err != nil:
		return "", explain(path, name, err)
	case !info.Used:
		return "", nil
	case info.Consumer == "":
		return "somebody without a name", nil
	}
	return info.Consumer, nil
}

func (c Chips) open(path string) (*gpiocdev.Chip, error) {
	if c.ABI != 0 {
		return gpiocdev.NewChip(path, gpiocdev.WithABIVersion(c.ABI))
	}
	return gpiocdev.NewChip(path)
}

// find returns the chip and offset of a line.
func (c Chips) find(name string) (chip string, offset int, err error) {
	chips, err := c.list()
	if err != nil {
		return "", 0, err
	}
	var denied error
	for _, path := range chips {
		chip, err := c.open(path)
		if err != nil {
			denied = explain(path, name, err)
			continue
		}
		offset, ok := c.line(chip, name)
		chip.Close()
		if ok {
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
	return "", 0, Unknown(name, names)
}

// line looks for a line on one chip, by name or by its place on the header.
func (c Chips) line(chip *gpiocdev.Chip, name string) (offset int, ok bool) {
	for _, p := range c.Board {
		if p.Line == "" && p.Place() == name {
			return p.Offset, p.Chip == chip.Label && p.Offset < chip.Lines()
		}
	}
	offset, err := chip.FindLine(name)
	return offset, err == nil
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
		return fmt.Errorf("pins: line %q of %s is in use by another program or driver (miend doctor says which)", name, chip)
	}
	return fmt.Errorf("pins: line %q of %s: %w", name, chip, err)
}

// Unknown is an error that names the lines that a wrong name may have meant.
func Unknown(name string, names []string) error {
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
type Input struct {
	Pulled bool // the chip's own pull-down is on
	l      *gpiocdev.Line
}

// Read returns the level, 0 or 1.
func (i *Input) Read() (int, error) { return i.l.Value() }

// Close gives the line back.
func (i *Input) Close() error { return i.l.Close() }
