package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"mien/boards"
	"mien/device"
	"mien/device/config"
	"mien/device/fleet"
	"mien/device/hook"
	"mien/device/pins"
	"mien/device/publish"
	"mien/device/queue"
	"mien/runtime/model"
)

type checkCmd struct {
	File   string `arg:"" optional:"" placeholder:"FILE" help:"Configuration (/etc/mien/mien.yaml; the defaults where that does not exist)." default:"/etc/mien/mien.yaml"`
	Sample bool   `help:"Print the annotated sample, which is what an empty file means."`
}

// Run says whether a configuration is right, for this machine.
func (c checkCmd) Run(e env) error {
	if c.Sample && c.File != configPath {
		return fmt.Errorf("either --sample or a file to check, not both")
	}
	if c.Sample {
		_, err := e.stdout.Write(config.Sample)
		return err
	}
	f, err := loadFile(c.File)
	if err != nil {
		return err
	}
	root := os.DirFS("/")
	b, _, err := boards.Detect(root)
	if err != nil {
		return err
	}
	if err := errors.Join(verify(&f, b, root)...); err != nil {
		return err
	}
	if st, err := os.Stat(c.File); err == nil {
		if wrong := config.Exposed(&f.Config, c.File, st.Mode()); wrong != "" {
			fmt.Fprintf(e.stderr, "miend: %s %s: %s\n", c.File, wrong, config.Enclose(c.File))
		}
	}
	what := c.File + " is right"
	if !exists(c.File) {
		what = c.File + " does not exist; the defaults are right"
	}
	named(&f.Config, b, root)
	_, err = fmt.Fprintf(e.stdout, "%s: %s\n", what, audit(&f.Config))
	return err
}

// verify says what of a configuration cannot be opened on this machine, at its
// place in the file, and names the heads that it enables. It makes the parts themselves where that has no effect,
// and else asks them. What is plugged in or not, a camera, a display, is
// doctor's to say: it may be there when the program starts.
func verify(f *config.File, b boards.Board, root fs.FS) (errs []error) {
	bad := func(key string, err error) {
		if err != nil {
			errs = append(errs, f.Errorf(key, "%v", err))
		}
	}
	cfg := f.Config
	named(&cfg, b, root)
	errs = config.SamePin(cfg.Pins(), f.Errorf)
	bad("signals.chip", hasChip(&cfg))
	for key, err := range unknownPins(&cfg, b) {
		bad(key, err)
	}
	bad("camera", canOpen(&cfg, b))
	heads, key, err := canRead(&cfg, b)
	bad(key, err)
	if err == nil {
		f.Heads = namesOf(heads)
		errs = append(errs, cfg.Fit(heads, f.Errorf)...)
	}
	bad("leds.count", canDrive(&cfg, root))
	if !cfg.MQTT.Broker.IsZero() {
		if cfg.MQTT.CA != "" {
			_, err := publish.Authority(cfg.MQTT.CA)
			bad("mqtt.ca", err)
		}
		bad("mqtt.queue", queue.CheckFolder(cfg.MQTT.Queue))
	}
	if fl := &cfg.Fleet; len(fl.Servers) > 0 {
		id := cfg.FleetOptions().ID
		if err := id.Check(); err != nil {
			bad("name", fmt.Errorf("of a fleet needs a plain one: %w", err))
		} else if fl.Credentials != "" {
			bad("fleet.credentials", fleet.CheckCredentials(fl.Credentials, id))
		}
		if fl.CA != "" {
			_, err := publish.Authority(fl.CA)
			bad("fleet.ca", err)
		}
		if fl.Certificate != "" {
			_, err := tls.LoadX509KeyPair(fl.Certificate, fl.PrivateKey)
			bad("fleet.certificate", err)
		}
		bad("fleet.queue", queue.CheckFolder(fl.Queue))
	}
	if w := &cfg.Webhook; !w.URL.IsZero() {
		_, err := hook.NewWebhook(w.URL.Reveal(), w.Key.Reveal(), w.CA)
		bad("webhook.ca", err)
	}
	if len(cfg.Hook.Command) > 0 {
		c, err := hook.NewCommand(cfg.Hook.Command)
		if err == nil {
			err = c.Check()
		}
		bad("hook.command", err)
	}
	if l := cfg.Status.Listen; l != "none" {
		bad("status.listen", canListen(l))
	}
	return errs
}

// unknownPins finds the pins that this machine does not have, by their key.
// Where it has no GPIO chip nothing can be said of real ones.
func unknownPins(cfg *config.Config, b boards.Board) map[string]error {
	wrong := map[string]error{}
	for _, p := range cfg.Pins() {
		var names []string
		if sim, ok := chooseHeader(cfg, b, nil).(*pins.Sim); ok && p.Key != "consent" {
			names = sim.Names
		} else if real, err := (pins.Chips{Chip: cfg.Signals.Chip, Board: b.Header}).Names(); err == nil {
			names = real
		}
		if len(names) > 0 && !slices.Contains(names, p.Pin) {
			wrong[p.Key] = pins.Unknown(p.Pin, names)
		}
	}
	return wrong
}

// hasChip says whether the chip that is named is one of this machine's, as far
// as that has any.
func hasChip(cfg *config.Config) error {
	if _, err := (pins.Chips{}).Names(); err != nil || cfg.Signals.Chip == "" {
		return nil
	}
	_, err := pins.Chips{Chip: cfg.Signals.Chip}.Names()
	return err
}

// canOpen says what is wrong with the camera's settings.
func canOpen(cfg *config.Config, b boards.Board) error {
	src, err := sourceOf(cfg, b)
	if err != nil {
		return err
	}
	return settings(cfg, src)
}

// canRead opens the model and returns its enabled heads, or says which key is
// at fault when it cannot or lacks one.
func canRead(cfg *config.Config, b boards.Board) (heads []model.Head, key string, err error) {
	m, _, err := openModelOn(cfg.Model, b)
	if err != nil {
		if cfg.Model.File == "" {
			return nil, "model.engine", err
		}
		return nil, "model.file", err
	}
	defer m.Close()
	heads, _, err = device.EnabledHeads(m.Spec(), cfg.Heads)
	return heads, "heads", err
}

// spiBuffer is how much the kernel's driver sends at once unless told
// otherwise (linux drivers/spi/spidev.c, bufsiz).
const spiBuffer = 4096

// canDrive says whether the strip is too long for the SPI driver.
func canDrive(cfg *config.Config, root fs.FS) error {
	l := &cfg.LEDs
	buffer, err := strconv.Atoi(line(root, "sys/module/spidev/parameters/bufsiz"))
	if err != nil {
		buffer = spiBuffer
	}
	// What the drivers of periph send for n lights.
	bytes := map[string]func(n int) int{
		"apa102": func(n int) int { return 4*(n+1) + n/16 + 1 },
		"ws2812": func(n int) int { return 12*n + 6 },
	}[l.Kind]
	if bytes == nil || bytes(l.Count) <= buffer {
		return nil
	}
	most := l.Count
	for bytes(most) > buffer {
		most--
	}
	return fmt.Errorf("%d lights of %s need %d bytes at once, and the SPI driver sends %d: %d are possible (or spidev.bufsiz=%d on the kernel's command line)",
		l.Count, l.Kind, bytes(l.Count), buffer, most, bytes(l.Count))
}

// canListen says whether an address is one of this machine. The port is left
// out: this program may hold it.
func canListen(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return fmt.Errorf("%q is no address of this machine: %s", addr, strings.TrimPrefix(err.Error(), "listen tcp "))
	}
	return l.Close()
}
