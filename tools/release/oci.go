package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mien/device/config"
)

// nobody is who runs in a container, by number: what it may open, its groups say.
// kept is the one folder that it writes: queues, models and counts. A volume is made
// there with the folder's owner, also where nobody names one.
const (
	nobody = 65532
	kept   = "var/lib/mien"
)

// container writes an OCI image of all systems: miend, the explained configuration
// and nothing else, in one file that podman, skopeo and docker load.
func (r *release) container(at string) error {
	var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, s := range r.systems {
		img, err := r.imageFor(s)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: s.platform()}})
	}
	dir, err := os.MkdirTemp("", "mien-oci-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	to, err := layout.Write(dir, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return err
	}
	if err := to.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version})); err != nil {
		return err
	}
	out, err := os.Create(at)
	if err != nil {
		return err
	}
	return errors.Join(r.packFolder(out, dir), out.Close())
}

// platform is what a container's runtime looks for.
func (s system) platform() *v1.Platform {
	p := &v1.Platform{OS: "linux", Architecture: s.goarch}
	if s.goarch == "arm" {
		p.Variant = "v7" // what is asked for on Debian's armhf; the program itself wants v6
	}
	return p
}

func (r *release) imageFor(s system) (v1.Image, error) {
	program, err := r.builder.program(s, "miend")
	if err != nil {
		return nil, err
	}
	miend, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	files, err := r.contents(miend)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.when}, CreatedBy: "mien release"}})
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	p := s.platform()
	file.OS, file.Architecture, file.Variant, file.Created = p.OS, p.Architecture, p.Variant, v1.Time{Time: r.when}
	file.Config = v1.Config{Entrypoint: []string{"/usr/bin/miend"}, Cmd: []string{"run"}, User: fmt.Sprintf("%d:%d", nobody, nobody), Volumes: map[string]struct{}{"/" + kept: {}},
		Labels: map[string]string{"org.opencontainers.image.title": "mien", "org.opencontainers.image.version": r.version, "org.opencontainers.image.licenses": "Apache-2.0"}}
	return mutate.ConfigFile(img, file)
}

// contents are the files of a container, packed.
func (r *release) contents(miend []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var wrong error
	for _, f := range []struct {
		name  string
		mode  int64
		owner int
		data  []byte
	}{{"etc/", 0o755, 0, nil}, {"etc/mien/", 0o755, 0, nil}, {"etc/mien/mien.yaml", 0o644, 0, config.Sample}, {"tmp/", 0o1777, 0, nil}, {"usr/", 0o755, 0, nil}, {"usr/bin/", 0o755, 0, nil},
		{"usr/bin/miend", 0o755, 0, miend}, {"var/", 0o755, 0, nil}, {"var/lib/", 0o755, 0, nil}, {kept + "/", 0o750, nobody, nil}} {
		wrong = errors.Join(wrong, pack(w, f.name, f.mode, f.owner, r.when, f.data))
	}
	wrong = errors.Join(wrong, w.Close()) // it writes the end
	return b.Bytes(), wrong
}

// pack writes a file, or a folder if its name ends in a slash.
func pack(w *tar.Writer, name string, mode int64, owner int, when time.Time, data []byte) error {
	kind := byte(tar.TypeReg)
	if name[len(name)-1] == '/' {
		kind = tar.TypeDir
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Mode: mode, Uid: owner, Gid: owner, Size: int64(len(data)), ModTime: when, Format: tar.FormatUSTAR}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	_, err := w.Write(data)
	return err
}

// packFolder writes the files of a folder, in the order of their names.
func (r *release) packFolder(out io.Writer, dir string) error {
	w := tar.NewWriter(out)
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || at == dir {
			return err
		}
		name, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			return pack(w, name+"/", 0o755, 0, r.when, nil)
		}
		data, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		return pack(w, name, 0o644, 0, r.when, data)
	})
	return errors.Join(err, w.Close())
}
