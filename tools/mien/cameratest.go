package main

import (
	"bufio"
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
	"mien/tools/internal/picture"
	"mien/train/data"
)

type cameraTestCmd struct {
	Data    string    `help:"Data set as KIND:DIR (${kinds})." placeholder:"KIND:DIR" required:"" check:"data"`
	Model   string    `help:"Model; without one only finding and levelling are measured." placeholder:"F.tflite"`
	Split   string    `help:"train, val, test, private or all." default:"test" check:"split"`
	Frames  int       `help:"How many frames to compose, each with one face." default:"1000"`
	Seed    uint64    `help:"Seed of the frames; also of the split into train and val." default:"1"`
	MinSide float64   `help:"Least side of a crop in the frame, pixels." default:"60" least:"20"`
	MaxSide float64   `help:"Largest side of a crop in the frame, pixels." default:"300" most:"480"`
	MaxTilt float64   `help:"Tilt to either side, degrees." default:"25" least:"0" most:"90"`
	Angles  []float64 `help:"Tilts that the detector looks for besides upright, degrees." placeholder:"A,..." least:"-180" most:"180"`
	Empty   string    `help:"Folder of pictures without faces, to count false faces in." placeholder:"DIR"`
	Write   string    `help:"Write the frames there as PNG, with truth.jsonl." placeholder:"DIR"`
	Engine  string    `help:"Engine: tflite, portable, or auto." default:"auto" enum:"auto,tflite,portable"`
	JSON    bool      `help:"Print JSON." name:"json"`
	Threads int       `help:"Threads; 0 means one for each CPU." least:"0"`
}

// Frames are composed in the size that cameras are opened with.
const composedWidth, composedHeight = 640, 480

