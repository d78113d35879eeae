// Command mien trains face models, quantises them, proves them and puts them
// on a board.
package main

import (
	"context"
	"errors"
	"io"
	"syscall"

	"mien/device/cmdline"
	"mien/train"
)

func main() {
	cmdline.Main("mien", mien, syscall.SIGHUP) // a run saves when its terminal goes away
}

// exitDiverged is the exit status of a training run whose numbers are not
// finite: the settings are to blame, and nothing else that could be mended.
const exitDiverged = 3

// mien is run with that status.
func mien(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	err := run(ctx, args, stdout, stderr)
	var diverged *train.Diverged
	if errors.As(err, &diverged) {
		return &cmdline.Exit{Status: exitDiverged, Err: err}
	}
	return err
}
