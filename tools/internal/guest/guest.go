// Package guest counts the instructions of a program that was built for arm64,
// under qemu-aarch64 with the plugin tools/benchengines/plugin.
package guest

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// CPUs are one without and one with the dot product instructions.
var CPUs = []string{"cortex-a53", "cortex-a76"}

// Guest is a program, the plugin, and the folder of the TensorFlow Lite library
// for arm64.
type Guest struct{ Program, Plugin, Libs string }

// Count runs the program with the arguments for few and for many rounds, and
// returns the instructions of one of the rounds between: without what comes
// before the first and what the first few still have to settle.
func (g Guest) Count(ctx context.Context, cpu string, few, many int, args func(rounds int) []string) (float64, error) {
	a, err := g.total(ctx, cpu, args(few))
	if err != nil {
		return 0, err
	}
	b, err := g.total(ctx, cpu, args(many))
	if err != nil {
		return 0, err
	}
	return (b - a) / float64(many-few), nil
}

var counted = regexp.MustCompile(`guest instructions: (\d+)`)

func (g Guest) total(ctx context.Context, cpu string, args []string) (float64, error) {
	args = append([]string{"-cpu", cpu, "-L", "/usr/aarch64-linux-gnu",
		"-E", "LD_LIBRARY_PATH=" + g.Libs, "-E", "GOMAXPROCS=1", "-E", "GOGC=off", "-plugin", g.Plugin, g.Program}, args...)
	cmd := exec.CommandContext(ctx, "qemu-aarch64", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("qemu-aarch64 (Debian package qemu-user): %w: %s", err, stderr.String())
	}
	m := counted.FindSubmatch(stderr.Bytes())
	if m == nil {
		return 0, fmt.Errorf("qemu-aarch64 printed no count: %s", stderr.String())
	}
	return strconv.ParseFloat(string(m[1]), 64)
}
