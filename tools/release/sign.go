package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"
)

// What stands beside an artefact.
const (
	signed = ".minisig"
	billed = ".spdx.json"
	list   = "SHA256SUMS"
)

// secretKey reads a secret key of minisign's. Where it wants a password, that is
// the first line of in.
func secretKey(path string, in io.Reader) (key minisign.PrivateKey, err error) {
	if path == "" {
		return key, errors.New("no key to sign with: -minisign FILE (minisign -G makes one)")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return key, err
	}
	if minisign.IsEncrypted(text) {
		fmt.Fprintf(os.Stderr, "password of %s: ", path)
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil {
			return key, fmt.Errorf("%s wants a password, as a line of the standard input: %w", path, err)
		}
		return minisign.DecryptKey(strings.TrimRight(line, "\r\n"), text)
	}
	if err := key.UnmarshalText(text); err != nil {
		return key, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// public is the other half of the key, as a file holds it.
func (r *release) public() ([]byte, error) {
	k, ok := r.key.Public().(minisign.PublicKey)
	if !ok {
		return nil, errors.New("the secret key has no public one")
	}
	return k.MarshalText()
}

// sign writes the signature of a file beside it. Its trusted comment bears the
// commit's time, for the same bytes each time, which a board that the file updates
// takes for its version.
func (r *release) sign(path string) error {
	in, err := through(path)
	if err != nil {
		return err
	}
	comment := fmt.Sprintf("timestamp:%d\tfile:%s", r.when.Unix(), filepath.Base(path))
	return os.WriteFile(path+signed, in.SignWithComments(r.key, comment, "signature of mien "+r.version), 0o644)
}

// through reads a file to its end, for what is signed or verified is its digest.
func through(path string) (*minisign.Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := minisign.NewReader(f)
	_, err = io.Copy(io.Discard, in)
	return in, err
}

// files are those of the release that SHA256SUMS lists, in order.
func (r *release) files() (names []string, err error) {
	err = filepath.WalkDir(r.out, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(r.out, at)
		if name != list && name != list+signed {
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	return names, err
}

// sums writes SHA256SUMS, and signs it.
func (r *release) sums() error {
	names, err := r.files()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, n := range names {
		_, sum, err := digest(filepath.Join(r.out, n))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s  %s\n", sum, n)
	}
	at := filepath.Join(r.out, list)
	return errors.Join(os.WriteFile(at, b.Bytes(), 0o644), r.sign(at))
}

// digest is the size of a file in bytes, and its SHA-256.
func digest(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, hex.EncodeToString(h.Sum(nil)), err
}

// check says what a release lacks: each artefact of the table has to have its
// signature and its bill of materials, and each file its sum.
func (r *release) check() error {
	text, err := os.ReadFile(filepath.Join(r.out, list))
	if err != nil {
		return err
	}
	want := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			want[name] = sum
		}
	}
	names, err := r.files()
	if err != nil {
		return err
	}
	var wrong []error
	for _, n := range names {
		if _, sum, err := digest(filepath.Join(r.out, n)); err != nil || sum != want[n] {
			wrong = append(wrong, fmt.Errorf("%s: the sum is not that of %s (%v)", n, list, err))
		}
	}
	for _, a := range append(r.artefacts(), artefact{name: list}) {
		wrong = append(wrong, r.checkSignature(a.name))
		if want[a.name] == "" && a.name != list {
			wrong = append(wrong, fmt.Errorf("%s: %s does not list it", a.name, list))
		}
		if a.parts.program != "" {
			wrong = append(wrong, checkBill(filepath.Join(r.out, a.name+billed)))
		}
	}
	return errors.Join(wrong...)
}

func (r *release) checkSignature(name string) error {
	at := filepath.Join(r.out, name)
	signature, err := os.ReadFile(at + signed)
	if err != nil {
		return err
	}
	in, err := through(at)
	if err != nil {
		return err
	}
	k, ok := r.key.Public().(minisign.PublicKey)
	if !ok || !in.Verify(k, signature) {
		return fmt.Errorf("%s: %s does not fit it", name, name+signed)
	}
	return nil
}

func checkBill(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var bill struct{ Packages []struct{ Name string } }
	if err := json.Unmarshal(text, &bill); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(bill.Packages) == 0 {
		return fmt.Errorf("%s lists no parts", path)
	}
	return nil
}
