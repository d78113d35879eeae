package npm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func archive(t *testing.T, name, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(body))
	w.Close()
	z.Close()
	return b.Bytes()
}

func TestOnlyTheVeryPackage(t *testing.T) {
	b := archive(t, "package/model.tflite", "weights")
	sum := sha256.Sum256(b)
	p := Package{"@maker/models@1.2.3", hex.EncodeToString(sum[:])}
	dir := t.TempDir()
	file := filepath.Join(dir, "maker-models-1.2.3.tgz")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := p.Kept(dir)
	if err != nil {
		t.Fatal(err)
	}
	if in, err := File(got, "package/model.tflite"); err != nil || string(in) != "weights" {
		t.Errorf("%q, %v", in, err)
	}
	if _, err := File(got, "package/other"); err == nil || !strings.Contains(err.Error(), "package/other") {
		t.Error(err)
	}
	if err := os.WriteFile(file, append(b, 0), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Kept(dir); err == nil || !strings.Contains(err.Error(), "that is not @maker/models@1.2.3") {
		t.Errorf("another package: %v", err)
	}
}
