package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
)

// qemu counts the instructions of an inference on arm64 CPUs.
type qemu struct {
	program, plugin, libs string
}

// cpus are one without and one with the dot product instructions.
var cpus = []string{"cortex-a53", "cortex-a76"}

func (q qemu) table(ctx context.Context, w io.Writer, models []benchModel) error {
	fmt.Fprintf(w, "\nguest instructions of an inference on arm64, millions\n%-16s %-10s %8s %10s %10s %8s\n", "model", "cpu", engines[0], engines[1], engines[2], "ratio")
	for _, m := range models {
		for _, cpu := range cpus {
			var n []float64
			for _, e := range engines {
				c, err := q.count(ctx, cpu, e, m.path)
				if err != nil {
					return err
				}
				n = append(n, c/1e6)
			}
			fmt.Fprintf(w, "%-16s %-10s %8.1f %10.1f %10.1f %8.2f\n", m.name, cpu, n[0], n[1], n[2], n[2]/min(n[0], n[1]))
		}
	}
	return nil
}

// count runs one and then two inferences: the difference is what one takes,
// without what comes before the first.
func (q qemu) count(ctx context.Context, cpu, engine, model string) (float64, error) {
	one, err := q.total(ctx, cpu, engine, model, 1)
	if err != nil {
		return 0, err
	}
	two, err := q.total(ctx, cpu, engine, model, 2)
	if err != nil {
		return 0, err
	}
	return two - one, nil
}

var counted = regexp.MustCompile(`guest instructions: (\d+)`)

func (q qemu) total(ctx context.Context, cpu, engine, model string, rounds int) (float64, error) {
	cmd := exec.CommandContext(ctx, "qemu-aarch64", "-cpu", cpu, "-L", "/usr/aarch64-linux-gnu",
		"-E", "LD_LIBRARY_PATH="+q.libs, "-E", "GOMAXPROCS=1", "-E", "GOGC=off", "-plugin", q.plugin,
		q.program, "-infer", model, "-engine", engine, "-rounds", strconv.Itoa(rounds))
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
