// Command benchquantise quantises public float models with the defaults of mien
// quantize, and measures the files.
//
// "benchquantise zoo" takes models of MediaPipe's packages: how far each file is
// from float, and how far apart TensorFlow Lite and the portable engine are on it.
// "benchquantise pairs" takes float models whose publishers quantised them, too,
// from a folder: which of the two int8 files is nearer to float on inputs that
// calibrated neither. It also holds what inspect says of an Edge TPU against what
// Coral's compiler made of the same files.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"mien/quant"
	"mien/quant/convert"
	"mien/quant/report"
	"mien/quant/samples"
	"mien/runtime/atomicfile"
	"mien/tools/internal/npm"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchquantise:", err)
		os.Exit(1)
	}
}

type options struct {
	cache, out, models, pictures, only string
	most                               int
	report                             bool
}

func run(ctx context.Context, args []string, w io.Writer) error {
	if len(args) == 0 || args[0] != "zoo" && args[0] != "pairs" {
		return errors.New("usage: benchquantise zoo|pairs [flags]")
	}
	var o options
	set := flag.NewFlagSet("benchquantise "+args[0], flag.ContinueOnError)
	set.StringVar(&o.cache, "cache", "build/npm", "where packages are kept")
	set.StringVar(&o.out, "out", "build/zoo", "where files and reports go")
	set.StringVar(&o.models, "models", "", "pairs: folder of models that nobody serves by hash; without it there is no pair")
	set.StringVar(&o.pictures, "pictures", "", "zoo: folder of pictures; without it they are composed, of one portrait")
	set.StringVar(&o.only, "only", "*", "zoo: models whose names match")
	set.IntVar(&o.most, "most", 60, "zoo: how many pictures to take")
	set.BoolVar(&o.report, "advice", false, "zoo: reports say which layer hurts most, too, and what to try next, which takes most of the time")
	if err := set.Parse(args[1:]); err != nil {
		return err
	}
	if args[0] == "pairs" {
		return comparePairs(ctx, w, o)
	}
	return quantiseZoo(ctx, w, o)
}

// file returns a model's file.
func (m public) file(o options) ([]byte, error) {
	archive, err := m.from.Kept(o.cache)
	if err != nil {
		return nil, err
	}
	b, err := npm.File(archive, m.in)
	if err != nil {
		return nil, err
	}
	if m.size > 0 {
		if m.at+m.size > len(b) {
			return nil, fmt.Errorf("%s has %d bytes", m.in, len(b))
		}
		b = b[m.at:][:m.size]
	}
	return b, is(b, m.sha256)
}

func is(b []byte, sum string) error {
	if got := sha256.Sum256(b); hex.EncodeToString(got[:]) != sum {
		return fmt.Errorf("sha256 %x, want %s", got, sum)
	}
	return nil
}

// quantiseZoo quantises every model. What fails does not keep the others from
// being tried.
func quantiseZoo(ctx context.Context, w io.Writer, o options) error {
	pictures, err := folder(o)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "model\tarchitecture\tbytes\tint8\tleast SNR, dB\tcosine\tmedian picture, dB\tengines apart, steps")
	var failed []error
	apart, architectures, n := 0, map[string]bool{}, 0
	for _, m := range models {
		if ok, err := path.Match(o.only, m.name); err != nil || !ok {
			if err != nil {
				return err
			}
			continue
		}
		b, err := m.file(o)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		r, err := quantise(ctx, m, b, pictures, o)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", m.name, err))
			fmt.Fprintf(t, "%s\t%s\t%d\t%v\n", m.name, m.architecture, len(b), err)
			continue
		}
		row(t, m, len(b), r)
		t.Flush()
		architectures[m.architecture] = true
		n++
		if steps(r) > 1 {
			apart++
		}
	}
	t.Flush()
	fmt.Fprintf(w, "%d models of %d architectures quantised, %d refused; in %d the engines are more than a step apart\n", n, len(architectures), len(failed), apart)
	return errors.Join(failed...)
}

