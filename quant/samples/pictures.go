package samples

import (
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // what pictures are
	_ "image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/image/draw"

	"mien/runtime/graph"
)

// PictureOptions say what a model takes a picture for. The zero value is
// DefaultNormalise, red before blue, the whole picture stretched.
type PictureOptions struct {
	Normalise Normalise
	Order     Order
	Resize    Resize
	// Most is how many pictures to take, evenly from all; 0 means all.
	Most int
}

// Normalise maps a pixel from 0 to 255 to (pixel-Mean)/Std. Each has one value,
// or one for each channel.
type Normalise struct{ Mean, Std []float64 }

// DefaultNormalise maps pixels to -1..1, as MobileNet, BlazeFace and most that
// came after them take them.
func DefaultNormalise() Normalise { return Normalise{[]float64{127.5}, []float64{127.5}} }

// ParseNormalise reads "mean,std", or three means and three deviations.
func ParseNormalise(s string) (Normalise, error) {
	var v []float64
	for _, f := range strings.Split(s, ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
		if err != nil || x-x != 0 {
			return Normalise{}, fmt.Errorf("samples: %q: want mean,std in pixels of 0 to 255, such as 127.5,127.5 for -1 to 1 or 0,255 for 0 to 1", s)
		}
		v = append(v, x)
	}
	n := Normalise{v[:len(v)/2], v[len(v)/2:]}
	if len(v) != 2 && len(v) != 6 {
		return Normalise{}, fmt.Errorf("samples: %q has %d numbers: want a mean and a deviation, or three of each", s, len(v))
	}
	for _, x := range n.Std {
		if !(x > 0) {
			return Normalise{}, fmt.Errorf("samples: %q: a deviation of %v", s, x)
		}
	}
	return n, nil
}

// String is what ParseNormalise reads.
func (n Normalise) String() string {
	var out []string
	for _, x := range slices.Concat(n.Mean, n.Std) {
		out = append(out, strconv.FormatFloat(x, 'g', -1, 64))
	}
	return strings.Join(out, ",")
}

// at returns mean and deviation of a channel.
func (n Normalise) at(channel int) (mean, std float64) {
	return n.Mean[min(channel, len(n.Mean)-1)], n.Std[min(channel, len(n.Std)-1)]
}

// Order is what the channels of an input are.
type Order string

// The orders. An input of one channel is Grey, whatever is said.
const (
	RGB  Order = "rgb"
	BGR  Order = "bgr"
	Grey Order = "grey"
)

// Resize is how a picture of any size fills the input.
type Resize string

// The ways.
const (
	Stretch Resize = "stretch" // the whole picture, its shape changed
	Crop    Resize = "crop"    // the middle of the picture, as large as goes
	Fit     Resize = "fit"     // the whole picture, black beside it
)

// Pictures are the samples of a model with one picture as input.
type Pictures struct {
	paths    []string
	pixels   [][]uint8 // of the input's size, channel by channel as the input has them
	options  PictureOptions
	channels int
	planes   bool // the channels lie one behind the other
}

// ReadPictures reads the .png and .jpg files under dir for the one input of g.
func ReadPictures(dir string, g *graph.Graph, o PictureOptions) (*Pictures, error) {
	if len(o.Normalise.Std) == 0 {
		o.Normalise = DefaultNormalise()
	}
	p := &Pictures{options: o}
	h, w, err := p.shape(g)
	if err != nil {
		return nil, err
	}
	if p.paths, err = find(dir); err != nil {
		return nil, err
	}
	if o.Most > 0 && len(p.paths) > o.Most {
		some := make([]string, o.Most)
		for i := range some {
			some[i] = p.paths[i*len(p.paths)/o.Most]
		}
		p.paths = some
	}
	for _, path := range p.paths {
		img, err := read(path)
		if err != nil {
			return nil, err
		}
		p.pixels = append(p.pixels, p.sample(img, h, w))
	}
	return p, nil
}

// shape says how large a picture the input takes.
func (p *Pictures) shape(g *graph.Graph) (h, w int, err error) {
	if len(g.Inputs) != 1 {
		return 0, 0, fmt.Errorf("samples: the model has %d inputs, and a picture is one: give arrays by name", len(g.Inputs))
	}
	t := g.Tensors[g.Inputs[0]]
	s := t.Shape
	switch {
	case len(s) == 4 && s[0] == 1 && (s[3] == 1 || s[3] == 3):
		h, w, p.channels = s[1], s[2], s[3]
	case len(s) == 4 && s[0] == 1 && (s[1] == 1 || s[1] == 3):
		h, w, p.channels, p.planes = s[2], s[3], s[1], true
	case len(s) == 3 && s[0] == 1:
		h, w, p.channels = s[1], s[2], 1
	default:
		return 0, 0, fmt.Errorf("samples: input %q of shape %v is no picture of one or three channels: give arrays by name", t.Name, s)
	}
	if p.channels == 1 && (p.options.Order == RGB || p.options.Order == BGR) {
		return 0, 0, fmt.Errorf("samples: input %q of shape %v has one channel: it is grey, not %s", t.Name, s, p.options.Order)
	}
	return h, w, nil
}

