// Release makes what a version of mien consists of, from one table (artefacts.go):
// packages for Debian and Raspberry Pi OS and an archive of them for apt, the images of cards
// and the list that Raspberry Pi Imager reads, an OCI image, with a bill of
// materials (SPDX) and a signature (minisign) for each, and SHA256SUMS over all.
// make release calls it. The same commit, keys and address give the same bytes.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"aead.dev/minisign"
	"github.com/ProtonMail/go-crypto/openpgp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is one version in the making.
type release struct {
	version string // as Debian sorts it
	when    time.Time
	root    string // folder of the repository
	out     string // folder of the artefacts
	url     string // where that folder will be, with a slash at its end
	key     minisign.PrivateKey
	openPGP *openpgp.Entity // signs the archive for apt
	systems []system        // that programs are built for
	boards  []string        // that images are made for
	builder builder
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	f := flag.NewFlagSet("release", flag.ContinueOnError)
	version := f.String("version", "", "version, as tools/setup/version.sh says it")
	stamp := f.String("stamp", "", "what the programs call themselves")
	epoch := f.Int64("epoch", 0, "time of the commit, in seconds")
	key := f.String("minisign", "", "file with the secret key that signs all")
	gpg := f.String("openpgp", "", "file with the armoured secret key that signs the archive for apt")
	at := f.String("url", "", "address that the artefacts will have")
	out := f.String("out", "build/release", "folder for all of it")
	if err := f.Parse(args); err != nil {
		return err
	}
	if strings.HasSuffix(*stamp, "-dirty") {
		return fmt.Errorf("the working tree differs from its commit: a release is what a commit says (git status)")
	}
	changes, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return err
	}
	if err := told(changes, *version); err != nil {
		return err
	}
	if u, err := url.Parse(*at); err != nil || u.Scheme == "" || u.Host == "" {
		return fmt.Errorf("-url %q is no address such as https://example.org/mien/ (the list for Raspberry Pi Imager names it)", *at)
	}
	r := release{version: *version, root: ".", url: strings.TrimSuffix(*at, "/") + "/", when: time.Unix(*epoch, 0).UTC(), out: filepath.Join(*out, "mien_"+*version), systems: systems, boards: cards()}
	if r.key, err = secretKey(*key, os.Stdin); err != nil {
		return err
	}
	if r.openPGP, err = openPGP(*gpg); err != nil {
		return err
	}
	public, err := r.public()
	if err != nil {
		return err
	}
	work := filepath.Join(*out, "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	pub := filepath.Join(work, "release.pub")
	if err := os.WriteFile(pub, public, 0o644); err != nil {
		return err
	}
	r.builder = commands{ctx: ctx, work: work, version: *version, stamp: *stamp, epoch: *epoch, public: pub, built: map[string]bool{}}
	if err := r.write(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: %d artefacts, signed by %s\n", r.out, len(r.artefacts()), bytes.TrimSpace(public))
	return err
}
