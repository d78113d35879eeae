package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/blakesmith/ar"
)

func newOpenPGP(t *testing.T) *openpgp.Entity {
	t.Helper()
	made := func() time.Time { return time.Unix(1700000000, 0) }
	key, err := openpgp.NewEntity("mien", "", "mien@mien.invalid", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: made})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// littleDeb is a package that holds nothing but what it says of itself.
func littleDeb(s system) ([]byte, error) {
	control := fmt.Sprintf("Package: mien\nVersion: 0.2.0\nArchitecture: %s\nMaintainer: mien <mien@mien.invalid>\nDescription: a test\n", s.debian)
	var packed, deb bytes.Buffer
	z := gzip.NewWriter(&packed)
	files := tar.NewWriter(z)
	err := files.WriteHeader(&tar.Header{Name: "./control", Mode: 0o644, Size: int64(len(control))})
	_, err2 := files.Write([]byte(control))
	err = errors.Join(err, err2, files.Close(), z.Close())
	members := ar.NewWriter(&deb)
	err = errors.Join(err, members.WriteGlobalHeader())
	for _, m := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", packed.Bytes()}, {"data.tar.gz", packed.Bytes()}} {
		_, err2 := func() (int, error) {
			if err := members.WriteHeader(&ar.Header{Name: m.name, ModTime: time.Unix(0, 0), Mode: 0o100644, Size: int64(len(m.data))}); err != nil {
				return 0, err
			}
			return members.Write(m.data)
		}()
		err = errors.Join(err, err2)
	}
	return deb.Bytes(), err
}

// private is an apt that knows nothing of this machine's.
type private struct {
	t    *testing.T
	dir  string
	args []string
}

func newPrivate(t *testing.T, source string) private {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Fatal("apt-get is missing: an archive is tried by a Debian's own apt")
	}
	p := private{t: t, dir: t.TempDir()}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d", "etc/trusted.gpg.d"} {
		if err := os.MkdirAll(filepath.Join(p.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"etc/sources.list": source, "status": ""} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []string{"Dir::State=" + p.dir + "/state", "Dir::State::status=" + p.dir + "/status", "Dir::Cache=" + p.dir + "/cache",
		"Dir::Etc=" + p.dir + "/etc", "APT::Architecture=amd64", "APT::Architectures=amd64", "APT::Sandbox::User=", "Acquire::http::Proxy=DIRECT",
		"Acquire::Languages=none", "Acquire::Check-Valid-Until=true", "Acquire::Check-Date=true", "APT::Update::Error-Mode=any"} {
		p.args = append(p.args, "-o", o)
	}
	return p
}

func (p private) run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, append(p.args, args...)...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A real apt finds the package, takes it, and takes nothing that the key did not
// sign.
func TestAptReadsTheArchive(t *testing.T) {
	r := made(t, newKey(t))
	var mu sync.Mutex
	var asked []string
	files := http.FileServer(http.Dir(r.out))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		asked = append(asked, q.URL.Path)
		mu.Unlock()
		files.ServeHTTP(w, q)
	}))
	defer server.Close()
	source := func(key string) string { return fmt.Sprintf("deb [signed-by=%s] %s/ stable main\n", key, server.URL) }
	own := filepath.Join(r.out, archiveKey)

	p := newPrivate(t, source(own))
	if out, err := p.run("apt-get", "update"); err != nil || strings.Contains(out, "W:") {
		t.Fatalf("apt-get update: %v:\n%s", err, out)
	}
	packed, err := os.ReadFile(filepath.Join(r.out, "dists/stable/main/binary-amd64/Packages.gz"))
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if want := fmt.Sprintf("/dists/stable/main/binary-amd64/by-hash/SHA256/%x", sha256.Sum256(packed)); !slices.Contains(asked, want) {
		t.Errorf("apt asks for %q, want %s: the packed list by its sum", asked, want)
	}
	mu.Unlock()
	if out, err := p.run("apt-cache", "policy", "mien"); err != nil || !strings.Contains(out, "Candidate: 0.2.0") {
		t.Fatalf("apt-cache policy: %v:\n%s", err, out)
	}
	if out, err := p.run("apt-get", "download", "mien"); err != nil {
		t.Fatalf("apt-get download: %v:\n%s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(p.dir, "mien_0.2.0_amd64.deb"))
	want, err2 := os.ReadFile(filepath.Join(r.out, r.file("amd64.deb")))
	if err := errors.Join(err, err2); err != nil || !bytes.Equal(got, want) {
		t.Errorf("apt brought another package (%v)", err)
	}

	other := filepath.Join(t.TempDir(), "other.asc")
	stranger := release{openPGP: newOpenPGP(t)}
	if err := stranger.exportKey(other); err != nil {
		t.Fatal(err)
	}
	if out, err := newPrivate(t, source(other)).run("apt-get", "update"); err == nil {
		t.Errorf("apt takes an archive that another key signed:\n%s", out)
	}
	lists, err := filepath.Glob(filepath.Join(r.out, "dists/stable/main/binary-amd64/by-hash/SHA256/*"))
	if err != nil || len(lists) != 2 {
		t.Fatalf("%d lists by their sums, %v", len(lists), err)
	}
	changed, err := gzipped(bytes.Replace(unzipped(t, packed), []byte("0.2.0"), []byte("0.2.1"), 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range append(lists, filepath.Join(r.out, "dists/stable/main/binary-amd64/Packages.gz"), filepath.Join(r.out, "dists/stable/main/binary-amd64/Packages")) {
		if err := os.WriteFile(l, changed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := newPrivate(t, source(own)).run("apt-get", "update"); err == nil {
		t.Errorf("apt takes a list that was changed:\n%s", out)
	}
}

func unzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// An archive that is as old as nobody should still use it is refused by apt, which
// says so, also where its signature is good.
func TestAptRefusesAnOldArchive(t *testing.T) {
	for ago, want := range map[time.Duration]bool{valid - 24*time.Hour: true, valid + 24*time.Hour: false} {
		r := made(t, newKey(t))
		r.when = today.Add(-ago)
		if err := r.archive(filepath.Join(r.out, inRelease)); err != nil {
			t.Fatal(err)
		}
		p := newPrivate(t, fmt.Sprintf("deb [signed-by=%s] file:%s/ stable main\n", filepath.Join(r.out, archiveKey), r.out))
		out, err := p.run("apt-get", "update")
		if (err == nil) != want || !want && !strings.Contains(out, "expired") {
			t.Errorf("%v old: %v:\n%s", ago, err, out)
		}
	}
}

// What is no key, or none that can sign, is refused.
func TestOpenPGPKey(t *testing.T) {
	r := release{openPGP: newOpenPGP(t), when: time.Unix(1764316800, 0)}
	public := filepath.Join(t.TempDir(), "public.asc")
	if err := r.exportKey(public); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "gone", "apt_test.go", public} {
		if _, err := openPGP(path); err == nil {
			t.Errorf("%q is taken for a secret key", path)
		}
	}
}
