package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/ProtonMail/go-crypto/openpgp"
)

// small is a builder of what is no program for a board: quick, and of few bytes.
type small struct{ t *testing.T }

// program is this test, which bears notes of Go on what is in it.
func (small) program(system, string) (string, error) { return os.Executable() }

func (small) deb(s system, at string) error {
	deb, err := littleDeb(s)
	if err != nil {
		return err
	}
	return os.WriteFile(at, deb, 0o600)
}

func (small) image(board, at string) error {
	return os.WriteFile(at, bytes.Repeat([]byte("card of "+board+"\n"), 1000), 0o600)
}

// today is when a release of these tests was made: apt believes none that is old.
var today = time.Now().UTC().Truncate(time.Second)

// made is a release of one system and one board.
func made(t *testing.T, key minisign.PrivateKey) *release {
	t.Helper()
	return madeWith(t, key, newOpenPGP(t))
}

func madeWith(t *testing.T, key minisign.PrivateKey, gpg *openpgp.Entity) *release {
	t.Helper()
	r := &release{version: "0.2.0", when: today, out: filepath.Join(t.TempDir(), "mien_0.2.0"), root: "../..", url: "https://example.org/mien/", key: key, openPGP: gpg,
		systems: systems[:1], boards: []string{"rpi4"}, builder: small{t}}
	if err := r.write(); err != nil {
		t.Fatal(err)
	}
	return r
}

func newKey(t *testing.T) minisign.PrivateKey {
	t.Helper()
	_, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A release lacks nothing, and what is taken from it or changed in it is seen.
func TestNothingIsLacking(t *testing.T) {
	r := made(t, newKey(t))
	for _, a := range r.artefacts() {
		endings := []string{"", signed}
		if a.parts.program != "" {
			endings = append(endings, billed)
		}
		for _, ending := range endings {
			at := filepath.Join(r.out, a.name+ending)
			was, err := os.ReadFile(at)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(at); err != nil {
				t.Fatal(err)
			}
			if err := r.check(); err == nil || !strings.Contains(err.Error(), a.name+ending) {
				t.Errorf("without %s: %v", at, err)
			}
			changed := bytes.Clone(was)
			changed[len(changed)/2] ^= 1
			if err := os.WriteFile(at, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := r.check(); err == nil {
				t.Errorf("a changed %s is not seen", at)
			}
			if err := os.WriteFile(at, was, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(r.out, "stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.check(); err == nil {
		t.Error("a file without a sum is not seen")
	}
	if err := os.Remove(filepath.Join(r.out, "stray")); err != nil {
		t.Fatal(err)
	}
	if err := r.check(); err != nil {
		t.Error(err)
	}
	r.systems = systems[:2]
	if err := r.check(); err == nil || !strings.Contains(err.Error(), systems[1].debian+".deb") {
		t.Errorf("an artefact of the table that was not made: %v", err)
	}
}

// The sums are what sha256sum, which is not ours, makes of the files.
func TestSums(t *testing.T) {
	r := made(t, newKey(t))
	cmd := exec.Command("sha256sum", "--check", "--strict", list)
	cmd.Dir = r.out
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v: %s", err, out)
	}
}

// The same input gives the same bytes.
func TestSameBytes(t *testing.T) {
	key, gpg := newKey(t), newOpenPGP(t)
	one, other := madeWith(t, key, gpg), madeWith(t, key, gpg)
	names, err := one.files()
	if err != nil || len(names) < 6 {
		t.Fatal(names, err)
	}
	for _, n := range append(names, list, list+signed) {
		a, err := os.ReadFile(filepath.Join(one.out, n))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(other.out, n))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s is not the same twice", n)
		}
	}
}

// What signs an image signs it unpacked, too: a board asks for that.
func TestImagesAreSignedUnpacked(t *testing.T) {
	r := made(t, newKey(t))
	packed := filepath.Join(r.out, r.file("rpi4.img.gz"))
	plain, ok := unpacked(packed)
	if !ok {
		t.Fatal(packed)
	}
	out, err := exec.Command("gzip", "-dc", packed).Output()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := os.ReadFile(plain + signed)
	if err != nil {
		t.Fatal(err)
	}
	in := minisign.NewReader(bytes.NewReader(out))
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Fatal(err)
	}
	if k, _ := r.key.Public().(minisign.PublicKey); !in.Verify(k, signature) {
		t.Errorf("%s does not fit the image", plain+signed)
	}
	if !strings.Contains(string(signature), fmt.Sprintf("timestamp:%d\tfile:%s", r.when.Unix(), filepath.Base(plain))) {
		t.Errorf("the signature says no version:\n%s", signature)
	}
}

func TestSecretKey(t *testing.T) {
	key := newKey(t)
	locked, err := minisign.EncryptKey("open sesame", key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := key.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "minisign.key")
	for _, c := range []struct {
		file     []byte
		password string
		ok       bool
	}{{plain, "", true}, {locked, "open sesame\n", true}, {locked, "", false}, {[]byte("none"), "", false}} {
		if err := os.WriteFile(at, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := secretKey(at, strings.NewReader(c.password))
		if ok := err == nil && got.Equal(key); ok != c.ok {
			t.Errorf("key %.20q, password %q: %v", c.file, c.password, err)
		}
	}
	if _, err := secretKey("", nil); err == nil {
		t.Error("nothing is signed without a key")
	}
}

// The change log names every version that was tagged, and holds what is to come.
func TestChangeLogNamesVersions(t *testing.T) {
	changes, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	tags, err := exec.Command("git", "tag", "--merged", "HEAD", "--list", "v[0-9]*").Output()
	if err != nil {
		t.Fatal(err)
	}
	for tag := range strings.FieldsSeq(string(tags)) {
		if err := told(changes, strings.TrimPrefix(tag, "v")); err != nil {
			t.Error(err)
		}
	}
	version, err := exec.Command("../setup/version.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := told(changes, strings.TrimSpace(string(version))); err != nil {
		t.Error(err)
	}
	for log, versions := range map[string]map[string]bool{
		"# Changes\n\n## Not released yet\n":   {"0.1.0~git202611282042.4fb299f2e": true, "0.2.0+git7.4fb299f2e": true, "0.2.0": false},
		"# Changes\n\n## 0.2.0 (2026-11-28)\n": {"0.2.0": true, "0.2.1": false, "0.2.0+git7.4fb299f2e": false},
	} {
		for version, ok := range versions {
			if err := told([]byte(log), version); (err == nil) != ok {
				t.Errorf("%q, version %s: %v", log, version, err)
			}
		}
	}
}
