// Command benchface measures finding and levelling faces beside the peers: each
// picture goes through every finder in turn, on one thread.
//
// Frames are composed of faces on many backgrounds (runtime/face/facetest), so
// it is known where the faces are. The faces are NASA's portrait, or the crops in
// a folder. Photographs with their surroundings, and faces with marked eyes, are
// read from folders that are named.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"slices"
	"text/tabwriter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchface:", err)
		os.Exit(1)
	}
}

type options struct {
	faces, wild, landmarks string // folders
	out, python, script    string
	network                string // the peer's file
	frames, most, scenes   int
	seed                   uint64
	guest, plugin, libs    string // for counting instructions
}

func run(ctx context.Context, args []string, w io.Writer) error {
	var o options
	set := flag.NewFlagSet("benchface", flag.ContinueOnError)
	set.StringVar(&o.faces, "faces", "", "folder of crops of faces, framed as UTKFace's; empty: the portrait")
	set.StringVar(&o.wild, "wild", "", "folder of photographs with the face in the middle, and ground_truth.json; empty: none")
	set.StringVar(&o.landmarks, "landmarks", "", "folder of faces with marked eyes, and landmarks.csv; empty: none")
	set.StringVar(&o.out, "out", "build/bench/frames", "where the frames go")
	set.StringVar(&o.python, "python", "/usr/bin/python3", "a Python with OpenCV; none: without it")
	set.StringVar(&o.script, "script", "tools/benchface/opencv.py", "the peer")
	set.StringVar(&o.network, "network", "runtime/face/network/blazeface.tflite", "what the peer runs in the TensorFlow Lite library; none: nothing")
	set.IntVar(&o.frames, "frames", 200, "composed frames of each kind; half as many more have no face")
	set.IntVar(&o.most, "most", 1500, "faces with marked eyes at most, spread over all")
	set.IntVar(&o.scenes, "scenes", 120, "scenes without a face, a second of 30 frames each")
	set.Uint64Var(&o.seed, "seed", 1, "seed of the frames")
	set.StringVar(&o.guest, "guest", "", "this program built for arm64; counts its instructions under qemu-aarch64")
	set.StringVar(&o.plugin, "plugin", "", "the instruction-counting plugin of QEMU")
	set.StringVar(&o.libs, "libs", "", "the folder of the library for arm64")
	steady := set.String("steady", "", "run -rounds frames of one face through this finder and nothing else")
	rounds := set.Int("rounds", 100, "frames of -steady")
	if err := set.Parse(args); err != nil {
		return err
	}
	if *steady != "" {
		return runSteady(*steady, o.network, *rounds)
	}
	if o.frames < 2 || o.most < 1 || o.scenes < 0 {
		return errors.New("want at least 2 frames and a face")
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	finders, err := open(o)
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range finders {
			f.close()
		}
	}()
	return errors.Join(compare(ctx, w, o, finders), empty(ctx, w, o), instructions(ctx, w, o))
}

// compare prints a table for each set of pictures.
func compare(ctx context.Context, w io.Writer, o options, finders []finder) error {
	var ratio float64
	for _, s := range sets(o) {
		pictures, err := s.pictures()
		if err != nil {
			return err
		}
		results := make([]result, len(finders))
		for _, p := range pictures {
			if err := ctx.Err(); err != nil {
				return err
			}
			for i, f := range finders {
				seen, ms, err := f.look(p.path)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", f.name(), p.path, err)
				}
				results[i].add(&p, seen, ms)
			}
		}
		if err := s.report(w, finders, results); err != nil {
			return err
		}
		if ratio == 0 {
			ratio = results[len(results)-1].median() / results[0].median()
		}
	}
	_, err := fmt.Fprintf(w, "ratio %.2f (%s's median over ours, in the first table)\n\n", ratio, finders[len(finders)-1].name())
	return err
}

// result sums up what a finder saw of a set.
type result struct {
	faces, found, eyes, level, wrong int
	off, ms                          []float64 // degrees off level; milliseconds
}

// closeEnough is how far off level eyes may be, in degrees.
const closeEnough = 5

// add counts what was seen in a picture: a face where it is, everything else as
// false.
func (r *result) add(p *truth, faces []seen, ms float64) {
	r.ms = append(r.ms, ms)
	var best *seen
	for i := range faces {
		if f := &faces[i]; p.is != nil && p.is(f) && (best == nil || f.side > best.side) {
			best = f
		}
	}
	r.wrong += len(faces)
	if p.is != nil {
		r.faces++
	}
	if best == nil {
		return
	}
	r.wrong--
	r.found++
	if !best.eyes {
		return
	}
	r.eyes++
	if p.levelled {
		off := math.Abs(best.tilt - p.tilt)
		if r.off = append(r.off, off); off < closeEnough {
			r.level++
		}
	}
}

func (r *result) median() float64 { return median(r.ms) }

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// report prints a set's table.
func (s *set) report(w io.Writer, finders []finder, results []result) error {
	fmt.Fprintf(w, "%s: %d pictures, %d faces\n", s.name, len(results[0].ms), results[0].faces)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tfound\tof\tboth eyes\tlevel within 5\tmedian off\tfalse\tmedian ms\t")
	for i, f := range finders {
		r := &results[i]
		level, off := "-", "-"
		if len(r.off) > 0 {
			level, off = share(r.level, r.faces), fmt.Sprintf("%.2f", median(r.off))
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%d\t%.2f\t\n", f.name(), r.found, share(r.found, r.faces), share(r.eyes, r.faces), level, off, r.wrong, r.median())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

func share(n, of int) string { return fmt.Sprintf("%.3f", float64(n)/float64(of)) }
