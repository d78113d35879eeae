package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"text/tabwriter"
	"time"

	"mien/camera"
	"mien/device"
	"mien/device/config"
	"mien/device/signal"
	"mien/runtime/face"
	"mien/runtime/face/facetest"
	"mien/runtime/portable"
	"mien/runtime/zoo"
	"mien/tools/internal/guest"
	"mien/tools/internal/picture"
)

// rate of the cameras that are played, frames/s.
const rate = 30

// board is what a board runs: the finder as it is for a camera, the tracker, the
// model that ships.
type board struct {
	pipeline *device.Pipeline
	now      time.Time
	begun    int // faces that counted
}

// The board observes itself.
func (b *board) Reading(*device.Reading)      {}
func (b *board) Transition(signal.Transition) {}
func (b *board) Track(t *device.Track) {
	if t.Kind == device.Begin {
		b.begun++
	}
}

func newBoard(finder face.Finder) (*board, error) {
	cfg := config.Default()
	cfg.Faces.Finder = string(finder)
	o := cfg.FaceOptions()
	o.Live = true
	d, err := face.NewDetector(o)
	if err != nil {
		return nil, err
	}
	m, err := portable.Open(zoo.Default(), portable.Options{})
	if err != nil {
		return nil, err
	}
	b := &board{now: time.Unix(0, 0)}
	b.pipeline, err = device.NewPipeline(d, m, nil, b, device.PipelineOptions{Heads: cfg.Heads, Track: cfg.TrackOptions()})
	return b, err
}

// see shows it the next frame of its camera.
func (b *board) see(img *image.Gray) (*device.Reading, error) {
	b.now = b.now.Add(time.Second / rate)
	return b.pipeline.Process(&camera.Frame{Gray: *img, Time: b.now})
}

// empty counts the faces that begin where there is none: scenes of a second that
// are made up, and photographs upside down whose face was wiped out.
func empty(ctx context.Context, w io.Writer, o options) error {
	if o.scenes == 0 {
		return nil
	}
	var photographs []truth
	if o.wild != "" {
		var err error
		if photographs, err = wild(o.wild); err != nil {
			return err
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "no face in sight: %d scenes of a second, %d frames/s\n", o.scenes, rate)
	fmt.Fprintln(t, "\tfaces that counted\tan hour\t")
	for _, finder := range []face.Finder{face.Network, face.Pigo} {
		begun, err := falseFaces(ctx, o, finder, photographs)
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "mien, %s\t%d\t%.0f\t\n", finder, begun, float64(begun)*3600/float64(o.scenes))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

func falseFaces(ctx context.Context, o options, finder face.Finder, photographs []truth) (int, error) {
	b, err := newBoard(finder)
	if err != nil {
		return 0, err
	}
	still, frame := image.NewGray(image.Rect(0, 0, 640, 480)), image.NewGray(image.Rect(0, 0, 640, 480))
	for i := range o.scenes {
		rng := rand.New(rand.NewPCG(o.seed, uint64(i)))
		if i%3 == 2 && len(photographs) > 0 {
			img, err := picture.ReadGray(photographs[i/3*7%len(photographs)].path)
			if err != nil {
				return 0, err
			}
			faceless(still, img)
		} else {
			facetest.Empty(still, rng)
		}
		for range rate {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			grain(frame, still, rng, 4)
			if _, err := b.see(frame); err != nil {
				return 0, err
			}
		}
		b.pipeline.Forget(b.now)
	}
	return b.begun, nil
}

// grain fills dst with src and a camera's noise, up to amount to either side.
func grain(dst, src *image.Gray, rng *rand.Rand, amount int) {
	n := uint64(2*amount + 1)
	bits := rng.Uint64()
	for i, v := range src.Pix {
		bits = bits*6364136223846793005 + 1442695040888963407
		dst.Pix[i] = uint8(min(max(int(v)+int(bits>>40%n)-amount, 0), 255))
	}
}

// faceless fills dst with a photograph upside down, its middle, where the face
// is, wiped out.
func faceless(dst, img *image.Gray) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	k := min(float64(w)/float64(dst.Rect.Dx()), float64(h)/float64(dst.Rect.Dy()))
	mean := 0
	for _, v := range img.Pix {
		mean += int(v)
	}
	mean /= len(img.Pix)
	for y := range dst.Rect.Dy() {
		for x := range dst.Rect.Dx() {
			u, v := float64(w)/2-k*(float64(x)-float64(dst.Rect.Dx())/2), float64(h)/2-k*(float64(y)-float64(dst.Rect.Dy())/2)
			grey := float64(img.GrayAt(min(max(int(u), 0), w-1), min(max(int(v), 0), h-1)).Y)
			dx, dy := (u-float64(w)/2)/(0.3*float64(w)), (v-float64(h)/2)/(0.36*float64(h))
			a := 1 / (1 + math.Exp(12*(dx*dx+dy*dy-1)))
			dst.Pix[y*dst.Stride+x] = uint8(grey*(1-a) + float64(mean)*a)
		}
	}
}

// swayed are the frames of one face that stays: it sways by two pixels, and the
// camera has its noise. They go round.
const swayed = 16

func steadyFrames() []*image.Gray {
	rng := rand.New(rand.NewPCG(2, 2))
	wall := image.NewGray(image.Rect(0, 0, 640, 480))
	facetest.Background(wall, rng)
	var out []*image.Gray
	for i := range swayed {
		still, img := image.NewGray(wall.Rect), image.NewGray(wall.Rect)
		copy(still.Pix, wall.Pix)
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / swayed)
		facetest.Place(still, portraitCrop(), facetest.Placing{X: 330 + 2*cos, Y: 230 + sin, Side: 180, Gain: 1})
		grain(img, still, rng, 3)
		out = append(out, img)
	}
	return out
}

