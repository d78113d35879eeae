// Command miend is the firmware: camera frames in, signals out.
package main

import (
	"context"
	"io"

	"mien/device/cmdline"
)

func main() {
	cmdline.Main("miend", func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
		return program().Run(args, stdout, stderr, env{ctx, stdout, stderr, replace})
	})
}
