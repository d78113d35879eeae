// Package convert quantises any float .tflite file: it reads the file, calibrates
// it with samples of its inputs, writes a file of the same names, signatures and
// metadata, and measures what that cost.
package convert

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"mien/quant"
	"mien/quant/report"
	"mien/quant/samples"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/portable"
)

// Options say how a model is quantised and measured.
type Options struct {
	Recipe quant.Recipe
	Plan   *quant.Plan // carried out instead of Recipe
	// Calibration may be nil where Recipe.Calibrated says so. Measure is what the
	// file is measured with; nil measures nothing.
	Calibration, Measure quant.Samples
	Engine               string // that measures: tflite, portable, or auto
	Limits               report.Limits
	// Brief leaves out of the report which layer hurts most and what to try next,
	// which take most of its time.
	Brief    bool
	Threads  int
	Progress func(step string, done, total int)
}

// Result is a file and what is known of it.
type Result struct {
	*quant.Result
	File        []byte
	Calibration string         // SHA-256 of the samples, in hexadecimal
	Doubts      []string       // about the samples
	Report      *report.Report // nil where nothing was measured
}

// Model is a float model of anybody's, ready to be quantised.
type Model struct {
	Graph *graph.Graph
	Notes []string // what was done to it
	file  []byte
}

// Read reads a .tflite file. Errors say what stands in the way of quantising it,
// and what can be done.
func Read(file []byte) (*Model, error) {
	if lfs(file) {
		return nil, errors.New("this is a Git LFS pointer, not the model: fetch it with git lfs pull")
	}
	g, err := flatfile.Unmarshal(file)
	if err != nil {
		return nil, err
	}
	m := &Model{file: file}
	if m.Graph, m.Notes, err = quant.Prepare(g); err != nil {
		return nil, err
	}
	// Before anything runs, so that no minutes are lost.
	if _, err := portable.Load(m.Graph, portable.Options{}); err != nil {
		return nil, fmt.Errorf("the instrument that calibrates does not compute the model: %w", err)
	}
	return m, nil
}

// FixBatch makes an open batch (-1) that of the file's shapes, 1 in all that
// converters write: the Edge TPU compiler wants it fixed.
func (m *Model) FixBatch() {
	for _, t := range m.Graph.Tensors {
		if len(t.Signature) > 0 && t.Signature[0] == -1 {
			t.Signature = nil
		}
	}
}

func lfs(file []byte) bool {
	return bytes.HasPrefix(file, []byte("version https://git-lfs.github.com/spec/"))
}

// Quantise makes a file of the model. An error of the report's limits is not
// among its errors: see report.Report.Check.
func (m *Model) Quantise(ctx context.Context, o Options) (*Result, error) {
	if err := o.Limits.Check(); err != nil {
		return nil, err
	}
	out := &Result{}
	var err error
	if out.Doubts, err = m.doubts(o); err != nil {
		return nil, err
	}
	usual, note, err := m.usual(ctx, o)
	if err != nil {
		return nil, err
	}
	all := o.Calibration
	o.Calibration = usual
	if out.Result, err = m.build(ctx, o); err != nil {
		return nil, err
	}
	out.Plan.Notes = append(out.Plan.Notes, note...)
	out.Plan.Notes = slices.Concat(m.Notes, out.Plan.Notes)
	if out.File, err = m.marshal(out.Graph); err != nil {
		return nil, err
	}
	if all != nil {
		sum, err := samples.Fingerprint(m.Graph, all)
		if err != nil {
			return nil, err
		}
		out.Calibration = hex.EncodeToString(sum)
	}
	if o.Measure == nil {
		return out, nil
	}
	float, err := flatfile.Marshal(m.Graph)
	if err != nil {
		return nil, err
	}
	in := report.Input{Result: out.Result, File: out.File, Float: float, FloatBytes: len(m.file), Data: o.Measure, Engine: o.Engine,
		Limits: o.Limits, Doubts: out.Doubts, Options: quant.Options{Threads: o.Threads, Progress: o.progress("measuring")}}
	if !o.Brief {
		in.Graph, in.Calibration = m.Graph, o.Calibration
	}
	out.Report, err = report.Compare(ctx, in)
	return out, err
}

func (o *Options) progress(step string) func(done, total int) {
	if o.Progress == nil {
		return nil
	}
	return func(done, total int) { o.Progress(step, done, total) }
}

// doubts looks at the samples before they cost minutes.
func (m *Model) doubts(o Options) ([]string, error) {
	if o.Calibration == nil || o.Plan != nil {
		return nil, nil
	}
	return samples.Doubts(m.Graph, o.Calibration, o.Measure)
}

// usual are the calibration's samples without those that the model answers with
// values far beyond what it answers to the others.
func (m *Model) usual(ctx context.Context, o Options) (usual quant.Samples, note []string, err error) {
	if o.Calibration == nil || o.Plan != nil || !o.Recipe.Calibrated() {
		return o.Calibration, nil, nil
	}
	odd, err := quant.Outliers(ctx, m.Graph, o.Calibration, quant.Options{Threads: o.Threads})
	if err != nil || len(odd) == 0 {
		return o.Calibration, nil, err
	}
	return samples.Without(o.Calibration, odd), []string{fmt.Sprintf(
		"%d of %d samples did not calibrate: the model answers them with values many times as large as the others': %s", len(odd), o.Calibration.Len(), samples.Names(o.Calibration, odd))}, nil
}

func (m *Model) build(ctx context.Context, o Options) (*quant.Result, error) {
	if o.Plan == nil {
		if o.Recipe.Calibrated() && (o.Calibration == nil || o.Calibration.Len() == 0) {
			return nil, fmt.Errorf("mode %s is calibrated with samples of the model's inputs, and there are none", o.Recipe.Mode)
		}
		return quant.Build(ctx, m.Graph, o.Calibration, o.Recipe, quant.Options{Threads: o.Threads, Progress: o.progress("calibrating")})
	}
	res := &quant.Result{Plan: o.Plan.Clone()}
	var err error
	if res.Graph, err = quant.Apply(m.Graph, o.Plan); err != nil {
		return nil, err
	}
	res.Float, err = quant.Equalise(m.Graph, o.Plan.Equal)
	return res, err
}

// marshal writes the quantised graph, and behind it the files that the original
// carried there: labels, mostly, which TensorFlow Lite's metadata speaks of.
func (m *Model) marshal(g *graph.Graph) ([]byte, error) {
	file, err := flatfile.Marshal(g)
	if err != nil {
		return nil, err
	}
	carried, err := zip.NewReader(bytes.NewReader(m.file), int64(len(m.file)))
	if err != nil {
		return file, nil // nothing is there
	}
	b := bytes.NewBuffer(file)
	z := zip.NewWriter(b)
	z.SetOffset(int64(len(file)))
	for _, f := range carried.File {
		if err := z.Copy(f); err != nil {
			return nil, fmt.Errorf("the file %s behind the model: %w", f.Name, err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("the files behind the model: %w", err)
	}
	return io.ReadAll(b)
}
