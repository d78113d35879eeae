package quant

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"mien/runtime/graph"
	"mien/runtime/portable"
)

// Bins is the number of bins of a histogram.
const Bins = 2048

// Stats is what ran through a graph's activations.
type Stats struct {
	Faces   int
	Tensors map[string]*TensorStats
}

// TensorStats is what was seen of one activation.
type TensorStats struct {
	Min, Max       float32
	AvgMin, AvgMax float64 // moving average over the faces
	// Hist counts the values in Bins equal steps from Min to Max.
	Hist []uint64
	// Mean and Peak are each channel's mean and largest magnitude. Channels
	// are the last dimension.
	Mean []float64
	Peak []float32
	// Bounds, of an input, is the range that it can have whatever was seen.
	Bounds *[2]float64
}

// momentum of the moving average, one step for each face.
const momentum = 0.98

// Options of what looks at samples. Progress, when set, is told from one
// goroutine at a time how many of total steps are done.
type Options struct {
	Threads  int // 0 means one for each CPU
	Progress func(done, total int)
	// Stats, for Build, are what Calibrate gave for the same graph and samples.
	Stats *Stats
}

func (o Options) threads(n int) int {
	t := o.Threads
	if t <= 0 {
		t = runtime.GOMAXPROCS(0)
	}
	return max(1, min(t, n))
}

