// Command benchtrain compares the trainer's speed with PyTorch's: steps of the
// paper's network, batch 32, forward, backward and Adam, on the same number
// of threads, in turns within the same minute. A figure is the median step's.
// Ours comes in float32, as PyTorch's, and in bfloat16. The last line is
// `ratio R`, our images/s in float32 over PyTorch's.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/nn"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchtrain:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("benchtrain", flag.ContinueOnError)
	threads := flags.Int("threads", 2, "threads of both")
	seconds := flags.Float64("seconds", 8, "seconds of one turn")
	turns := flags.Int("turns", 3, "turns of each")
	batch := flags.Int("batch", 32, "our batch; PyTorch's is 32")
	python := flags.String("python", "/usr/bin/python3", "Python that has torch")
	script := flags.String("script", "train/nn/testdata/torch_paper.py", "PyTorch's side")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ours, err := newTrainer(nn.Float32, *batch, *threads)
	if err != nil {
		return err
	}
	half, err := newTrainer(nn.Bfloat16, *batch, *threads)
	if err != nil {
		return err
	}
	var mine, halves, theirs []float64
	for turn := range *turns {
		peer, err := torch(*python, *script, *threads, *seconds)
		if err != nil {
			return err
		}
		own, err := ours.measure(*seconds)
		if err != nil {
			return err
		}
		rough, err := half.measure(*seconds)
		if err != nil {
			return err
		}
		mine, halves, theirs = append(mine, own), append(halves, rough), append(theirs, peer)
		fmt.Fprintf(stdout, "turn %d: mien float32 %.1f images/s, bfloat16 %.1f; PyTorch float32 %.1f images/s, %d threads\n", turn+1, own, rough, peer, *threads)
	}
	own, peer := median(mine), median(theirs)
	how := ""
	if !nn.Bfloat16.Fast() {
		how = ", on a processor without AMX"
	}
	fmt.Fprintf(stdout, "mien bfloat16 %.1f images/s%s\n", median(halves), how)
	fmt.Fprintf(stdout, "mien float32 %.1f images/s\nPyTorch float32 %.1f images/s\nratio %.2f\n", own, peer, own/peer)
	return nil
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// torch asks the script for images/s.
func torch(python, script string, threads int, seconds float64) (float64, error) {
	cmd := exec.Command(python, script, "bench", strconv.Itoa(threads), fmt.Sprint(seconds))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%w: PyTorch for %s comes with: apt-get install python3-torch python3-numpy",
			errors.Join(fmt.Errorf("%s %s", python, script), err), python)
	}
	rate, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", python, script, err)
	}
	return rate, nil
}

type trainer struct {
	net     *nn.Net
	adam    nn.Adam
	batch   nn.Batch
	weights []float64
	key     uint64
}

func newTrainer(p nn.Precision, batch, threads int) (*trainer, error) {
	net, err := nn.NewIn(p, arch.Paper(model.Heads()), batch, threads)
	if err != nil {
		return nil, err
	}
	net.Init(1)
	rng := rand.New(rand.NewPCG(1, 1))
	t := &trainer{net: net, batch: nn.Batch{N: batch}, weights: []float64{2, 0.1, 1.5, 4}}
	for range batch * 50 * 50 {
		t.batch.X = append(t.batch.X, rng.Float32())
	}
	for _, h := range net.Arch.Heads {
		target, weight := make([]float32, batch*len(h.Labels)), make([]float32, batch)
		for i := range weight {
			target[i*len(h.Labels)+rng.IntN(len(h.Labels))], weight[i] = 1, 1
		}
		t.batch.Target, t.batch.Weight = append(t.batch.Target, target), append(t.batch.Weight, weight)
	}
	return t, nil
}

// measure trains for a while and returns images/s of the median step.
func (t *trainer) measure(seconds float64) (float64, error) {
	var took []float64
	for begin := time.Now(); time.Since(begin).Seconds() < seconds; {
		start := time.Now()
		t.key++
		if _, err := t.net.Step(&t.batch, t.weights, t.key); err != nil {
			return 0, err
		}
		if err := t.adam.Step(t.net); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start).Seconds())
	}
	return float64(t.batch.N) / median(took), nil
}
