package main

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"log/slog"
	"strings"
	"sync"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/apa102"
	"periph.io/x/devices/v3/nrzled"
	"periph.io/x/devices/v3/ssd1306"
	"periph.io/x/host/v3/sysfs"

	"mien/device"
	"mien/device/config"
	"mien/device/display"
	"mien/runtime/model"
)

// parts are all that the firmware can do without, in the order in which they
// are told of.
type parts struct {
	all   []*part
	runs  []func(context.Context)
	watch []device.Observer
	begun bool
}

// add opens a part for the first time, and keeps it from then on.
func (p *parts) add(name string, log *slog.Logger, open func() (running, error)) *part {
	x := &part{name: name, log: log}
	run, err := open()
	if err != nil {
		run = nil
		x.note(err)
	}
	p.all = append(p.all, x)
	p.runs = append(p.runs, func(ctx context.Context) { x.keep(ctx, run, open) })
	return x
}

// run keeps all parts until ctx ends.
func (p *parts) run(ctx context.Context) {
	p.begun = true
	var wait sync.WaitGroup
	for _, f := range p.runs {
		wait.Go(func() { f(ctx) })
	}
	wait.Wait()
}

// close gives back what was opened and never ran.
func (p *parts) close() {
	if p.begun {
		return
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	p.run(ended)
}

func (p *parts) health() []device.PartHealth {
	out := []device.PartHealth{}
	for _, x := range p.all {
		out = append(out, x.health())
	}
	return out
}

// addDisplays adds what shows readings beside the lines; watched says whether
// pictures can be seen on the page.
func (p *parts) addDisplays(cfg *config.Config, lead model.Head, h device.Header, watched func() bool, log *slog.Logger) {
	show := func(name string, open func() (display.Part, error)) {
		x := &part{name: name, log: log}
		r := &display.Runner{Open: open, Note: x.note, Works: func() { x.note(nil) }}
		p.all, p.runs, p.watch = append(p.all, x), append(p.runs, r.Run), append(p.watch, r)
	}
	if cfg.OLED.Bus != "" {
		show("oled", func() (display.Part, error) { return openOLED(cfg, watched) })
	}
	if cfg.LEDs.Kind != "" {
		show("leds", func() (display.Part, error) { return openLEDs(cfg, lead) })
	}
	if cfg.Buzzer.Pin != "" {
		sound := &late{}
		p.watch = append(p.watch, sound)
		p.add("buzzer", log, func() (running, error) { return openBuzzer(cfg, lead, h, sound) })
	}
}

func openBuzzer(cfg *config.Config, lead model.Head, h device.Header, sound *late) (running, error) {
	b, level := cfg.Buzzer, 0
	if b.Active == "low" {
		level = 1
	}
	pin, err := h.Open(b.Pin, level)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	buzzer := display.NewBuzzer(pin, b.Active == "low", b.On, b.Length, func(err error) {
		select {
		case failed <- err:
		default:
		}
	})
	buzzer.Head = lead.Name
	sound.set(buzzer)
	return func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var broken error
		var wait sync.WaitGroup
		wait.Go(func() {
			select {
			case broken = <-failed:
				cancel()
			case <-ctx.Done():
			}
		})
		buzzer.Run(ctx)
		cancel()
		wait.Wait()
		return errors.Join(broken, pin.Close())
	}, nil
}

// addressed sends what a driver means for 0x3c to another address: periph's
// ssd1306 knows no other.
type addressed struct {
	i2c.Bus
	address uint16
}

func (a addressed) Tx(_ uint16, w, r []byte) error { return a.Bus.Tx(a.address, w, r) }

func openOLED(cfg *config.Config, watched func() bool) (display.Part, error) {
	n, err := config.ParseI2C(cfg.OLED.Bus)
	if err != nil {
		return nil, fmt.Errorf("oled.bus: %w", err)
	}
	bus, err := sysfs.NewI2C(n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (enable I2C: raspi-config nonint do_i2c 0; add the user to group \"i2c\")", cfg.OLED.Bus, err)
	}
	if cfg.OLED.Kind == "sh1106" {
		dev, err := display.NewSH1106(bus, uint16(cfg.OLED.Address), cfg.OLED.Turn)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: no SH1106 answers at %#x: %w", cfg.OLED.Bus, cfg.OLED.Address, err), bus.Close())
		}
		return &display.OLED{Screen: dev, Watched: watched, Bus: bus}, nil
	}
	dev, err := ssd1306.NewI2C(addressed{bus, uint16(cfg.OLED.Address)},
		&ssd1306.Opts{W: 128, H: cfg.OLED.Height, Rotated: cfg.OLED.Turn, Sequential: cfg.OLED.Height == 32})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: no SSD1306 answers at %#x: %w", cfg.OLED.Bus, cfg.OLED.Address, err), bus.Close())
	}
	return &display.OLED{Screen: dev, Watched: watched, Bus: bus}, nil
}

func openLEDs(cfg *config.Config, lead model.Head) (display.Part, error) {
	l := cfg.LEDs
	bus, cs, err := config.ParseSPI(l.Bus)
	if err != nil {
		return nil, fmt.Errorf("leds.bus: %w", err)
	}
	port, err := sysfs.NewSPI(bus, cs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (enable SPI: raspi-config nonint do_spi 0; add the user to group \"spi\")", l.Bus, err)
	}
	out := &display.LEDs{Head: lead.Name, Count: l.Count, Dim: uint8(l.Brightness), Colours: map[string]color.RGBA{}, Bus: io.Closer(port)}
	for label, c := range cfg.ColoursOf(lead) {
		rgb, err := config.ParseColour(c)
		if err != nil {
			return nil, errors.Join(err, port.Close())
		}
		out.Colours[label] = color.RGBA{rgb[0], rgb[1], rgb[2], 255}
	}
	sends := "grb"
	switch strings.ToLower(l.Kind) {
	case "apa102":
		sends = "bgr"
		out.Strip, err = apa102.New(port, &apa102.Opts{NumPixels: l.Count, Intensity: 255, Temperature: apa102.NeutralTemp})
	default:
		out.Strip, err = nrzled.NewSPI(port, &nrzled.Opts{NumPixels: l.Count, Channels: 3, Freq: 2500 * physic.KiloHertz})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %s: %w", l.Bus, l.Kind, err), port.Close())
	}
	if l.Order != "" {
		out.Strip = display.Order(out.Strip, sends, l.Order)
	}
	return out, nil
}