// runSteady is what the guest runs: everything from a frame's luma to the answer.
func runSteady(finder, network string, rounds int) error {
	frames := steadyFrames()
	if finder == "blazeface" {
		b, err := newBlazeFace(network)
		if err != nil {
			return err
		}
		for i := range rounds {
			if _, err := b.find(frames[i%swayed]); err != nil {
				return err
			}
		}
		return nil
	}
	b, err := newBoard(face.Finder(finder))
	if err != nil {
		return err
	}
	for i := range rounds {
		r, err := b.see(frames[i%swayed])
		if err != nil {
			return err
		}
		if i == rounds-1 && len(r.Faces) != 1 {
			return fmt.Errorf("%d faces in a frame with one", len(r.Faces))
		}
	}
	return nil
}

// instructions counts what a frame costs on arm64 once the face is known.
func instructions(ctx context.Context, w io.Writer, o options) error {
	if o.guest == "" {
		return nil
	}
	g := guest.Guest{Program: o.guest, Plugin: o.plugin, Libs: o.libs}
	fmt.Fprintln(w, "arm64 instructions of a 640x480 frame with one face that stays, from luma to answer, millions")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\t")
	for _, cpu := range guest.CPUs {
		fmt.Fprintf(t, "%s\t", cpu)
	}
	fmt.Fprintln(t)
	for _, c := range []struct {
		name, finder string
		first, then  int // frames before those that are counted, and how many these are
	}{{"mien, network", "network", 112, 64}, {"mien, pigo", "pigo", 16, 8}, {"BlazeFace, TFLite, finding alone", "blazeface", 1, 8}} {
		fmt.Fprintf(t, "%s\t", c.name)
		for _, cpu := range guest.CPUs {
			path, err := filepath.Abs(o.network)
			if err != nil {
				return err
			}
			n, err := g.Count(ctx, cpu, c.first, c.first+c.then, func(rounds int) []string {
				return []string{"-steady", c.finder, "-network", path, "-rounds", fmt.Sprint(rounds)}
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(t, "%.1f\t", n/1e6)
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}
