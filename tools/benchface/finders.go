package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/image/draw"

	"mien/runtime/face"
	"mien/runtime/model"
	"mien/runtime/tflite"
	"mien/tools/internal/picture"
)

// seen is a face as a finder sees it.
type seen struct {
	x, y, side float64 // the box's middle and side, pixels
	eyes       bool
	tilt       float64 // of the line through the eyes, degrees
}

// finder finds the faces of a picture.
type finder interface {
	name() string
	// look returns the faces and how many milliseconds it took from the decoded
	// picture to the largest one's levelled 50x50 face; a finder alone levels none.
	look(path string) ([]seen, float64, error)
	close() error
}

// open starts the finders: ours first, and last the one that the paper used.
func open(o options) (_ []finder, err error) {
	var out []finder
	defer func() {
		if err != nil {
			for _, f := range out {
				f.close()
			}
		}
	}()
	for _, name := range []face.Finder{face.Network, face.Pigo} {
		d, err := face.NewDetector(face.Options{Finder: name})
		if err != nil {
			return nil, err
		}
		out = append(out, &own{detector: d, face: image.NewGray(image.Rect(0, 0, model.Side, model.Side))})
	}
	if o.network != "none" {
		b, err := newBlazeFace(o.network)
		if err != nil {
			return out, err
		}
		out = append(out, b)
	}
	if o.python != "none" {
		c, err := newOpenCV(o.python, o.script)
		if err != nil {
			return out, err
		}
		out = append(out, c)
	}
	return out, nil
}

// own is a finder of this project.
type own struct {
	detector *face.Detector
	face     *image.Gray
	found    []face.Face
}

func (f *own) name() string { return "mien, " + string(f.detector.Finder()) }
func (f *own) close() error { return nil }

func (f *own) look(path string) ([]seen, float64, error) {
	img, err := picture.ReadGray(path)
	if err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	f.found = f.detector.Detect(img, f.found[:0])
	if len(f.found) > 0 {
		face.Align(f.face, img, f.found[0])
	}
	ms := since(begin)
	var out []seen
	for i := range f.found {
		x := &f.found[i]
		out = append(out, seen{x: float64(x.Box.Min.X+x.Box.Max.X) / 2, y: float64(x.Box.Min.Y+x.Box.Max.Y) / 2, side: float64(x.Box.Dx()), eyes: x.Eyes, tilt: x.Tilt()})
	}
	return out, ms, nil
}

func since(begin time.Time) float64 { return float64(time.Since(begin).Nanoseconds()) / 1e6 }

// openCV is the peer that the paper used, in a program of its own.
type openCV struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	err strings.Builder
}

func newOpenCV(python, script string) (*openCV, error) {
	c := &openCV{cmd: exec.Command(python, script, "1")}
	c.cmd.Stderr = &c.err
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	return c, c.cmd.Start()
}

func (c *openCV) name() string { return "OpenCV" }

func (c *openCV) look(path string) ([]seen, float64, error) {
	if _, err := fmt.Fprintln(c.in, path); err != nil {
		return nil, 0, c.failed(err)
	}
	if !c.out.Scan() {
		return nil, 0, c.failed(io.ErrUnexpectedEOF)
	}
	var answer struct {
		Faces []struct {
			Box  [3]float64 `json:"box"` // x, y, side
			Tilt *float64   `json:"tilt"`
		} `json:"faces"`
		Ms float64 `json:"ms"`
	}
	if err := json.Unmarshal(c.out.Bytes(), &answer); err != nil {
		return nil, 0, fmt.Errorf("%q: %w", c.out.Text(), err)
	}
	var out []seen
	for _, f := range answer.Faces {
		s := seen{x: f.Box[0] + f.Box[2]/2, y: f.Box[1] + f.Box[2]/2, side: f.Box[2]}
		if f.Tilt != nil {
			s.eyes, s.tilt = true, *f.Tilt
		}
		out = append(out, s)
	}
	return out, answer.Ms, nil
}

