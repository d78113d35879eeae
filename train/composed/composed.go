// Package composed lays faces of a data set into made-up camera frames and looks
// for them there, as the firmware does: how many a detector finds, how well it
// tells their tilt, and what a model loses on the way through the camera, against
// the same faces as the data set's crops.
package composed

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"mien/runtime/face"
	"mien/runtime/face/facetest"
	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/train/data"
)

// Options say how the frames are composed.
type Options struct {
	Frames  int         // each with one face
	Seed    uint64      // of the frames
	MinSide float64     // least side of a crop in the frame, pixels, 20 or more
	MaxSide float64     // largest side, at most Height
	MaxTilt float64     // to either side, degrees
	Angles  []float64   // tilts that the detector looks for besides upright, degrees
	Model   infer.Model // nil: only finding and levelling are measured
	Empty   string      // folder of pictures without faces, to count false faces in; "" for none
	Write   string      // folder for the frames as PNG, with truth.jsonl; "" for none
	// Read reads a picture, grey and upright.
	Read func(path string) (*image.Gray, error)
	// Progress is told how many frames are done; nil tells nobody.
	Progress func(done int)
}

// Run composes frames from the samples of a set, whose labels are of heads, and
// looks at each.
func Run(ctx context.Context, heads []model.Head, samples []data.Sample, o Options) (_ *Report, err error) {
	if o.Frames < 1 || o.MinSide < 20 || o.MaxSide < o.MinSide || o.MaxSide > Height {
		return nil, fmt.Errorf("composed: %d frames with crops of %g to %g pixels: want at least one, and sides of 20 to %d", o.Frames, o.MinSide, o.MaxSide, Height)
	}
	if len(samples) == 0 {
		return nil, errors.New("composed: no samples")
	}
	t := &test{o: o, heads: heads}
	if err := t.open(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	r := &Report{heads: heads}
	if o.Model != nil {
		r.Engine = o.Model.Engine()
	}
	if err := t.frames(ctx, samples, r); err != nil {
		return nil, err
	}
	if err := t.empty(r); err != nil {
		return nil, err
	}
	return r, nil
}

// Width and Height of the frames are those that cameras are opened with.
const Width, Height = 640, 480

// frame is one frame and what became of the face in it.
type frame struct {
	Frame string           `json:"frame,omitempty"`
	Crop  string           `json:"crop"`
	At    facetest.Placing `json:"at"`
	Found bool             `json:"found"`
	Eyes  bool             `json:"eyes"`
	Error float64          `json:"eye_angle_error"` // degrees; of those with eyes
	False int              `json:"false"`           // faces found elsewhere

	labels       data.Labels
	crop, camera []int // answers of the model by head, -1 for none
}

// Group sums up frames of a kind.
type Group struct {
	Name     string           `json:"name"`
	Frames   int              `json:"frames"`
	Found    int              `json:"found"`
	Eyes     int              `json:"eyes"`
	Median   float64          `json:"eye_angle_error_median"` // degrees
	P95      float64          `json:"eye_angle_error_p95"`
	Accuracy map[string]*Head `json:"accuracy,omitempty"`
}

// Kin are the frames whose face has one label of a head: how many of them are
// found, and of these how many of the model's answers are right through the
// camera, by head.
type Kin struct {
	By     string             `json:"by"` // the head
	Label  string             `json:"label"`
	Frames int                `json:"frames"`
	Found  int                `json:"found"`
	Right  map[string]float64 `json:"right,omitempty"`
}

// Head compares answers about the same faces: as the data set's crops,
// and through detector and alignment. Lost, Low and High are in points: what
// the way through the camera costs, and its 95% interval.
type Head struct {
	N      int     `json:"n"`
	Crop   float64 `json:"crop"`
	Camera float64 `json:"camera"`
	Lost   float64 `json:"lost"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// Report is what was found.
type Report struct {
	Data      string  `json:"data"`
	Split     string  `json:"split"`
	Model     string  `json:"model,omitempty"`
	Engine    string  `json:"engine,omitempty"`
	Groups    []Group `json:"groups"`
	Kin       []Kin   `json:"found_by_label"` // of the labels that the set has
	False     int     `json:"false_in_frames"`
	Bare      int     `json:"bare_frames"` // the same backgrounds without a face
	FalseBare int     `json:"false_in_bare_frames"`
	Empty     int     `json:"empty_pictures"`
	FalseIn   int     `json:"false_in_empty_pictures"`

	heads []model.Head
}

// test has what the firmware has.
type test struct {
	o        Options
	heads    []model.Head // of the labels
	detector *face.Detector
	spec     *model.Spec
	scores   *model.Scores
	frame    *image.Gray
	aligned  *image.Gray
	faces    []face.Face
	truth    *bufio.Writer
	file     *os.File
}

func (t *test) open() (err error) {
	if t.detector, err = face.NewDetector(face.Options{Angles: t.o.Angles}); err != nil {
		return err
	}
	t.frame = image.NewGray(image.Rect(0, 0, Width, Height))
	t.aligned = image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	if t.o.Model != nil {
		t.spec = t.o.Model.Spec()
		t.scores = t.spec.NewScores()
	}
	if t.o.Write == "" {
		return nil
	}
	if err := os.MkdirAll(t.o.Write, 0o755); err != nil {
		return err
	}
	if t.file, err = os.Create(filepath.Join(t.o.Write, "truth.jsonl")); err != nil {
		return err
	}
	t.truth = bufio.NewWriter(t.file)
	return nil
}

func (t *test) close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}

// frames composes the frames and looks at each.
func (t *test) frames(ctx context.Context, samples []data.Sample, r *Report) error {
	order := rand.New(rand.NewPCG(t.o.Seed, 1)).Perm(len(samples))
	var all []*frame
	for i := range t.o.Frames {
		if err := ctx.Err(); err != nil {
			return err
		}
		rng := rand.New(rand.NewPCG(t.o.Seed, uint64(i)+2))
		facetest.Background(t.frame, rng)
		r.Bare++
		t.faces = t.detector.Detect(t.frame, t.faces[:0])
		r.FalseBare += len(t.faces)
		x, err := t.compose(rng, &samples[order[i%len(order)]], i)
		if err != nil {
			return err
		}
		r.False += x.False
		all = append(all, x)
		if t.o.Progress != nil {
			t.o.Progress(i + 1)
		}
	}
	if t.truth != nil {
		if err := errors.Join(t.truth.Flush(), t.file.Sync()); err != nil {
			return err
		}
	}
	r.Groups, r.Kin = t.groups(all), t.kin(all)
	return nil
}

// compose lays a sample into the frame, and finds and reads it there.
func (t *test) compose(rng *rand.Rand, s *data.Sample, i int) (*frame, error) {
	crop, err := t.o.Read(s.Path)
	if err != nil {
		return nil, err
	}
	x := &frame{Crop: s.Path, labels: s.Labels}
	x.At = facetest.Range{MinSide: t.o.MinSide, MaxSide: t.o.MaxSide, MaxTilt: t.o.MaxTilt}.Random(rng, Width, Height)
	facetest.Place(t.frame, crop, x.At)
	t.faces = t.detector.Detect(t.frame, t.faces[:0])
	f, found := t.match(x)
	if x.Found = found; found {
		x.Eyes = f.Eyes
		if f.Eyes {
			x.Error = math.Abs(f.Tilt() - x.At.Tilt - t.reference(crop))
		}
		face.Align(t.aligned, t.frame, f)
		if x.camera, err = t.read(t.aligned); err != nil {
			return nil, err
		}
		copy(t.aligned.Pix, s.Face)
		if x.crop, err = t.read(t.aligned); err != nil {
			return nil, err
		}
	}
	return x, t.write(x, i)
}

// match returns the face that is where the crop was laid, and counts others.
func (t *test) match(x *frame) (best face.Face, ok bool) {
	for _, f := range t.faces {
		mid := f.Box.Min.Add(f.Box.Max).Div(2)
		side := float64(f.Box.Dx()) / x.At.Side
		near := math.Hypot(float64(mid.X)-x.At.X, float64(mid.Y)-x.At.Y) < 0.3*x.At.Side && side > 0.6 && side < 1.7
		if near && !ok {
			best, ok = f, true
		} else {
			x.False++
		}
	}
	return best, ok
}

// reference is the tilt of the eyes in the crop itself, measured upright at
// a size that suits the detector; 0 where no eyes are found.
func (t *test) reference(crop *image.Gray) float64 {
	big := image.NewGray(image.Rect(0, 0, 320, 320))
	facetest.Place(big, crop, facetest.Placing{X: 159.5, Y: 159.5, Side: 200, Gain: 1})
	for _, f := range t.detector.Detect(big, nil) {
		if f.Eyes {
			return f.Tilt()
		}
	}
	return 0
}

// read returns the model's answers to the labels' heads.
func (t *test) read(img *image.Gray) ([]int, error) {
	if t.o.Model == nil {
		return nil, nil
	}
	if err := t.o.Model.Predict(img, t.scores); err != nil {
		return nil, err
	}
	out := make([]int, len(t.heads))
	for i, h := range t.heads {
		out[i] = -1
		if k := t.spec.Index(h.Name); k >= 0 {
			out[i] = h.Answer(t.scores.Heads[k])
		}
	}
	return out, nil
}

func (t *test) write(x *frame, i int) error {
	if t.truth == nil {
		return nil
	}
	x.Frame = fmt.Sprintf("%05d.png", i)
	f, err := os.Create(filepath.Join(t.o.Write, x.Frame))
	if err != nil {
		return err
	}
	if err := errors.Join(png.Encode(f, t.frame), f.Close()); err != nil {
		return err
	}
	return json.NewEncoder(t.truth).Encode(x)
}

// groups sums up frames by the size and tilt of the face.
func (t *test) groups(all []*frame) []Group {
	var out []Group
	for _, g := range []struct {
		name string
		in   func(*frame) bool
	}{
		{"100 px or more, tilt up to 10", func(x *frame) bool { return x.At.Side >= 100 && math.Abs(x.At.Tilt) <= face.MaxLevel }},
		{"100 px or more, tilt above 10", func(x *frame) bool { return x.At.Side >= 100 && math.Abs(x.At.Tilt) > face.MaxLevel }},
		{"below 100 px", func(x *frame) bool { return x.At.Side < 100 }},
		{"all", func(*frame) bool { return true }},
	} {
		sum := Group{Name: g.name}
		var errs []float64
		var in []*frame
		for _, x := range all {
			if !g.in(x) {
				continue
			}
			sum.Frames++
			if x.Found {
				sum.Found++
				in = append(in, x)
			}
			if x.Eyes {
				sum.Eyes++
				errs = append(errs, x.Error)
			}
		}
		slices.Sort(errs)
		if n := len(errs); n > 0 {
			sum.Median, sum.P95 = errs[n/2], errs[n*95/100]
		}
		if t.o.Model != nil {
			sum.Accuracy = accuracies(t.heads, in)
		}
		out = append(out, sum)
	}
	return out
}

// kin sums up frames by each label of each head.
func (t *test) kin(all []*frame) (out []Kin) {
	for i, h := range t.heads {
		if h.Measures() {
			continue
		}
		for l, label := range h.Labels {
			k := Kin{By: h.Name, Label: label}
			var in []*frame
			for _, x := range all {
				if int(x.labels[i]) != l {
					continue
				}
				k.Frames++
				if x.Found {
					k.Found++
					in = append(in, x)
				}
			}
			if k.Frames == 0 {
				continue
			}
			if t.o.Model != nil {
				k.Right = map[string]float64{}
				for name, a := range accuracies(t.heads, in) {
					k.Right[name] = a.Camera
				}
			}
			out = append(out, k)
		}
	}
	return out
}

func accuracies(heads []model.Head, in []*frame) map[string]*Head {
	out := map[string]*Head{}
	for i, h := range heads {
		var n, crop, camera, lost, won float64
		for _, x := range in {
			if x.labels[i] == data.NoLabel || x.camera[i] < 0 {
				continue
			}
			n++
			before, after := x.crop[i] == int(x.labels[i]), x.camera[i] == int(x.labels[i])
			if before {
				crop++
			}
			if after {
				camera++
			}
			if before && !after {
				lost++
			}
			if after && !before {
				won++
			}
		}
		if n > 0 {
			// As in quant/report: Agresti and Min's interval for matched pairs.
			b, c, m := lost+0.5, won+0.5, n+2
			d, w := (b-c)/m, 1.96*math.Sqrt(max(b+c-(b-c)*(b-c)/m, 0))/m
			out[h.Name] = &Head{N: int(n), Crop: crop / n, Camera: camera / n, Lost: 100 * (lost - won) / n, Low: 100 * (d - w), High: 100 * (d + w)}
		}
	}
	return out
}

// empty counts faces in pictures that have none.
func (t *test) empty(r *Report) error {
	if t.o.Empty == "" {
		return nil
	}
	entries, err := os.ReadDir(t.o.Empty)
	if err != nil {
		return err
	}
	for _, d := range entries {
		if d.IsDir() {
			continue
		}
		img, err := t.o.Read(filepath.Join(t.o.Empty, d.Name()))
		if err != nil {
			return err
		}
		r.Empty++
		t.faces = t.detector.Detect(img, t.faces[:0])
		r.FalseIn += len(t.faces)
	}
	return nil
}

// Print writes the report as tables.
func (r *Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "%s, split %s, laid into frames of %dx%d", r.Data, r.Split, Width, Height)
	if r.Model != "" {
		fmt.Fprintf(w, "; %s (%s)", r.Model, r.Engine)
	}
	fmt.Fprint(w, "\n\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "faces\tframes\tfound\tboth eyes\teye angle off by (median, 95 %)\t")
	for _, g := range r.Groups {
		part := func(n int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(max(g.Frames, 1))) }
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%.1f, %.1f degrees\t\n", g.Name, g.Frames, part(g.Found), part(g.Eyes), g.Median, g.P95)
	}
	if r.Model != "" {
		fmt.Fprintln(tw, "\t\t\t\t\t\nhead, of the faces found\tlabelled\tas crops\tcamera\tpoints lost (95 %)\t")
		for _, g := range r.Groups {
			for _, h := range r.heads {
				if a := g.Accuracy[h.Name]; a != nil {
					fmt.Fprintf(tw, "%s, %s\t%d\t%.1f %%\t%.1f %%\t%.1f (%.1f to %.1f)\t\n", h.Name, g.Name, a.N, 100*a.Crop, 100*a.Camera, a.Lost, a.Low, a.High)
				}
			}
		}
	}
	r.printKin(tw)
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nfalse faces: %d in these frames, %d in the %d backgrounds alone", r.False, r.FalseBare, r.Bare)
	if r.Empty > 0 {
		fmt.Fprintf(w, ", %d in %d pictures without faces", r.FalseIn, r.Empty)
	}
	_, err := fmt.Fprintln(w)
	return err
}

// printKin writes who is found, and how right the answers about them are.
func (r *Report) printKin(tw io.Writer) {
	fmt.Fprint(tw, "\t\t\t\t\t\nfaces labelled\tframes\tfound\t")
	var read []string
	for _, h := range r.heads {
		if slices.ContainsFunc(r.Kin, func(k Kin) bool { _, ok := k.Right[h.Name]; return ok }) {
			read = append(read, h.Name)
			fmt.Fprintf(tw, "%s right\t", h.Name)
		}
	}
	fmt.Fprintln(tw)
	for _, k := range r.Kin {
		fmt.Fprintf(tw, "%s %s\t%d\t%.1f %%\t", k.By, k.Label, k.Frames, 100*float64(k.Found)/float64(k.Frames))
		for _, name := range read {
			if v, ok := k.Right[name]; ok {
				fmt.Fprintf(tw, "%.1f %%", 100*v)
			}
			fmt.Fprint(tw, "\t")
		}
		fmt.Fprintln(tw)
	}
}
