package main

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"log/slog"
	"strings"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/apa102"
	"periph.io/x/devices/v3/nrzled"
	"periph.io/x/devices/v3/ssd1306"
	"periph.io/x/host/v3/sysfs"

	"mien/device"
	"mien/device/config"
	"mien/device/display"
)

// parts are what shows readings beside the lines. Each is optional, and none
// keeps the firmware from starting.
type parts struct {
	runs   []func(context.Context)
	watch  []device.Observer
	buzzer device.Pin
}

func (p *parts) observers() []device.Observer { return p.watch }

func (p *parts) close() error {
	if p.buzzer != nil {
		return p.buzzer.Close()
	}
	return nil
}

func openParts(cfg *config.Config, h device.Header, log *slog.Logger) (p parts) {
	add := func(what string, open func() (display.Part, error)) {
		r := &display.Runner{Open: open, Note: func(err error) {
			log.Warn(what+" is out of order; the rest goes on (miend doctor says more)", "error", err)
		}}
		p.runs, p.watch = append(p.runs, r.Run), append(p.watch, r)
	}
	if cfg.OLED.Bus != "" {
		add("OLED", func() (display.Part, error) { return openOLED(cfg) })
	}
	if cfg.LEDs.Kind != "" {
		add("LEDs", func() (display.Part, error) { return openLEDs(cfg) })
	}
	if b := cfg.Buzzer; b.Pin != "" {
		low := b.Active == "low"
		level := 0
		if low {
			level = 1
		}
		pin, err := h.Open(b.Pin, level)
		if err != nil {
			log.Warn("buzzer is out of order; the rest goes on", "error", err)
			return p
		}
		buzzer := display.NewBuzzer(pin, low, b.On, b.Length, func(err error) { log.Warn("buzzer", "error", err) })
		p.buzzer, p.runs, p.watch = pin, append(p.runs, buzzer.Run), append(p.watch, buzzer)
	}
	return p
}

// addressed sends what a driver means for 0x3c to another address: periph's
// ssd1306 knows no other.
type addressed struct {
	i2c.Bus
	address uint16
}

func (a addressed) Tx(_ uint16, w, r []byte) error { return a.Bus.Tx(a.address, w, r) }

func openOLED(cfg *config.Config) (display.Part, error) {
	n, err := config.ParseI2C(cfg.OLED.Bus)
	if err != nil {
		return nil, fmt.Errorf("oled.bus: %w", err)
	}
	bus, err := sysfs.NewI2C(n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (enable I2C: raspi-config nonint do_i2c 0; add the user to group \"i2c\")", cfg.OLED.Bus, err)
	}
	dev, err := ssd1306.NewI2C(addressed{bus, uint16(cfg.OLED.Address)},
		&ssd1306.Opts{W: 128, H: cfg.OLED.Height, Rotated: cfg.OLED.Turn, Sequential: cfg.OLED.Height == 32})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: no SSD1306 answers at %#x: %w", cfg.OLED.Bus, cfg.OLED.Address, err), bus.Close())
	}
	return &display.OLED{Screen: dev, Preview: cfg.Status.Preview && cfg.Status.Listen != "none", Bus: bus}, nil
}

func openLEDs(cfg *config.Config) (display.Part, error) {
	l := cfg.LEDs
	bus, cs, err := config.ParseSPI(l.Bus)
	if err != nil {
		return nil, fmt.Errorf("leds.bus: %w", err)
	}
	port, err := sysfs.NewSPI(bus, cs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (enable SPI: raspi-config nonint do_spi 0; add the user to group \"spi\")", l.Bus, err)
	}
	out := &display.LEDs{Count: l.Count, Dim: uint8(l.Brightness), Colours: map[string]color.RGBA{}, Bus: io.Closer(port)}
	for label, c := range l.Colours {
		rgb, err := config.ParseColour(c)
		if err != nil {
			return nil, errors.Join(err, port.Close())
		}
		out.Colours[label] = color.RGBA{rgb[0], rgb[1], rgb[2], 255}
	}
	switch strings.ToLower(l.Kind) {
	case "apa102":
		out.Strip, err = apa102.New(port, &apa102.Opts{NumPixels: l.Count, Intensity: 255, Temperature: apa102.NeutralTemp})
	default:
		out.Strip, err = nrzled.NewSPI(port, &nrzled.Opts{NumPixels: l.Count, Channels: 3, Freq: 2500 * physic.KiloHertz})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %s: %w", l.Bus, l.Kind, err), port.Close())
	}
	return out, nil
}