// failed says why the program ended.
func (c *openCV) failed(err error) error {
	return fmt.Errorf("%w: %s(apt-get install python3-opencv opencv-data)", errors.Join(err, c.cmd.Wait()), c.err.String())
}

func (c *openCV) close() error {
	c.in.Close()
	return c.cmd.Wait()
}

// blazeFace is the network as MediaPipe uses it: one look at the whole picture,
// made square, in the TensorFlow Lite library and in float; what scores better
// than even is a face. It levels nothing.
type blazeFace struct {
	runner *tflite.Runner
	input  *image.Gray
}

// What it looks at and answers with; see runtime/face/network.
const (
	blazeSide    = 128
	blazeAnchors = 896
	blazeValues  = 16
)

func newBlazeFace(file string) (*blazeFace, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r, err := tflite.NewRunner(b, tflite.Options{})
	if err != nil {
		return nil, err
	}
	return &blazeFace{runner: r, input: image.NewGray(image.Rect(0, 0, blazeSide, blazeSide))}, nil
}

func (f *blazeFace) name() string { return "BlazeFace, TFLite" }
func (f *blazeFace) close() error { return f.runner.Close() }

func (f *blazeFace) look(path string) ([]seen, float64, error) {
	img, err := picture.ReadGray(path)
	if err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	out, err := f.find(img)
	return out, since(begin), err
}

func (f *blazeFace) find(img *image.Gray) ([]seen, error) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	scale := blazeSide / float64(max(w, h))
	inner := image.Rect(0, 0, int(scale*float64(w)), int(scale*float64(h)))
	inner = inner.Add(image.Pt((blazeSide-inner.Dx())/2, (blazeSide-inner.Dy())/2))
	clear(f.input.Pix)
	draw.ApproxBiLinear.Scale(f.input, inner, img, img.Rect, draw.Src, nil)
	in := f.runner.Input(0)
	for i, v := range f.input.Pix {
		binary.LittleEndian.PutUint32(in[4*i:], math.Float32bits(float32(v)/127.5-1))
	}
	if err := f.runner.Run(); err != nil {
		return nil, err
	}
	values, scores := f.runner.Output(0), f.runner.Output(1)
	if len(values) < len(scores) {
		values, scores = scores, values
	}
	at := func(b []byte, i int) float64 {
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	type hit struct {
		seen
		score float64
	}
	var hits []hit
	for i := range blazeAnchors {
		if at(scores, i) < 0 {
			continue
		}
		ax, ay := anchor(i)
		v := func(k int) float64 { return at(values, blazeValues*i+k) / scale }
		x0, y0 := ax/scale-float64(inner.Min.X)/scale, ay/scale-float64(inner.Min.Y)/scale
		hits = append(hits, hit{seen{x: x0 + v(0), y: y0 + v(1), side: (v(2) + v(3)) / 2, eyes: true, tilt: math.Atan2(v(7)-v(5), v(6)-v(4)) * 180 / math.Pi}, at(scores, i)})
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		if a.score > b.score {
			return -1
		}
		return 1
	})
	var out []seen
	for _, h := range hits {
		if !slices.ContainsFunc(out, func(s seen) bool { return math.Hypot(s.x-h.x, s.y-h.y) < max(s.side, h.side)/2 }) {
			out = append(out, h.seen)
		}
	}
	return out, nil
}

// anchor returns the place of an anchor in the input: two at each place of a
// 16x16 grid, then six at each of an 8x8 grid.
func anchor(i int) (x, y float64) {
	grid, each := 16, 2
	if i >= 16*16*2 {
		i, grid, each = i-16*16*2, 8, 6
	}
	i /= each
	cell := blazeSide / float64(grid)
	return (float64(i%grid) + 0.5) * cell, (float64(i/grid) + 0.5) * cell
}
