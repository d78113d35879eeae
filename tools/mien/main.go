// Command mien trains face models, quantises them, proves them and puts them
// on a board.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"mien/train"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "mien:", err)
		os.Exit(exitCode(err))
	}
}

// exitDiverged is the exit status of a training run whose numbers are not
// finite: the settings are to blame, and nothing else that could be mended.
const exitDiverged = 3

func exitCode(err error) int {
	var diverged *train.Diverged
	if errors.As(err, &diverged) {
		return exitDiverged
	}
	return 1
}
