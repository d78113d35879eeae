// Command benchface compares runtime/face with what the paper used, OpenCV's
// Haar cascades: the same frames of 640x480, from the decoded frame to a
// levelled 50x50 face, on one thread each, in turns.
//
// The frames are composed of faces on many backgrounds (runtime/face/facetest),
// so it is known where the faces are. The faces are NASA's portrait, or the
// crops in a folder.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	_ "image/jpeg"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"mien/camera/replay/portrait"
	"mien/runtime/face"
	"mien/runtime/face/facetest"
	"mien/runtime/model"
	"mien/tools/internal/picture"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchface:", err)
		os.Exit(1)
	}
}

type options struct {
	faces, out, python, script string
	frames, rounds             int
	seed                       uint64
}

func run(args []string, w io.Writer) error {
	var o options
	set := flag.NewFlagSet("benchface", flag.ContinueOnError)
	set.StringVar(&o.faces, "faces", "", "folder of crops of faces, framed as UTKFace's; empty: the portrait")
	set.StringVar(&o.out, "out", "build/bench/frames", "where the frames go")
	set.StringVar(&o.python, "python", "/usr/bin/python3", "a Python with OpenCV")
	set.StringVar(&o.script, "script", "tools/benchface/opencv.py", "the peer")
	set.IntVar(&o.frames, "frames", 200, "frames with a face; half as many more have none")
	set.IntVar(&o.rounds, "rounds", 3, "times that each goes over all frames")
	set.Uint64Var(&o.seed, "seed", 1, "seed of the frames")
	if err := set.Parse(args); err != nil {
		return err
	}
	if o.frames < 2 || o.rounds < 1 {
		return errors.New("want at least 2 frames and a round")
	}
	crops, err := faces(o.faces)
	if err != nil {
		return err
	}
	frames, err := compose(o, crops)
	if err != nil {
		return err
	}
	var ours, theirs result
	for range o.rounds {
		if err := measureOurs(frames, &ours); err != nil {
			return err
		}
		if err := measureTheirs(o, frames, &theirs); err != nil {
			return err
		}
	}
	return report(w, o, frames, &ours, &theirs)
}

// frame is one picture and where its face is; Side is 0 if it has none.
type frame struct {
	path string
	at   facetest.Placing
}

// answer is what was found in a frame.
type answer struct {
	Box  []int   `json:"box"` // x, y, side; empty: nothing
	Eyes bool    `json:"eyes"`
	Ms   float64 `json:"ms"`
}

// result sums up the answers of all rounds.
type result struct {
	found, eyes, wrong int // of one round
	ms                 []float64
}

// faces reads the crops to lay into frames.
func faces(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s: no .jpg in it", dir)
	}
	return names, err
}

// portraitCrop is the portrait's face, framed as UTKFace's crops are.
func portraitCrop() *image.Gray {
	r := image.Rect(172, 70, 276, 174)
	g := portrait.Gray().SubImage(r).(*image.Gray)
	return &image.Gray{Pix: g.Pix, Stride: g.Stride, Rect: image.Rect(0, 0, r.Dx(), r.Dy())}
}

func compose(o options, crops []string) ([]frame, error) {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	var frames []frame
	img := image.NewGray(image.Rect(0, 0, 640, 480))
	for i := range o.frames + o.frames/2 {
		rng := rand.New(rand.NewPCG(o.seed, uint64(i)))
		facetest.Background(img, rng)
		f := frame{path: filepath.Join(o.out, fmt.Sprintf("%05d.png", i))}
		if i < o.frames {
			crop := portraitCrop()
			if len(crops) > 0 {
				var err error
				if crop, err = picture.ReadGray(crops[rng.IntN(len(crops))]); err != nil {
					return nil, err
				}
			}
			f.at = facetest.Range{MinSide: 80}.Random(rng, 640, 480)
			facetest.Place(img, crop, f.at)
		}
		if err := writePNG(f.path, img); err != nil {
			return nil, err
		}
		frames = append(frames, f)
	}
	return frames, nil
}

func writePNG(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(f, img), f.Close())
}

func measureOurs(frames []frame, r *result) error {
	d, err := face.NewDetector(face.Options{})
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dst := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	var found []face.Face
	r.found, r.eyes, r.wrong = 0, 0, 0
	for _, f := range frames {
		img, err := picture.ReadGray(f.path)
		if err != nil {
			return err
		}
		var a answer
		begin := time.Now()
		found = d.Detect(img, found[:0])
		if len(found) > 0 {
			face.Align(dst, img, found[0])
			a.Box, a.Eyes = []int{found[0].Box.Min.X, found[0].Box.Min.Y, found[0].Box.Dx()}, found[0].Eyes
		}
		a.Ms = float64(time.Since(begin).Nanoseconds()) / 1e6
		r.add(f, a)
	}
	return nil
}

func measureTheirs(o options, frames []frame, r *result) error {
	args := []string{o.script, "1"}
	for _, f := range frames {
		args = append(args, f.path)
	}
	cmd := exec.Command(o.python, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s(apt-get install python3-opencv opencv-data)", o.script, err, errs.Bytes())
	}
	r.found, r.eyes, r.wrong = 0, 0, 0
	lines := bufio.NewScanner(bytes.NewReader(out))
	for _, f := range frames {
		var a answer
		if !lines.Scan() {
			return fmt.Errorf("%s: fewer answers than frames", o.script)
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return fmt.Errorf("%s: %q: %w", o.script, lines.Text(), err)
		}
		r.add(f, a)
	}
	return nil
}

// add counts an answer. Boxes of the two are framed differently: what counts
// is that their middle is in the face and their size is a face's.
func (r *result) add(f frame, a answer) {
	r.ms = append(r.ms, a.Ms)
	if len(a.Box) != 3 {
		return
	}
	side := float64(a.Box[2])
	x, y := float64(a.Box[0])+side/2, float64(a.Box[1])+side/2
	if math.Hypot(x-f.at.X, y-f.at.Y) > 0.3*f.at.Side || side < 0.6*f.at.Side || side > 1.7*f.at.Side {
		r.wrong++
		return
	}
	r.found++
	if a.Eyes {
		r.eyes++
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func report(w io.Writer, o options, frames []frame, ours, theirs *result) error {
	from := cmp.Or(o.faces, "the portrait")
	fmt.Fprintf(w, "%d frames of 640x480, %d with a face of 80 to 300 pixels tilted by up to 25 degrees (%s); one thread, %d rounds\n\n", len(frames), o.frames, from, o.rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tfaces found\tboth eyes\twrong places\tmedian ms\t")
	for _, r := range []struct {
		name string
		*result
	}{{"mien", ours}, {"OpenCV", theirs}} {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t\n", r.name, r.found, r.eyes, r.wrong, strconv.FormatFloat(median(r.ms), 'f', 2, 64))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nratio %.2f (OpenCV's median over ours)\n", median(theirs.ms)/median(ours.ms))
	return err
}
