package face

import (
	"bytes"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mien/camera/replay/portrait"

	pigo "github.com/esimov/pigo/core"
)

func TestCascadesAreThoseOfPigo(t *testing.T) {
	out, err := exec.Command("go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", "github.com/esimov/pigo").Output()
	if err != nil {
		t.Fatalf("where is pigo's module? %v (try: go mod download)", err)
	}
	for name, ours := range map[string][]byte{"facefinder": finderFile, "puploc": pupilFile} {
		theirs, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "cascade", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Errorf("cascade/%s is not pigo's: %d bytes, pigo has %d", name, len(ours), len(theirs))
		}
	}
}

func imageParams(img *image.Gray) pigo.ImageParams {
	return pigo.ImageParams{Pixels: img.Pix, Rows: img.Rect.Dy(), Cols: img.Rect.Dx(), Dim: img.Stride}
}

// noise is a picture of blobs: enough like nature that the cascade goes deep
// at many places.
func noise(w, h int, seed uint64) *image.Gray {
	rng := rand.New(rand.NewPCG(seed, 1))
	small := image.NewGray(image.Rect(0, 0, w/6, h/6))
	for i := range small.Pix {
		small.Pix[i] = uint8(rng.IntN(256))
	}
	img := image.NewGray(image.Rect(0, 0, w, h))
	sample(img, small, frame{float64(w)/12 - 0.5, float64(h)/12 - 0.5, float64(w) / 6, 0})
	return img
}

// Window for window, what the cascade says is what pigo says.
func TestScanAgreesWithPigo(t *testing.T) {
	p, err := pigo.NewPigo().Unpack(finderFile)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, img := range []*image.Gray{portrait.Gray(), noise(320, 240, 1), noise(240, 320, 2)} {
		for _, o := range []Options{{}, {MinSize: 24, Step: 0.05, Grow: 1.05}, {MinSize: 31, MaxSize: 200, Step: 0.13, Grow: 1.23}} {
			d := newDetector(t, o)
			largest := min(img.Rect.Dx(), img.Rect.Dy())
			if d.o.MaxSize > 0 {
				largest = min(largest, d.o.MaxSize)
			}
			want := p.RunCascade(pigo.CascadeParams{MinSize: d.o.MinSize, MaxSize: largest, ShiftFactor: d.o.Step, ScaleFactor: d.o.Grow, ImageParams: imageParams(img)}, 0)
			got := d.scan(img, 0, nil)
			if len(got) != len(want) {
				t.Fatalf("picture %d, %+v: %d windows, pigo has %d", i, o, len(got), len(want))
			}
			for k, w := range want {
				if g := got[k]; g.row != float64(w.Row) || g.col != float64(w.Col) || g.size != float64(w.Scale) || g.score != w.Q {
					t.Fatalf("picture %d, %+v: window %d is %+v, pigo has %+v", i, o, k, g, w)
				}
			}
			total += len(got)
		}
	}
	if total < 100 {
		t.Errorf("only %d windows compared", total)
	}
}

// pigo's guesses are random and ours are not, but both end at the same pupils.
func TestPupilsAgreeWithPigo(t *testing.T) {
	theirs, err := pigo.NewPuplocCascade().UnpackCascade(pupilFile)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := parsePupils(pupilFile)
	if err != nil {
		t.Fatal(err)
	}
	img := portrait.Gray()
	for _, eye := range []image.Point{portrait.LeftEye, portrait.RightEye} {
		for _, off := range []image.Point{{0, 0}, {3, -3}, {-2, 4}} {
			row, col, scale := eye.Y+off.Y, eye.X+off.X, 28
			p := theirs.RunDetector(pigo.Puploc{Row: row, Col: col, Scale: float32(scale), Perturbs: 63}, imageParams(img), 0, false)
			got, spread := ours.locate(img, float64(row), float64(col), float64(scale), turnOf(0), guesses)
			if math.Abs(got.X-float64(p.Col)) > 2 || math.Abs(got.Y-float64(p.Row)) > 2 {
				t.Errorf("eye at %v from %v: %v, pigo has row %d column %d", eye, off, got, p.Row, p.Col)
			}
			if math.Hypot(got.X-float64(eye.X), got.Y-float64(eye.Y)) > 2 {
				t.Errorf("eye at %v from %v: found at %v", eye, off, got)
			}
			if spread > 1 {
				t.Errorf("eye at %v: the walks end %.2f pixels apart", eye, spread)
			}
		}
	}
}

func TestDamagedCascades(t *testing.T) {
	if _, err := parseFinder(finderFile); err != nil {
		t.Fatal(err)
	}
	if _, err := parsePupils(pupilFile); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 7, 15, 16, 17, 600, len(finderFile) - 1} {
		if _, err := parseFinder(finderFile[:n]); err == nil {
			t.Errorf("a finder's cascade cut to %d bytes was accepted", n)
		}
		if _, err := parsePupils(pupilFile[:n]); err == nil {
			t.Errorf("a pupils' cascade cut to %d bytes was accepted", n)
		}
	}
	long := append(bytes.Clone(finderFile), 0)
	if _, err := parseFinder(long); err == nil {
		t.Error("a finder's cascade with a byte too many was accepted")
	}
}

func FuzzCascades(f *testing.F) {
	f.Add(finderFile[:16+2*512])
	f.Add(pupilFile[:64])
	f.Add([]byte{1, 0, 0, 0, 0, 0, 64, 63, 1, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	img := noise(64, 48, 3)
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parsePupils(b); err == nil {
			p.locate(img, 20, 30, 15, turnOf(10), guesses)
		}
		if p, err := parseFinder(b); err == nil {
			p.score(img.Pix, 24*64+30, p.table(newLens(40, 64, 0, false)))
		}
	})
}