// Calibrate runs the samples through the float graph g and returns what it saw.
// The result depends on the samples and their order alone.
func Calibrate(ctx context.Context, g *graph.Graph, samples Samples, o Options) (*Stats, error) {
	if samples == nil || samples.Len() == 0 {
		return nil, errors.New("quant: no samples to calibrate with")
	}
	watch := activations(g)
	spans := make([][]span, samples.Len()) // by face, then as in watch
	sums := newChannelSums(g, watch)
	tick := o.ticker(2 * samples.Len())
	err := runSamples(ctx, g, samples, o.threads(samples.Len()), func(i int, s *portable.Session) error {
		spans[i] = make([]span, len(watch))
		for k, t := range watch {
			v := s.Float32(t)
			var err error
			if spans[i][k], err = spanOf(v); err != nil {
				return fmt.Errorf("quant: %s: tensor %s: %w", NameOf(samples, i), g.Tensors[t].Name, err)
			}
			sums[k].add(v)
		}
		tick()
		return nil
	})
	if err != nil {
		return nil, err
	}
	stats := make([]*TensorStats, len(watch))
	for k := range watch {
		stats[k] = summarise(spans, k)
		stats[k].Mean, stats[k].Peak = sums[k].result()
	}
	err = runSamples(ctx, g, samples, o.threads(samples.Len()), func(_ int, s *portable.Session) error {
		for k, t := range watch {
			stats[k].count(s.Float32(t))
		}
		tick()
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &Stats{Faces: samples.Len(), Tensors: map[string]*TensorStats{}}
	for k, t := range watch {
		out.Tensors[g.Tensors[t].Name] = stats[k]
	}
	for k, t := range g.Inputs {
		if lo, hi, ok := samples.Bounds(k); ok && out.Tensors[g.Tensors[t].Name] != nil {
			out.Tensors[g.Tensors[t].Name].Bounds = &[2]float64{lo, hi}
		}
	}
	return out, nil
}

// ticker counts steps for Progress.
func (o Options) ticker(total int) func() {
	if o.Progress == nil {
		return func() {}
	}
	var mu sync.Mutex
	done := 0
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		o.Progress(done, total)
	}
}

// activations lists the tensors that are computed or given, as float32.
func activations(g *graph.Graph) []int {
	var out []int
	for i, t := range g.Tensors {
		if !t.Const() && t.Type == graph.Float32 {
			out = append(out, i)
		}
	}
	return out
}

// runSamples runs every sample through g and calls look after each, from
// several goroutines.
func runSamples(ctx context.Context, g *graph.Graph, samples Samples, threads int, look func(i int, s *portable.Session) error) error {
	return runKept(ctx, g, samples, threads, true, look)
}

// runKept is runSamples; without keep, look sees inputs and outputs only, and
// gets them faster.
func runKept(ctx context.Context, g *graph.Graph, samples Samples, threads int, keep bool, look func(i int, s *portable.Session) error) error {
	n, err := portable.Load(g, portable.Options{Keep: keep})
	if err != nil {
		return fmt.Errorf("quant: %w", err)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, threads)
	for w := range threads {
		wg.Go(func() {
			s := n.NewSession()
			defer s.Close()
			f := feeder{g: g}
			for errs[w] == nil {
				i := int(next.Add(1) - 1)
				if i >= samples.Len() {
					return
				}
				if errs[w] = ctx.Err(); errs[w] == nil {
					errs[w] = f.feed(s, samples, i)
				}
				if errs[w] == nil {
					s.Run()
					errs[w] = look(i, s)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func zeroOf(q *graph.Quant) int64 {
	if len(q.Zero) == 0 {
		return 0
	}
	return q.Zero[0]
}

type span struct{ lo, hi float32 }

func spanOf(v []float32) (span, error) {
	s := span{float32(math.Inf(1)), float32(math.Inf(-1))}
	for _, x := range v {
		if x < s.lo {
			s.lo = x
		}
		if x > s.hi {
			s.hi = x
		}
		if x != x {
			return s, errors.New("the network computes NaN of it: it is not what the model takes, or the weights are damaged")
		}
	}
	if math.IsInf(float64(s.hi-s.lo), 0) {
		return s, errors.New("the network computes infinity of it: it is not what the model takes, or the weights are damaged")
	}
	return s, nil
}

func summarise(spans [][]span, k int) *TensorStats {
	first := spans[0][k]
	s := &TensorStats{Min: first.lo, Max: first.hi, AvgMin: float64(first.lo), AvgMax: float64(first.hi), Hist: make([]uint64, Bins)}
	for _, face := range spans[1:] {
		x := face[k]
		s.Min, s.Max = min(s.Min, x.lo), max(s.Max, x.hi)
		s.AvgMin = momentum*s.AvgMin + (1-momentum)*float64(x.lo)
		s.AvgMax = momentum*s.AvgMax + (1-momentum)*float64(x.hi)
	}
	return s
}

// count adds values to the histogram. Several goroutines may count.
func (s *TensorStats) count(v []float32) {
	var local [Bins + 1]uint32
	scale := float32(0)
	if s.Max > s.Min {
		scale = Bins / (s.Max - s.Min)
	}
	for _, x := range v {
		local[min(uint32((x-s.Min)*scale), Bins)]++
	}
	local[Bins-1] += local[Bins]
	for i, n := range local[:Bins] {
		if n != 0 {
			atomic.AddUint64(&s.Hist[i], uint64(n))
		}
	}
}

// channelSums adds up channels. The sums are integers, so that their order,
// which the threads decide, does not matter.
type channelSums struct {
	mu   sync.Mutex
	n    int64
	sum  []int64
	peak []float32
}

// sumScale is the fixed point of a face's channel mean: 2^-24 is far finer
// than what bias correction corrects, and 2^39 faces-times-value fit.
const sumScale = 1 << 24

func newChannelSums(g *graph.Graph, watch []int) []*channelSums {
	out := make([]*channelSums, len(watch))
	for k, t := range watch {
		c := channelsOf(g.Tensors[t])
		out[k] = &channelSums{sum: make([]int64, c), peak: make([]float32, c)}
	}
	return out
}

func channelsOf(t *graph.Tensor) int {
	if len(t.Shape) == 0 {
		return 1
	}
	return max(t.Shape[len(t.Shape)-1], 1)
}

func (c *channelSums) add(v []float32) {
	ch := len(c.sum)
	sum, peak := make([]float64, ch), make([]float32, ch)
	for at := 0; at+ch <= len(v); at += ch {
		for k, x := range v[at : at+ch] {
			sum[k] += float64(x)
			if x < 0 {
				x = -x
			}
			if x > peak[k] {
				peak[k] = x
			}
		}
	}
	pixels := float64(len(v) / ch)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	for k := range sum {
		c.sum[k] += int64(math.Round(sum[k] / pixels * sumScale))
		c.peak[k] = max(c.peak[k], peak[k])
	}
}

func (c *channelSums) result() (mean []float64, peak []float32) {
	mean = make([]float64, len(c.sum))
	for k, s := range c.sum {
		mean[k] = float64(s) / sumScale / float64(max(c.n, 1))
	}
	return mean, c.peak
}
