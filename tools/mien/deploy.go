package main

import (
	"fmt"
	"path/filepath"
	"time"

	"mien/boards"
	"mien/tools/internal/deploy"
)

type deployCmd struct {
	Host    string        `arg:"" help:"The board, as ssh takes it: NAME or USER@NAME."`
	Board   string        `placeholder:"BOARD" default:"rpi4" check:"board" help:"Which board it is (${default}); its package is looked for in build/BOARD."`
	Package string        `placeholder:"FILE.deb" help:"Another package."`
	Watch   time.Duration `default:"10s" help:"How long the firmware has to stay up (${default})." least:"1s"`
}

// Run puts the firmware on a board.
func (c deployCmd) Run(e env) error {
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