// composed is one frame and what became of the face in it.
type composed struct {
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

// cameraGroup sums up frames of a kind.
type cameraGroup struct {
	Name     string                 `json:"name"`
	Frames   int                    `json:"frames"`
	Found    int                    `json:"found"`
	Eyes     int                    `json:"eyes"`
	Median   float64                `json:"eye_angle_error_median"` // degrees
	P95      float64                `json:"eye_angle_error_p95"`
	Accuracy map[string]*cameraHead `json:"accuracy,omitempty"`
}

// cameraHead compares answers about the same faces: as the data set's crops,
// and through detector and alignment. Lost, Low and High are in points: what
// the way through the camera costs, and its 95% interval.
type cameraHead struct {
	N      int     `json:"n"`
	Crop   float64 `json:"crop"`
	Camera float64 `json:"camera"`
	Lost   float64 `json:"lost"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// cameraReport is what --json prints.
type cameraReport struct {
	Data      string        `json:"data"`
	Split     string        `json:"split"`
	Model     string        `json:"model,omitempty"`
	Engine    string        `json:"engine,omitempty"`
	Groups    []cameraGroup `json:"groups"`
	False     int           `json:"false_in_frames"`
	Bare      int           `json:"bare_frames"` // the same backgrounds without a face
	FalseBare int           `json:"false_in_bare_frames"`
	Empty     int           `json:"empty_pictures"`
	FalseIn   int           `json:"false_in_empty_pictures"`
}

func (c *cameraTestCmd) Run(e env) error {
	if c.Frames < 1 || c.MinSide < 20 || c.MaxSide < c.MinSide || c.MaxSide > composedHeight {
		return fmt.Errorf("camera-test: %d frames with crops of %g to %g pixels: want at least one, and sides of 20 to %d", c.Frames, c.MinSide, c.MaxSide, composedHeight)
	}
	t := &cameraTest{c: c}
	if err := t.open(); err != nil {
		return err
	}
	defer t.close()
	sets, err := loadSets(e, []string{c.Data}, data.Options{Seed: c.Seed})
	if err != nil {
		return err
	}
	samples, split, err := sets[0].Select(c.Split)
	if err != nil {
		return err
	}
	r := cameraReport{Data: c.Data, Split: split, Model: c.Model}
	if t.model != nil {
		r.Engine = t.model.Engine()
	}
	if err := t.frames(e, samples, &r); err != nil {
		return err
	}
	if err := t.empty(&r); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	return r.print(e.stdout)
}

// cameraTest has what the firmware has.
type cameraTest struct {
	c        *cameraTestCmd
	detector *face.Detector
	model    infer.Model
	spec     *model.Spec
	scores   *model.Scores
	frame    *image.Gray
	aligned  *image.Gray
	faces    []face.Face
	truth    *bufio.Writer
	file     *os.File
}

func (t *cameraTest) open() (err error) {
	if t.detector, err = face.NewDetector(face.Options{Angles: t.c.Angles}); err != nil {
		return err
	}
	t.frame = image.NewGray(image.Rect(0, 0, composedWidth, composedHeight))
	t.aligned = image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	if t.c.Model != "" {
		b, err := os.ReadFile(t.c.Model)
		if err != nil {
			return err
		}
		if t.model, err = openEngine(t.c.Engine, b, threads(t.c.Threads)); err != nil {
			return fmt.Errorf("%s: %w", t.c.Model, err)
		}
		t.spec = t.model.Spec()
		t.scores = t.spec.NewScores()
	}
	if t.c.Write == "" {
		return nil
	}
	if err := os.MkdirAll(t.c.Write, 0o755); err != nil {
		return err
	}
	if t.file, err = os.Create(filepath.Join(t.c.Write, "truth.jsonl")); err != nil {
		return err
	}
	t.truth = bufio.NewWriter(t.file)
	return nil
}

func (t *cameraTest) close() {
	if t.model != nil {
		t.model.Close()
	}
	if t.file != nil {
		t.file.Close()
	}
}

// frames composes the frames and looks at each.
func (t *cameraTest) frames(e env, samples []data.Sample, r *cameraReport) error {
	order := rand.New(rand.NewPCG(t.c.Seed, 1)).Perm(len(samples))
	var all []*composed
	b := newBar(e.stderr, "looking at composed frames", "frames", t.c.Frames)
	for i := range t.c.Frames {
		if e.ctx.Err() != nil {
			b.end()
			return errors.New("interrupted")
		}
		rng := rand.New(rand.NewPCG(t.c.Seed, uint64(i)+2))
		facetest.Background(t.frame, rng)
		r.Bare++
		t.faces = t.detector.Detect(t.frame, t.faces[:0])
		r.FalseBare += len(t.faces)
		x, err := t.compose(rng, &samples[order[i%len(order)]], i)
		if err != nil {
			b.end()
			return err
		}
		r.False += x.False
		all = append(all, x)
		b.set(i + 1)
	}
	b.end()
	if t.truth != nil {
		if err := errors.Join(t.truth.Flush(), t.file.Sync()); err != nil {
			return err
		}
	}
	r.Groups = t.groups(all)
	return nil
}

// compose lays a sample into the frame, and finds and reads it there.
func (t *cameraTest) compose(rng *rand.Rand, s *data.Sample, i int) (*composed, error) {
	crop, err := picture.ReadGray(s.Path)
	if err != nil {
		return nil, err
	}
	x := &composed{Crop: s.Path, labels: s.Labels}
	x.At = facetest.Range{MinSide: t.c.MinSide, MaxSide: t.c.MaxSide, MaxTilt: t.c.MaxTilt}.Random(rng, composedWidth, composedHeight)
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
func (t *cameraTest) match(x *composed) (best face.Face, ok bool) {
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
func (t *cameraTest) reference(crop *image.Gray) float64 {
	big := image.NewGray(image.Rect(0, 0, 320, 320))
	facetest.Place(big, crop, facetest.Placing{X: 159.5, Y: 159.5, Side: 200, Gain: 1})
	for _, f := range t.detector.Detect(big, nil) {
		if f.Eyes {
			return f.Tilt()
		}
	}
	return 0
}

// read returns the model's answers to the labels' four heads.
func (t *cameraTest) read(img *image.Gray) ([]int, error) {
	if t.model == nil {
		return nil, nil
	}
	if err := t.model.Predict(img, t.scores); err != nil {
		return nil, err
	}
	out := make([]int, len(model.Heads()))
	for i, h := range model.Heads() {
		out[i] = -1
		if k := t.spec.Index(h.Name); k >= 0 {
			out[i], _ = t.scores.Top(k)
		}
	}
	return out, nil
}

func (t *cameraTest) write(x *composed, i int) error {
	if t.truth == nil {
		return nil
	}
	x.Frame = fmt.Sprintf("%05d.png", i)
	f, err := os.Create(filepath.Join(t.c.Write, x.Frame))
	if err != nil {
		return err
	}
	if err := errors.Join(png.Encode(f, t.frame), f.Close()); err != nil {
		return err
	}
	return json.NewEncoder(t.truth).Encode(x)
}

// groups sums up frames by the size and tilt of the face.
func (t *cameraTest) groups(all []*composed) []cameraGroup {
	var out []cameraGroup
	for _, g := range []struct {
		name string
		in   func(*composed) bool
	}{
		{"100 px or more, tilt up to 10", func(x *composed) bool { return x.At.Side >= 100 && math.Abs(x.At.Tilt) <= face.MaxLevel }},
		{"100 px or more, tilt above 10", func(x *composed) bool { return x.At.Side >= 100 && math.Abs(x.At.Tilt) > face.MaxLevel }},
		{"below 100 px", func(x *composed) bool { return x.At.Side < 100 }},
		{"all", func(*composed) bool { return true }},
	} {
		sum := cameraGroup{Name: g.name}
		var errs []float64
		var in []*composed
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
		if t.model != nil {
			sum.Accuracy = accuracies(in)
		}
		out = append(out, sum)
	}
	return out
}

func accuracies(in []*composed) map[string]*cameraHead {
	out := map[string]*cameraHead{}
	for i, h := range model.Heads() {
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
			out[h.Name] = &cameraHead{N: int(n), Crop: crop / n, Camera: camera / n, Lost: 100 * (lost - won) / n, Low: 100 * (d - w), High: 100 * (d + w)}
		}
	}
	return out
}

// empty counts faces in pictures that have none.
func (t *cameraTest) empty(r *cameraReport) error {
	if t.c.Empty == "" {
		return nil
	}
	entries, err := os.ReadDir(t.c.Empty)
	if err != nil {
		return err
	}
	for _, d := range entries {
		if d.IsDir() {
			continue
		}
		img, err := picture.ReadGray(filepath.Join(t.c.Empty, d.Name()))
		if err != nil {
			return err
		}
		r.Empty++
		t.faces = t.detector.Detect(img, t.faces[:0])
		r.FalseIn += len(t.faces)
	}
	return nil
}

func (r cameraReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s, split %s, laid into frames of %dx%d", r.Data, r.Split, composedWidth, composedHeight)
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
			for _, h := range model.Heads() {
				if a := g.Accuracy[h.Name]; a != nil {
					fmt.Fprintf(tw, "%s, %s\t%d\t%.1f %%\t%.1f %%\t%.1f (%.1f to %.1f)\t\n", h.Name, g.Name, a.N, 100*a.Crop, 100*a.Camera, a.Lost, a.Low, a.High)
				}
			}
		}
	}
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
