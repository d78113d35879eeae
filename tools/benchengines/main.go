// Command benchengines compares the inference engines on the project's
// networks: median latency here at one and two threads, and the instructions
// of an inference on arm64 under QEMU. Its last line is the worst ratio of the
// portable engine's int8 latency to the library's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"os"
	"os/signal"
	"slices"
	"time"

	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/runtime/portable"
	"mien/runtime/tflite"
	"mien/tools/internal/guest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "benchengines:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("benchengines", flag.ContinueOnError)
	f.SetOutput(stderr)
	rounds := f.Int("rounds", 40, "timed inferences of each engine")
	program := f.String("guest", "", "this program built for arm64; counts its instructions under qemu-aarch64")
	plugin := f.String("plugin", "", "the instruction-counting plugin of QEMU")
	libs := f.String("libs", "", "the folder of the library for arm64")
	files := f.String("models", "build/bench", "folder that the models are written to")
	infer := f.String("infer", "", "run this file on -engine -rounds times and nothing else")
	engine := f.String("engine", "portable", "engine of -infer: portable, builtin or xnnpack")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *infer != "" {
		return inferOnly(*infer, *engine, *rounds)
	}
	models, err := writeModels(ctx, *files)
	if err != nil {
		return err
	}
	worst, err := latencies(ctx, stdout, models, *rounds)
	if err != nil {
		return err
	}
	if *program != "" {
		if err := table(ctx, stdout, guest.Guest{Program: *program, Plugin: *plugin, Libs: *libs}, models); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "ratio %.2f\n", worst)
	return nil
}

// engines are the columns of the tables.
var engines = []string{"builtin", "xnnpack", "portable"}

func open(engine string, data []byte, threads int) (infer.Model, error) {
	switch engine {
	case "portable":
		return portable.Open(data, portable.Options{Threads: threads})
	case "builtin", "xnnpack":
		return tflite.Open(data, tflite.Options{Threads: threads, Builtin: engine == "builtin"})
	}
	return nil, fmt.Errorf("no engine %q (there are %v)", engine, engines)
}

// latencies prints a row for each model and thread count and returns the worst
// ratio of the int8 rows. Engines take turns, so that whatever else the
// machine does meets all of them.
func latencies(ctx context.Context, w io.Writer, models []benchModel, rounds int) (worst float64, err error) {
	fmt.Fprintf(w, "median of %d inferences, ms\n%-16s %8s %10s %10s %10s %8s\n", rounds, "model", "threads", engines[0], engines[1], engines[2], "ratio")
	for _, m := range models {
		for _, threads := range []int{1, 2} {
			medians, name, err := measure(ctx, m, threads, rounds)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", m.name, err)
			}
			ratio := medians[2] / min(medians[0], medians[1])
			fmt.Fprintf(w, "%-16s %8d %10.2f %10.2f %10.2f %8.2f   %s\n", m.name, threads, medians[0], medians[1], medians[2], ratio, name)
			if m.int8 {
				worst = max(worst, ratio)
			}
		}
	}
	return worst, nil
}

// Engines take turns of a few inferences, the first of which are not timed. The
// library's threads go on looking for work for 20 ms after an inference; between
// the turns of several threads a pause lets them end, as they would take a core
// from whoever comes next.
const (
	turn, warm = 5, 2
	pause      = 50 * time.Millisecond
)

// measure returns the median milliseconds of each engine and how the portable
// engine calls itself.
func measure(ctx context.Context, m benchModel, threads, rounds int) ([]float64, string, error) {
	var open3 []infer.Model
	defer func() {
		for _, e := range open3 {
			e.Close()
		}
	}()
	for _, name := range engines {
		e, err := open(name, m.data, threads)
		if err != nil {
			return nil, "", err
		}
		open3 = append(open3, e)
	}
	face, scores := testFace(), open3[0].Spec().NewScores()
	times := make([][]float64, len(open3))
	for range (rounds + turn - 1) / turn {
		for i, e := range open3 {
			if threads > 1 {
				time.Sleep(pause)
			}
			for k := range warm + turn {
				if err := ctx.Err(); err != nil {
					return nil, "", err
				}
				start := time.Now()
				if err := e.Predict(face, scores); err != nil {
					return nil, "", err
				}
				if k >= warm {
					times[i] = append(times[i], float64(time.Since(start).Microseconds())/1000)
				}
			}
		}
	}
	medians := make([]float64, len(times))
	for i, t := range times {
		slices.Sort(t)
		medians[i] = t[len(t)/2]
	}
	return medians, open3[2].Engine(), nil
}

// inferOnly is what the guest runs.
func inferOnly(path, engine string, rounds int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	e, err := open(engine, data, 1)
	if err != nil {
		return err
	}
	face, scores := testFace(), e.Spec().NewScores()
	for range rounds {
		if err := e.Predict(face, scores); err != nil {
			return errors.Join(err, e.Close())
		}
	}
	return e.Close()
}

// testFace is a picture with something in every part of it.
func testFace() *image.Gray {
	face := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	for i := range face.Pix {
		face.Pix[i] = uint8(i*i>>4 ^ i*7)
	}
	return face
}
