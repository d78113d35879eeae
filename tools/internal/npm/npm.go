// Package npm gets packages of npm by version and hash: what is served must be
// the very package that was meant.
package npm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mien/runtime/atomicfile"
)

// Package is one version of a package.
type Package struct {
	Source string // name@version
	SHA256 string // of its archive, in hexadecimal
}

// Read reads the archive from a file.
func (p Package) Read(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != p.SHA256 {
		return nil, fmt.Errorf("%s: sha256 %x: that is not %s, which has %s", file, sum, p.Source, p.SHA256)
	}
	return b, nil
}

// Fetch has npm fetch the archive.
func (p Package) Fetch() ([]byte, error) {
	dir, err := os.MkdirTemp("", "npm")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var errs bytes.Buffer
	cmd := exec.Command("npm", "pack", "--silent", p.Source)
	cmd.Dir, cmd.Stderr = dir, &errs
	name, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("npm pack %s: %w: %s", p.Source, err, errs.Bytes())
	}
	return p.Read(filepath.Join(dir, filepath.Base(strings.TrimSpace(string(name)))))
}

// Kept reads the archive from a folder, where it is fetched into when it is not
// there.
func (p Package) Kept(dir string) ([]byte, error) {
	file := filepath.Join(dir, strings.NewReplacer("@", "-", "/", "-").Replace(strings.TrimPrefix(p.Source, "@"))+".tgz")
	if b, err := p.Read(file); !errors.Is(err, os.ErrNotExist) {
		return b, err
	}
	b, err := p.Fetch()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return b, atomicfile.Write(file, b)
}

// File returns a file of an archive, such as package/package.json.
func File(archive []byte, name string) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("no %s in the package", name)
		}
		if err != nil {
			return nil, err
		}
		if h.Name == name {
			return io.ReadAll(r)
		}
	}
}
