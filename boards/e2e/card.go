package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"mien/boards/card"
)

// Flash writes an image to a card, a file that QEMU takes for one.
func Flash(image, to string) error {
	b, err := os.ReadFile(image)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		return err
	}
	return os.Truncate(to, 1<<30) // QEMU wants a power of two
}

// CardOptions are those of a board that starts from a card.
type CardOptions struct {
	Card      string
	Record    string // a file for all that is written to the card (Writes reads it), or none
	Try       bool   // the last restart asked for the other slot
	Dir       string // for the machine's own files
	Arguments string // more of them for the kernel
	Clock     string // fastClock, or none for clock
}

// StartCard does what the Raspberry Pi's firmware does: it reads autoboot.txt,
// takes kernel, device tree and arguments from the partition that it names, and
// starts the kernel. QEMU has no firmware. What it cannot start is an error.
func StartCard(o CardOptions) (*Machine, card.Slot, error) {
	disk, err := os.Open(o.Card)
	if err != nil {
		return nil, 0, err
	}
	defer disk.Close()
	slot, err := card.Default(disk)
	if err != nil {
		return nil, 0, err
	}
	if o.Try {
		slot = slot.Other()
	}
	part := slot.Kernel()
	boot, err := fat32.Read(file.New(disk, true), part.Size, part.Start, card.Sector)
	if err != nil {
		return nil, slot, fmt.Errorf("e2e: slot %v: %w", slot, err)
	}
	for _, name := range []string{"vmlinuz", "bcm2710-rpi-3-b.dtb", "cmdline.txt", "config.txt", "start.elf", "fixup.dat"} {
		b, err := boot.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(o.Dir, name), b, 0o644)
		}
		if err != nil {
			return nil, slot, fmt.Errorf("e2e: slot %v: %s: %w", slot, name, err)
		}
	}
	arguments, err := os.ReadFile(filepath.Join(o.Dir, "cmdline.txt"))
	if err != nil {
		return nil, slot, err
	}
	drive := "if=sd,format=raw,cache=writethrough,file=" + o.Card
	if o.Record != "" {
		if drive, err = record(o.Card, o.Record); err != nil {
			return nil, slot, err
		}
	}
	m := &Machine{answers: make(chan answer, 1), ended: make(chan struct{}), patience: 5 * time.Minute}
	// The first serial port is the PL011, which this kernel calls ttyAMA1; QEMU's
	// watchdog bites when it is opened.
	return m, slot, m.launch(cmp.Or(o.Clock, clock), []string{"-serial", "stdio", "-d", "unimp,guest_errors", "-D", filepath.Join(o.Dir, "unimp"),
		"-kernel", filepath.Join(o.Dir, "vmlinuz"), "-dtb", filepath.Join(o.Dir, "bcm2710-rpi-3-b.dtb"),
		"-drive", drive,
		"-append", strings.Replace(strings.TrimSpace(string(arguments)), "console=tty1", "console=ttyAMA1", 1) + " loglevel=6 mien.watchdog=off " + o.Arguments})
}

// Says waits until the console says something.
func (m *Machine) Says(text string) error {
	for end := time.Now().Add(m.patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if strings.Contains(m.Console(), text) {
			return nil
		}
		select {
		case <-m.ended:
			return fmt.Errorf("%w before it said %q", ErrEnded, text)
		default:
		}
	}
	return fmt.Errorf("e2e: the board has not said %q", text)
}

// Rises waits until line n is high, and returns the board's own time then, from
// power on.
func (m *Machine) Rises(n int) (time.Duration, error) {
	for end := time.Now().Add(m.patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		levels, err := m.Levels()
		if err != nil {
			return 0, err
		}
		if levels>>n&1 == 1 {
			us, err := m.word(timerLow)
			return time.Duration(us) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("e2e: GPIO%d does not rise", n)
}

// Ended waits until the board restarts or is off, and says whether it asked its
// firmware to try the other slot (the property RPI_FIRMWARE_SET_REBOOT_FLAGS of
// linux include/soc/bcm2835/raspberrypi-firmware.h, which QEMU notes and does not have).
func (m *Machine) Ended(dir string) (try bool, err error) {
	select {
	case <-m.ended:
	case <-time.After(m.patience):
		return false, errors.New("e2e: the board does not end")
	}
	b, err := os.ReadFile(filepath.Join(dir, "unimp"))
	return strings.Contains(string(b), "00038064"), err
}
