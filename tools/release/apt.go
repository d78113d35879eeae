package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/blakesmith/ar"
)

// The folder of a release is an archive for apt, too: dists/stable says which
// packages lie beside it, and is signed with OpenPGP, the only signature that apt
// knows. It is written here and not by apt-ftparchive so that a release can be made
// where there is no Debian.
const (
	inRelease  = "dists/stable/InRelease"
	archiveKey = "mien.asc" // what signed-by names
)

// openPGP reads an armoured secret key that is not locked.
func openPGP(path string) (*openpgp.Entity, error) {
	if path == "" {
		return nil, errors.New("no key for the apt archive: -openpgp FILE (gpg --quick-gen-key makes one, gpg --export-secret-keys --armor writes the file)")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ring, err := openpgp.ReadArmoredKeyRing(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(ring) != 1 || ring[0].PrivateKey == nil {
		return nil, fmt.Errorf("%s: %d keys, want one, secret (gpg --export-secret-keys --armor NAME)", path, len(ring))
	}
	return ring[0], nil
}

// valid is how long apt believes the archive: who holds somebody to an old one, whose
// faults are known, does so for that long at most. No version for longer than that
// makes apt complain, with reason.
const valid = 400 * 24 * time.Hour

// archive writes what apt reads first, at dists/stable/InRelease, and what that
// names: each list as it is and packed, and both again under their sums, by which apt
// asks for them, so that it never gets a list of another version than it was told of.
func (r *release) archive(at string) error {
	const form = "Mon, 02 Jan 2006 15:04:05 UTC"
	var said strings.Builder
	fmt.Fprintf(&said, "Origin: mien\nLabel: mien\nSuite: stable\nCodename: stable\nVersion: %s\nDate: %s\nValid-Until: %s\nAcquire-By-Hash: yes\nArchitectures:",
		r.version, r.when.Format(form), r.when.Add(valid).Format(form))
	var lists []string
	for _, s := range r.systems {
		fmt.Fprintf(&said, " %s", s.debian)
		index, err := r.index(r.file(s.debian + ".deb"))
		if err != nil {
			return err
		}
		packed, err := gzipped(index)
		if err != nil {
			return err
		}
		dir := "main/binary-" + s.debian + "/"
		for name, b := range map[string][]byte{"Packages": index, "Packages.gz": packed} {
			sum := sha256.Sum256(b)
			for _, n := range []string{name, fmt.Sprintf("by-hash/SHA256/%x", sum)} {
				path := filepath.Join(filepath.Dir(at), filepath.FromSlash(dir+n))
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
					return err
				}
			}
			lists = append(lists, fmt.Sprintf("\n %x %d %s", sum, len(b), dir+name))
		}
	}
	slices.SortFunc(lists, func(a, b string) int {
		return strings.Compare(a[strings.LastIndexByte(a, ' '):], b[strings.LastIndexByte(b, ' '):])
	})
	fmt.Fprintf(&said, "\nComponents: main\nDescription: packages of mien\nSHA256:%s\n", strings.Join(lists, ""))
	return errors.Join(r.clearSign(at, said.String()), r.exportKey(filepath.Join(r.out, archiveKey)))
}

func gzipped(b []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = z.Write(b)
	err = errors.Join(err, z.Close()) // which writes the end
	return out.Bytes(), err
}

// index is the paragraph of a package in the list of its architecture.
func (r *release) index(deb string) ([]byte, error) {
	at := filepath.Join(r.out, deb)
	control, err := controlOf(at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", deb, err)
	}
	size, sum, err := digest(at)
	return fmt.Appendf(nil, "%s\nFilename: %s\nSize: %d\nSHA256: %s\n\n", bytes.TrimSpace(control), deb, size, sum), err
}

// controlOf is what a package says of itself.
func controlOf(deb string) ([]byte, error) {
	f, err := os.Open(deb)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for members := ar.NewReader(f); ; {
		h, err := members.Next()
		if err != nil {
			return nil, fmt.Errorf("no control.tar.gz: %w", err)
		}
		if strings.TrimSuffix(h.Name, "/") != "control.tar.gz" {
			continue
		}
		z, err := gzip.NewReader(members)
		if err != nil {
			return nil, err
		}
		for files := tar.NewReader(z); ; {
			h, err := files.Next()
			if err != nil {
				return nil, fmt.Errorf("no file control: %w", err)
			}
			if strings.TrimPrefix(h.Name, "./") == "control" {
				return io.ReadAll(files)
			}
		}
	}
}

// signing is how signatures are made the same each time: at the commit's time, or
// when the key was made if that is later, as no signature is older than its key.
func (r *release) signing() *packet.Config {
	when, no := r.when, false
	if made := r.openPGP.PrimaryKey.CreationTime; made.After(when) {
		when = made
	}
	return &packet.Config{Time: func() time.Time { return when }, NonDeterministicSignaturesViaNotation: &no}
}

func (r *release) clearSign(at, text string) error {
	how := r.signing()
	key, ok := r.openPGP.SigningKey(how.Now())
	if !ok || key.PrivateKey == nil || key.PrivateKey.Encrypted {
		return errors.New("the OpenPGP key cannot sign: it has run out, is locked with a password, or is for other uses")
	}
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, key.PrivateKey, how)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(at, append(b.Bytes(), '\n'), 0o644)
}

// exportKey writes the public key.
func (r *release) exportKey(at string) error {
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(r.openPGP.Serialize(w), w.Close()); err != nil {
		return err
	}
	return os.WriteFile(at, append(b.Bytes(), '\n'), 0o644)
}
