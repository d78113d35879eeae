package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// Each system finds its image by its platform, all digests fit, and what is in it
// is the program.
func TestContainer(t *testing.T) {
	r := made(t, newKey(t))
	r.systems = systems
	at := filepath.Join(t.TempDir(), "oci.tar")
	if err := r.container(at); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-C", dir, "-xf", at).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	outer, err := index.IndexManifest()
	if err != nil || len(outer.Manifests) != 1 || outer.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != r.version {
		t.Fatalf("%+v, %v; want one index that is called %s", outer, err, r.version)
	}
	inner, err := index.ImageIndex(outer.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := inner.IndexManifest()
	if err != nil || len(manifests.Manifests) != 3 {
		t.Fatalf("%+v, %v", manifests, err)
	}
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"linux/amd64", "linux/arm64", "linux/arm/v7"} {
		m := manifests.Manifests[i]
		if m.Platform.String() != want {
			t.Errorf("platform %s, want %s", m.Platform, want)
		}
		img, err := inner.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil || config.Platform().String() != want || config.Config.User != "65532:65532" || !config.Created.Equal(r.when) {
			t.Errorf("%s: %+v, %v", want, config, err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatal(layers, err)
		}
		plain, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		list := exec.Command("tar", "-tf", "-") // which is stricter than Go's
		list.Stdin = plain
		if out, err := list.CombinedOutput(); err != nil {
			t.Errorf("%s: tar: %v: %s", want, err, out)
		}
		if err := plain.Close(); err != nil {
			t.Error(err)
		}
		// Queues, models and counts are written there, with nothing else of the image changed.
		if _, ok := config.Config.Volumes["/var/lib/mien"]; !ok || len(config.Config.Volumes) != 1 {
			t.Errorf("%s: volumes %v", want, config.Config.Volumes)
		}
		found, writes := false, []string{}
		for files := tar.NewReader(mutate.Extract(img)); ; {
			h, err := files.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Uid != 0 || h.Mode&0o002 != 0 {
				writes = append(writes, fmt.Sprintf("%s %d %o", h.Name, h.Uid, h.Mode))
			}
			if "/"+h.Name == config.Config.Entrypoint[0] {
				data, err := io.ReadAll(files)
				found = err == nil && bytes.Equal(data, program) && h.Mode == 0o755
			}
		}
		if got := strings.Join(writes, ", "); got != "tmp 0 1777, var/lib/mien 65532 750" {
			t.Errorf("%s: what nobody may write: %s", want, got)
		}
		if !found {
			t.Errorf("%s: %v is not the program", want, config.Config.Entrypoint)
		}
	}
}
