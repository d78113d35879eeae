package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mien/boards/image"
	"mien/device/cmdline"
	"mien/device/config"
	"mien/runtime/licences"
)

type imageCmd struct {
	Board    string   `arg:"" check:"image" help:"Which board: ${images}."`
	Out      string   `placeholder:"FILE" help:"The image (build/BOARD/mien-BOARD.img)."`
	Name     string   `help:"What the board is called, on its page and in MQTT topics; its network knows it as mien."`
	Token    string   `placeholder:"FILE" xor:"config" help:"A file with the token that the board's page asks for, which is made if it is not there; without it the page waits for the first who comes to set the board up."`
	Config   string   `placeholder:"FILE" xor:"config" help:"A mien.yaml to put in, instead of the one whose page waits to be set up."`
	Key      []string `placeholder:"FILE" help:"A public key (minisign.pub) whose signed updates the board takes; more than one may be given."`
	Programs string   `default:"build/image" placeholder:"DIR" help:"Where the programs miend and init for linux/arm64 are (${default}); make image builds them."`
	Stamp    string   `placeholder:"TEXT" help:"What the image calls itself (miend's version)."`
	Epoch    int64    `placeholder:"SECONDS" least:"0" help:"The time of all files in it (the commit's time, with make image)."`
}

// Help says what the image is and is not.
func (imageCmd) Help() string {
	return `Writes the image of a card that starts miend on a Raspberry Pi, with nothing to install: flash it with Raspberry Pi Imager or dd, put it in, open http://mien.local/ or the address that the router shows, and the page sets the board up. It needs no root and no Docker; the same input gives the same bytes. The kernel and the boot firmware come through Go's module proxy.

The image is for USB and network cameras; the ribbon (CSI) camera is not in it. The network is Ethernet, the board's own or by USB, with DHCP. There is no Wi-Fi: the kernel has the driver, but its firmware is not to be had with it. There is no ssh and no shell: the page shows the log, and mien deploy --image brings the next image. For Wi-Fi, ssh or CSI take Raspberry Pi OS and the Debian package (make deb).`
}

// Run writes the image.
func (c imageCmd) Run(e env) error {
	began := time.Now()
	if c.Out == "" {
		c.Out = filepath.Join("build", c.Board, "mien-"+c.Board+".img")
	}
	o := image.Options{Board: c.Board, Name: c.Stamp, Time: time.Unix(max(c.Epoch, 315532800), 0).UTC(), // FAT begins in 1980
		Sample: config.Sample, Keys: map[string][]byte{}, Texts: map[string][]byte{}}
	if err := os.MkdirAll(filepath.Dir(c.Out), 0o755); err != nil {
		return err
	}
	for _, p := range []struct {
		name string
		to   *[]byte
	}{{"miend", &o.Miend}, {"init", &o.Init}} {
		path := filepath.Join(c.Programs, p.name)
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("image: there is no %s (make image BOARD=%s builds it)", path, c.Board)
		}
		if err != nil {
			return err
		}
		*p.to = b
		info, err := buildinfo.Read(bytes.NewReader(b))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		var text bytes.Buffer
		if err := (licences.Build{Program: p.name, Version: c.Stamp, Info: info}).Print(&text, "all"); err != nil {
			return err
		}
		o.Texts["licences/"+p.name+".txt"] = text.Bytes()
	}
	for _, p := range licences.Table {
		if p.Only == "image" {
			o.Texts["licences/"+p.Name+".txt"] = []byte(p.Terms + "\n\n" + p.Text())
		}
	}
	for _, path := range c.Key {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		o.Keys[strings.TrimSuffix(filepath.Base(path), ".pub")+".pub"] = b
	}
	said, err := c.configuration(&o)
	if err != nil {
		return err
	}
	if o.Kernel, o.Firmware, err = image.Fetch(e.ctx); err != nil {
		return err
	}
	if err := image.Write(c.Out, o); err != nil {
		return err
	}
	info, err := os.Stat(c.Out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s: %.1f MiB in %.1f s, for a card of 1 GB or more\n%s", c.Out, float64(info.Size())/(1<<20), time.Since(began).Seconds(), said)
	return err
}

// configuration puts mien.yaml in, and says how its page is opened.
func (c imageCmd) configuration(o *image.Options) (said string, err error) {
	if c.Config != "" {
		if c.Name != "" {
			return "", cmdline.Wrong("--name and --config: the name stands in the configuration")
		}
		if o.Config, err = os.ReadFile(c.Config); err != nil {
			return "", err
		}
		_, err = config.ParseWith(c.Config, o.Config, config.Elsewhere)
		return "", err
	}
	token, said := "", "its page, http://mien.local/ or the address that the router shows, sets it up\n"
	if c.Token != "" {
		if token, err = tokenOf(c.Token); err != nil {
			return "", err
		}
		said = fmt.Sprintf("its page, http://mien.local/ or the address that the router shows, asks for the token in %s\n", c.Token)
	}
	if o.Config, err = forImage(config.Sample, c.Name, token); err == nil {
		_, err = config.ParseWith("mien.yaml", o.Config, config.Elsewhere)
	}
	return said, err
}

// tokenOf reads a token, which is made when there is none.
func tokenOf(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(strings.ToLower(rand.Text()) + "\n")
		err = os.WriteFile(path, b, 0o600)
	}
	return strings.TrimSpace(string(b)), err
}

// forImage is the annotated configuration with a name, and with a page for the
// whole network when it has a token.
func forImage(sample []byte, name, token string) ([]byte, error) {
	changes := [][2]string{{"\nname: \"\" ", fmt.Sprintf("\nname: %q ", name)}}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		changes = append(changes, [2]string{"\n  listen: 127.0.0.1:8080 ", "\n  listen: \":80\" "},
			[2]string{"\n  token: \"\" ", fmt.Sprintf("\n  token: %q ", "sha256:"+hex.EncodeToString(sum[:]))})
	}
	for _, c := range changes {
		if bytes.Count(sample, []byte(c[0])) != 1 {
			return nil, fmt.Errorf("image: mien.yaml has no single %q", strings.TrimSpace(c[0]))
		}
		sample = bytes.Replace(sample, []byte(c[0]), []byte(c[1]), 1)
	}
	return sample, nil
}
