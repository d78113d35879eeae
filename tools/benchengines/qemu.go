package main

import (
	"context"
	"fmt"
	"io"

	"mien/tools/internal/guest"
)

// table prints the instructions of an inference on arm64 CPUs.
func table(ctx context.Context, w io.Writer, g guest.Guest, models []benchModel) error {
	fmt.Fprintf(w, "\nguest instructions of an inference on arm64, millions\n%-16s %-10s %8s %10s %10s %8s\n", "model", "cpu", engines[0], engines[1], engines[2], "ratio")
	for _, m := range models {
		for _, cpu := range guest.CPUs {
			var n []float64
			for _, e := range engines {
				c, err := g.Count(ctx, cpu, 1, 2, func(rounds int) []string {
					return []string{"-infer", m.path, "-engine", e, "-rounds", fmt.Sprint(rounds)}
				})
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
