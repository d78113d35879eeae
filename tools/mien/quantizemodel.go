package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mien/quant"
	"mien/quant/convert"
	"mien/quant/report"
	"mien/quant/samples"
)

// modelFlags are those of mien quantize MODEL.tflite.
type modelFlags struct {
	Pictures        string   `help:"Folder of pictures to calibrate a model with." placeholder:"DIR" group:"Any model:"`
	Normalise       string   `help:"What the model takes a pixel for: mean,std of (pixel-mean)/std, or three of each. By default 127.5,127.5, -1 to 1; 0,255 is 0 to 1." placeholder:"MEAN,STD" group:"Any model:"`
	Order           string   `help:"What the channels are: rgb, bgr, or grey in all." placeholder:"NAME" default:"" enum:",rgb,bgr,grey" group:"Any model:"`
	Resize          string   `help:"How pictures fill the input: stretch, crop (the middle) or fit (black beside)." default:"stretch" enum:"stretch,crop,fit" group:"Any model:"`
	Arrays          []string `help:"Arrays to calibrate a model with: F.npz, or NAME=F.npy for each input." placeholder:"F.npz" group:"Any model:"`
	MeasurePictures string   `help:"Folder of other pictures to measure with. By default every fifth of --pictures is kept for it." placeholder:"DIR" group:"Any model:"`
	MeasureArrays   []string `help:"Arrays to measure with." placeholder:"F.npz" group:"Any model:"`
	Batch           int      `help:"1 fixes an open batch (-1), as the Edge TPU's compiler wants it." placeholder:"1" default:"0" enum:"0,1" group:"Any model:"`
	MinSNR          *float64 `name:"min-snr" help:"Exit with an error when an output of the file has a lower signal-to-noise ratio to the float model's, in dB." placeholder:"DB" group:"Any model:"`
	MaxError        *float64 `help:"Exit with an error when a value of an output is farther from the float model's." placeholder:"X" group:"Any model:"`
}

// which says whether one model is named, and a checkpoint by the right name.
func (c *quantizeCmd) which() error {
	if ext := strings.ToLower(filepath.Ext(c.Model)); ext == ".safetensors" {
		if c.Checkpoint != "" {
			return errors.New("two checkpoints are named")
		}
		c.Model, c.Checkpoint = "", c.Model
	}
	switch {
	case c.Model == "" && c.Checkpoint == "":
		return errors.New("name a model: mien quantize MODEL.tflite, or --checkpoint F.safetensors")
	case c.Model != "" && c.Checkpoint != "":
		return fmt.Errorf("%s and --checkpoint %s: one model at a time", c.Model, c.Checkpoint)
	case c.Model == "" && (c.Pictures != "" || len(c.Arrays) > 0):
		return errors.New("--pictures and --arrays are for a .tflite model; a checkpoint is calibrated with --calibrate KIND:DIR")
	case c.Model != "" && len(c.Calibrate) > 0:
		return errors.New("--calibrate is for checkpoints; a .tflite model is calibrated with --pictures DIR or --arrays F.npz")
	}
	return nil
}

// model quantises a .tflite file of anybody's.
func (c *quantizeCmd) model(e env) error {
	b, err := os.ReadFile(c.Model)
	if err != nil {
		return err
	}
	m, err := convert.Read(b)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Model, err)
	}
	if c.Batch == 1 {
		m.FixBatch()
	}
	o := convert.Options{Recipe: c.recipe(), Engine: c.Engine, Threads: c.Threads, Limits: report.Limits{MinSNR: c.MinSNR, MaxError: c.MaxError}}
	if o.Plan, err = c.plan(); err != nil {
		return err
	}
	if o.Calibration, o.Measure, err = c.data(m); err != nil {
		return err
	}
	var b2 *bar
	step := ""
	o.Progress = func(s string, done, total int) {
		if b2 == nil || s != step || b2.total != total {
			b2.end()
			b2, step = newBar(e.stderr, s, "steps", total), s
		}
		b2.set(done)
	}
	res, err := m.Quantise(e.ctx, o)
	b2.end()
	if err != nil {
		return fmt.Errorf("%s: %w", c.Model, err)
	}
	if err := c.write(e, res.Result, res.File); err != nil {
		return err
	}
	if res.Report == nil {
		for _, d := range res.Doubts {
			fmt.Fprintf(e.stdout, "mind: %s\n", d)
		}
		if c.Report != "" || o.Limits != (report.Limits{}) {
			return errors.New("a report and limits need samples: give --pictures or --arrays")
		}
		return nil
	}
	if c.Report != "" {
		if err := res.Report.Save(c.Report); err != nil {
			return err
		}
	}
	fmt.Fprint(e.stdout, res.Report.Summary())
	return res.Report.Check()
}

// plan reads --plan.
func (c *quantizeCmd) plan() (*quant.Plan, error) {
	if c.Plan == "" {
		return nil, nil
	}
	b, err := os.ReadFile(c.Plan)
	if err != nil {
		return nil, err
	}
	p, err := quant.ParsePlan(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Plan, err)
	}
	return p, nil
}

// data reads what the model is calibrated and measured with. Where nothing is
// named to measure with, every fifth sample is kept back for it.
func (c *quantizeCmd) data(m *convert.Model) (calibration, measure quant.Samples, err error) {
	read := func(dir string, arrays []string, most int) (quant.Samples, error) {
		switch {
		case dir != "" && len(arrays) > 0:
			return nil, errors.New("pictures and arrays: one of them")
		case dir != "":
			o := samples.PictureOptions{Order: samples.Order(c.Order), Resize: samples.Resize(c.Resize), Most: most}
			if c.Normalise != "" {
				if o.Normalise, err = samples.ParseNormalise(c.Normalise); err != nil {
					return nil, fmt.Errorf("--normalise: %w", err)
				}
			}
			return samples.ReadPictures(dir, m.Graph, o)
		case len(arrays) > 0:
			return samples.ReadArrays(arrays, m.Graph)
		}
		return nil, nil
	}
	if calibration, err = read(c.Pictures, c.Arrays, c.Faces); err != nil {
		return nil, nil, err
	}
	if measure, err = read(c.MeasurePictures, c.MeasureArrays, max(c.Measure, 0)); err != nil || measure != nil || calibration == nil {
		return calibration, measure, err
	}
	calibration, measure = samples.Split(calibration)
	return calibration, measure, nil
}
