package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mien/boards"
	"mien/device/cmdline"
	"mien/tools/internal/deploy"
)

type deployCmd struct {
	Host    string        `arg:"" help:"The board, as ssh takes it: NAME or USER@NAME; with --image its page: http://NAME."`
	Board   string        `placeholder:"BOARD" default:"rpi4" check:"board" help:"Which board it is (${default}); its package is looked for in build/BOARD."`
	Package string        `placeholder:"FILE.deb" help:"Another package."`
	Watch   time.Duration `default:"10s" help:"How long the firmware has to stay up (${default})." least:"1s"`
	Image   string        `placeholder:"FILE.img" help:"For a board that runs the mien image: the next image, with its signature beside it as FILE.img.minisig."`
	Token   string        `placeholder:"FILE" help:"With --image: a file with the token of the board's page."`
}

// Run puts the firmware on a board.
func (c deployCmd) Run(e env) error {
	if c.Image != "" {
		return c.image(e)
	}
	pkg := c.Package
	if pkg == "" {
		if _, err := boards.ByName(c.Board); err != nil {
			return err
		}
		found, err := filepath.Glob(filepath.Join("build", c.Board, "mien_*.deb"))
		if err != nil {
			return err
		}
		if len(found) != 1 {
			return fmt.Errorf("deploy: %d packages in build/%s, want one (make deb BOARD=%s)", len(found), c.Board, c.Board)
		}
		pkg = found[0]
	}
	err := deploy.Run(e.ctx, deploy.Options{Host: c.Host, Package: pkg, Watch: int(c.Watch / time.Second), Out: e.stdout})
	if err == nil {
		_, err = fmt.Fprintf(e.stdout, "%s runs %s\n", c.Host, filepath.Base(pkg))
	}
	return err
}

// image hands a board the next image and waits for what becomes of it.
func (c deployCmd) image(e env) error {
	if !strings.HasPrefix(c.Host, "http://") && !strings.HasPrefix(c.Host, "https://") {
		return cmdline.Wrong("with --image the board is the address of its page, such as http://mien.local, not %q", c.Host)
	}
	token := ""
	if c.Token != "" {
		b, err := os.ReadFile(c.Token)
		if err != nil {
			return err
		}
		token = strings.TrimSpace(string(b))
	}
	name, err := deploy.Image(e.ctx, deploy.ImageOptions{Page: strings.TrimRight(c.Host, "/"), Token: token, Image: c.Image, Out: e.stdout})
	if err == nil {
		_, err = fmt.Fprintf(e.stdout, "%s runs %s\n", c.Host, name)
	}
	return err
}
