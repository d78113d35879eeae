package data

import (
	"encoding/binary"
	"fmt"
	"image"
	"path/filepath"
	"testing"

	"mien/runtime/upright"
)

// exifJPEG is a JPEG file of img whose EXIF data give it that orientation.
func exifJPEG(t testing.TB, img image.Image, orientation byte) []byte {
	tiff := binary.LittleEndian.AppendUint32([]byte("II*\x00"), 8)
	tiff = append(tiff, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0)
	app := append([]byte("Exif\x00\x00"), tiff...)
	file := append([]byte{0xff, 0xd8, 0xff, 0xe1, 0, byte(len(app) + 2)}, app...)
	return append(file, jpegOf(t, img, 97)[2:]...)
}

// A picture that EXIF says is turned teaches what it shows upright; the cache
// knows one from the other.
func TestEXIFTurns(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	want := drawn(5, 60)
	stored := map[byte]upright.Turn{1: {}, 2: {Mirror: true}, 3: {Degrees: 180}, 6: {Degrees: 270}, 8: {Degrees: 90}}
	for n, turn := range stored {
		put(t, filepath.Join(dir, "train", "happy", fmt.Sprintf("%d.jpg", n)), exifJPEG(t, turn.Image(want), n))
	}
	for range 2 { // from the files, and from the cache
		s := load(t, "fer2013:"+dir, Options{CacheDir: cache, Validation: 1e-9})
		if len(s.Samples) == 0 {
			t.Fatal("no samples")
		}
		for i := range s.Samples {
			sum := 0
			for k, v := range s.Samples[i].Face {
				d := int(v) - int(s.Samples[0].Face[k])
				sum += max(d, -d)
			}
			if mean := float64(sum) / float64(len(s.Samples[i].Face)); mean > 3 {
				t.Errorf("%s: its face is off by %.1f grey levels", s.Samples[i].Path, mean)
			}
		}
	}
}