// quantise writes a model's int8 file and its report.
func quantise(ctx context.Context, m public, file []byte, pictures string, o options) (*report.Report, error) {
	c, err := convert.Read(file)
	if err != nil {
		return nil, err
	}
	n, err := samples.ParseNormalise(m.normalise)
	if err != nil {
		return nil, err
	}
	all, err := samples.ReadPictures(pictures, c.Graph, samples.PictureOptions{Normalise: n, Resize: samples.Crop, Most: o.most})
	if err != nil {
		return nil, err
	}
	calibration, measure := samples.Split(all)
	res, err := c.Quantise(ctx, convert.Options{Recipe: quant.DefaultRecipe(quant.Int8), Calibration: calibration, Measure: measure, Brief: !o.report})
	if err != nil {
		return nil, err
	}
	at := filepath.Join(o.out, m.name)
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	if err := atomicfile.Write(at+".tflite", res.File); err != nil {
		return nil, err
	}
	return res.Report, res.Report.Save(at)
}

// steps is how far the engines are apart, or NaN where one of them does not run
// the file.
func steps(r *report.Report) float64 {
	most := 0.0
	for _, o := range r.Outputs {
		if o.Steps == nil {
			return math.NaN()
		}
		most = max(most, *o.Steps)
	}
	return most
}

func bySNR(a, b report.Output) int { return cmp.Compare(a.SNR, b.SNR) }

func row(w io.Writer, m public, bytes int, r *report.Report) {
	worst := slices.MinFunc(r.Outputs, bySNR)
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.1f\t%.5f\t%.1f\t%v\n", m.name, m.architecture, bytes, r.Bytes, worst.SNR, worst.Cosine, worst.MedianSNR, steps(r))
}

// comparePairs compares the publishers' int8 files and ours with float.
func comparePairs(ctx context.Context, w io.Writer, o options) error {
	if o.models == "" {
		fmt.Fprintln(w, "no pair was compared: MODELS=DIR of make bench-quantise, or -models, names a folder with these files, which nobody serves by version and hash:")
		for _, p := range pairs {
			fmt.Fprintf(w, "  %s, %s (%s)\n", p.float, p.int8, p.publisher)
		}
		for _, c := range twins {
			fmt.Fprintf(w, "  %s, %s (Coral's compiler)\n", c.source, c.twin)
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "float model\tits publisher\t\tSNR, dB\tcosine\ttop 1\tbytes")
	n, nearer := 0, 0
	for _, p := range pairs {
		theirs, ours, err := p.compare(ctx, o)
		if err != nil {
			fmt.Fprintf(t, "%s\t%s\tno pair: %v\n", p.float, p.publisher, err)
			continue
		}
		n++
		better := ours.SNR > theirs.SNR
		if better {
			nearer++
		}
		for i, f := range []measured{theirs, ours} {
			fmt.Fprintf(t, "%s\t%s\t%s\t%.1f\t%.5f\t%s\t%d\n", p.float, p.publisher, []string{"theirs", "ours"}[i], f.SNR, f.Cosine, f.top1(), f.bytes)
		}
	}
	t.Flush()
	fmt.Fprintf(w, "%d of %d pairs: ours is nearer to float\n\n", nearer, n)
	if n-nearer > 1 {
		return fmt.Errorf("on %d of %d pairs the publisher's file is nearer to float; one is allowed", n-nearer, n)
	}
	return compareTwins(w, o)
}

// measured is a file's output that is farthest from float.
type measured struct {
	report.Output
	bytes int
}

func (m measured) top1() string {
	if m.Top1 == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", 100*(*m.Top1))
}

func (p pair) compare(ctx context.Context, o options) (theirs, ours measured, err error) {
	var files [2][]byte
	for i, name := range []string{p.float, p.int8} {
		if files[i], err = os.ReadFile(filepath.Join(o.models, name)); err != nil {
			return theirs, ours, err
		}
		if err := is(files[i], p.sha256[i]); err != nil {
			return theirs, ours, fmt.Errorf("%s: %w", name, err)
		}
	}
	m, err := convert.Read(files[0])
	if err != nil {
		return theirs, ours, err
	}
	calibration, measure, err := p.samples(m, o)
	if err != nil {
		return theirs, ours, err
	}
	res, err := m.Quantise(ctx, convert.Options{Recipe: quant.DefaultRecipe(quant.Int8), Calibration: calibration})
	if err != nil {
		return theirs, ours, err
	}
	worst := func(file []byte) (measured, error) {
		all, err := report.Outputs(ctx, report.Input{Float: files[0], File: file, Data: measure})
		if err != nil {
			return measured{}, err
		}
		return measured{slices.MinFunc(all, bySNR), len(file)}, nil
	}
	if theirs, err = worst(files[1]); err != nil {
		return theirs, ours, err
	}
	ours, err = worst(res.File)
	return theirs, ours, err
}