func find(dir string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && slices.Contains([]string{".png", ".jpg", ".jpeg"}, strings.ToLower(filepath.Ext(path))) {
			paths = append(paths, path)
		}
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("samples: folder %s is missing", dir)
	case err != nil:
		return nil, fmt.Errorf("samples: %w", err)
	case len(paths) == 0:
		return nil, fmt.Errorf("samples: %s: no .png or .jpg in it", dir)
	}
	return paths, nil
}

// maxPixels bounds a picture: a damaged header may promise any size.
const maxPixels = 1 << 26

func read(path string) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("samples: %w", err)
	}
	defer f.Close()
	c, _, err := image.DecodeConfig(f)
	if err != nil {
		return nil, fmt.Errorf("samples: %s: %w", path, err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height {
		return nil, fmt.Errorf("samples: %s: a picture of %dx%d, at most %d pixels are read", path, c.Width, c.Height, maxPixels)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("samples: %w", err)
	}
	img, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("samples: %s: %w", path, err)
	}
	return img, nil
}

// sample brings a picture to h by w pixels.
func (p *Pictures) sample(img image.Image, h, w int) []uint8 {
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	from, to := img.Bounds(), dst.Rect
	switch p.options.Resize {
	case Crop:
		from = middle(from, w, h)
	case Fit:
		draw.Draw(dst, dst.Rect, image.NewUniform(image.Black), image.Point{}, draw.Src)
		to = middle(to, from.Dx(), from.Dy())
	}
	draw.BiLinear.Scale(dst, to, img, from, draw.Src, nil)
	return p.layOut(dst)
}

// middle returns the largest rectangle in the middle of r with the shape of w
// by h.
func middle(r image.Rectangle, w, h int) image.Rectangle {
	if r.Dx()*h > r.Dy()*w { // too wide
		n := max(r.Dy()*w/h, 1)
		x := r.Min.X + (r.Dx()-n)/2
		return image.Rect(x, r.Min.Y, x+n, r.Max.Y)
	}
	n := max(r.Dx()*h/w, 1)
	y := r.Min.Y + (r.Dy()-n)/2
	return image.Rect(r.Min.X, y, r.Max.X, y+n)
}

func (p *Pictures) layOut(img *image.RGBA) []uint8 {
	n := img.Rect.Dx() * img.Rect.Dy()
	out := make([]uint8, n*p.channels)
	for i := range n {
		px := img.Pix[4*i:][:3]
		rgb := [3]uint8{px[0], px[1], px[2]}
		if p.channels == 1 || p.options.Order == Grey {
			y := uint8((19595*uint32(px[0]) + 38470*uint32(px[1]) + 7471*uint32(px[2]) + 1<<15) >> 16)
			rgb = [3]uint8{y, y, y}
		} else if p.options.Order == BGR {
			rgb[0], rgb[2] = rgb[2], rgb[0]
		}
		for c := range p.channels {
			if p.planes {
				out[c*n+i] = rgb[c]
			} else {
				out[i*p.channels+c] = rgb[c]
			}
		}
	}
	return out
}

// Len is the number of pictures.
func (p *Pictures) Len() int { return len(p.pixels) }

// Name is the path of picture i.
func (p *Pictures) Name(i int) string { return p.paths[i] }

// Options are those that the pictures were read with.
func (p *Pictures) Options() PictureOptions { return p.options }

// Fill sets dst to the normalised pixels of picture i.
func (p *Pictures) Fill(i, k int, dst []float32) error {
	if k != 0 || len(dst) != len(p.pixels[i]) {
		return fmt.Errorf("samples: a picture of %d values for input %d of %d", len(p.pixels[i]), k, len(dst))
	}
	var table [3][256]float32
	for c := range p.channels {
		mean, std := p.options.Normalise.at(c)
		for v := range table[c] {
			table[c][v] = float32((float64(v) - mean) / std)
		}
	}
	plane := len(dst) / p.channels
	for at, v := range p.pixels[i] {
		c := at % p.channels
		if p.planes {
			c = at / plane
		}
		dst[at] = table[c][v]
	}
	return nil
}

// Bounds is the range of any pixel, normalised.
func (p *Pictures) Bounds(int) (lo, hi float64, ok bool) {
	for c := range p.channels {
		mean, std := p.options.Normalise.at(c)
		a, b := -mean/std, (255-mean)/std
		if c == 0 {
			lo, hi = a, b
		}
		lo, hi = min(lo, a), max(hi, b)
	}
	return lo, hi, true
}
