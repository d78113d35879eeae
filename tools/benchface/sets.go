package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/image/draw"

	"mien/camera/replay/portrait"
	"mien/runtime/face/facetest"
	"mien/tools/internal/picture"
)

// truth is a picture and what is known of it.
type truth struct {
	path     string
	is       func(*seen) bool // tells whether that is its face; nil: it has none
	tilt     float64          // of the line through its eyes, degrees, clockwise
	levelled bool             // the tilt is known
}

// set is a set of pictures that is measured by itself.
type set struct {
	name     string
	pictures func() ([]truth, error)
}

// sets are those that o asks for.
func sets(o options) []set {
	out := []set{
		{"composed frames of 640x480, crops of 80 to 300 pixels, tilts to 25 degrees", composed(o, "near", facetest.Range{MinSide: 80}, 0)},
		{"crops of 40 to 80 pixels, tilts to 25 degrees", composed(o, "far", facetest.Range{MinSide: 40, MaxSide: 80}, 0)},
		{"crops of 80 to 300 pixels, tilts of 25 to 40 degrees", composed(o, "tilted", facetest.Range{MinSide: 80, MaxTilt: 40}, 25)},
	}
	if o.wild != "" {
		out = append(out, set{"photographs, the face in the middle", func() ([]truth, error) { return wild(o.wild) }})
	}
	if o.landmarks != "" {
		out = append(out, set{"faces with marked eyes, enlarged to 320x320", func() ([]truth, error) { return landmarks(o) }})
	}
	return out
}

// composed lays crops into frames of a range, at tilts from least on.
func composed(o options, kind string, within facetest.Range, least float64) func() ([]truth, error) {
	return func() ([]truth, error) {
		crops, err := faces(o.faces)
		if err != nil {
			return nil, err
		}
		var out []truth
		img := image.NewGray(image.Rect(0, 0, 640, 480))
		for i := range o.frames + o.frames/2 {
			rng := rand.New(rand.NewPCG(o.seed, uint64(i)))
			facetest.Background(img, rng)
			t := truth{path: filepath.Join(o.out, fmt.Sprintf("%s-%05d.png", kind, i))}
			if i < o.frames {
				crop, tilt := portraitCrop(), portraitTilt
				if len(crops) > 0 {
					if crop, err = picture.ReadGray(crops[rng.IntN(len(crops))]); err != nil {
						return nil, err
					}
					tilt = 0
				}
				at := within.Random(rng, 640, 480)
				for math.Abs(at.Tilt) < least {
					at = within.Random(rng, 640, 480)
				}
				facetest.Place(img, crop, at)
				t.is, t.tilt, t.levelled = laid(at), at.Tilt+tilt, true
			}
			if err := writePNG(t.path, img); err != nil {
				return nil, err
			}
			out = append(out, t)
		}
		return out, nil
	}
}

// faces reads the names of the crops to lay into frames.
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

// portraitTilt is that of the portrait's eyes.
var portraitTilt = math.Atan2(float64(portrait.RightEye.Y-portrait.LeftEye.Y), float64(portrait.RightEye.X-portrait.LeftEye.X)) * 180 / math.Pi

// portraitCrop is the portrait's face, framed as UTKFace's crops are.
func portraitCrop() *image.Gray {
	r := image.Rect(172, 70, 276, 174)
	g := portrait.Gray().SubImage(r).(*image.Gray)
	return &image.Gray{Pix: g.Pix, Stride: g.Stride, Rect: image.Rect(0, 0, r.Dx(), r.Dy())}
}

// laid tells whether a box is that of a crop laid in at p. Finders frame faces
// differently: what counts is that its middle is in the face and its size is a
// face's.
func laid(p facetest.Placing) func(*seen) bool {
	return func(s *seen) bool {
		return math.Hypot(s.x-p.X, s.y-p.Y) <= 0.3*p.Side && s.side >= 0.6*p.Side && s.side <= 1.7*p.Side
	}
}

// wild reads photographs whose face is in the middle: those that
// ground_truth.json of the folder names, as far as they are there.
func wild(dir string) ([]truth, error) {
	var rows []struct {
		Filename string `json:"filename"`
	}
	list := filepath.Join(dir, "ground_truth.json")
	b, err := os.ReadFile(list)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &rows); err != nil {
		return nil, fmt.Errorf("%s: %w", list, err)
	}
	var out []truth
	for _, r := range rows {
		t := truth{path: filepath.Join(dir, r.Filename)}
		img, err := picture.ReadGray(t.path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		w, h := float64(img.Rect.Dx()), float64(img.Rect.Dy())
		t.is = func(s *seen) bool {
			return math.Hypot(s.x/w-0.5, s.y/h-0.5) < 0.15 && s.side > w/5
		}
		out = append(out, t)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: none of its pictures is there", list)
	}
	return out, nil
}

// enlarged is the side that the faces with marked eyes are looked at in.
const enlarged = 320

// landmarks reads faces whose eyes are marked in landmarks.csv of the folder, in
// pixels of the pictures, and writes them enlarged.
func landmarks(o options) ([]truth, error) {
	list := filepath.Join(o.landmarks, "landmarks.csv")
	f, err := os.Open(list)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", list, err)
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("%s: no face in it", list)
	}
	var columns []int
	for _, name := range []string{"file", "left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y"} {
		i := slices.Index(rows[0], name)
		if i < 0 {
			return nil, fmt.Errorf("%s: no column %s", list, name)
		}
		columns = append(columns, i)
	}
	rows = rows[1:]
	var out []truth
	n := min(len(rows), o.most)
	for i := range n {
		r := rows[i*len(rows)/n]
		img, err := picture.ReadGray(filepath.Join(o.landmarks, r[columns[0]]))
		if err != nil {
			return nil, err
		}
		k := enlarged / float64(img.Rect.Dx())
		var eyes [4]float64
		for c := range eyes {
			v, err := strconv.ParseFloat(r[columns[c+1]], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", list, r[columns[0]], err)
			}
			eyes[c] = k*(v+0.5) - 0.5
		}
		large := image.NewGray(image.Rect(0, 0, enlarged, int(k*float64(img.Rect.Dy())+0.5)))
		draw.BiLinear.Scale(large, large.Rect, img, img.Rect, draw.Src, nil)
		t := truth{path: filepath.Join(o.out, fmt.Sprintf("marked-%05d.png", i)), is: marked(eyes), levelled: true,
			tilt: math.Atan2(eyes[3]-eyes[1], eyes[2]-eyes[0]) * 180 / math.Pi}
		if err := writePNG(t.path, large); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// marked tells whether a box is around those eyes: its middle is at most 1.2 of
// their distance from theirs.
func marked(e [4]float64) func(*seen) bool {
	apart := math.Hypot(e[2]-e[0], e[3]-e[1])
	return func(s *seen) bool { return math.Hypot(s.x-(e[0]+e[2])/2, s.y-(e[1]+e[3])/2) < 1.2*apart }
}

// writePNG keeps a picture, for finders that read files.
func writePNG(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	fast := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := fast.Encode(f, img); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}
