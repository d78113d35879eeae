package picture

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadGray(t *testing.T) {
	src := image.NewRGBA(image.Rect(0, 0, 3, 2))
	src.Set(2, 1, color.White)
	src.Set(0, 0, color.RGBA{R: 255, A: 255})
	var b bytes.Buffer
	if err := png.Encode(&b, src); err != nil {
		t.Fatal(err)
	}
	file := func(name string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	got, err := ReadGray(file("a.png", b.Bytes()))
	if err != nil || got.Rect != image.Rect(0, 0, 3, 2) || got.GrayAt(2, 1).Y != 255 || got.GrayAt(0, 0).Y != 76 || got.GrayAt(1, 0).Y != 0 {
		t.Errorf("%v, %v", got, err)
	}
	// The size stands in the first chunk, with a checksum behind it.
	large := bytes.Clone(b.Bytes())
	binary.BigEndian.PutUint32(large[16:], 20000)
	binary.BigEndian.PutUint32(large[20:], 20000)
	binary.BigEndian.PutUint32(large[29:], crc32.ChecksumIEEE(large[12:29]))
	for name, c := range map[string]struct {
		path string
		says string
	}{
		"large": {file("large.png", large), "20000x20000"},
		"cut":   {file("cut.png", b.Bytes()[:len(b.Bytes())-20]), "cut.png"},
		"text":  {file("text.png", []byte("hello")), "text.png"},
		"none":  {"/no/such.png", "/no/such.png"},
	} {
		if _, err := ReadGray(c.path); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
