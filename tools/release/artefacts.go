package main

import (
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"mien/boards/image"
	"mien/runtime/licences"
)

// system is one that programs are built for, in Go alone.
type system struct {
	debian        string // what Debian calls it
	goarch, goarm string
	nfpm          string // what the maker of packages calls it
	title         string
}

// The armhf of Raspberry Pi OS is ARMv6, which every board of Debian's armhf runs,
// too: one program serves both.
var systems = []system{
	{"amd64", "amd64", "", "amd64", "Debian on amd64, in Go alone"},
	{"arm64", "arm64", "", "arm64", "Debian and Raspberry Pi OS on arm64, in Go alone"},
	{"armhf", "arm", "6", "arm6", "Debian and Raspberry Pi OS on armhf, in Go alone"},
}

// card is the system that images of cards run on.
var card = systems[1]

func cards() []string { return image.Boards() }

// artefact is one file that people take. Beside it are its signature, .minisig, its
// bill of materials, .spdx.json, and a line of SHA256SUMS.
type artefact struct {
	name  string
	parts part // whose parts its bill lists; none where no program is in it
	make  func(at string) error
}

// part are programs as they were built for systems.
type part struct {
	program  string // what the table of licences calls it
	systems  []system
	packages []string // of this module
}

// artefacts is the table from which all of a release follows.
func (r *release) artefacts() []artefact {
	var all []artefact
	for _, s := range r.systems {
		all = append(all, artefact{r.file(s.debian + ".deb"), part{"miend", []system{s}, []string{"miend"}}, func(at string) error { return r.builder.deb(s, at) }})
	}
	all = append(all, artefact{name: inRelease, make: r.archive})
	for _, b := range r.boards {
		all = append(all, artefact{r.file(b + ".img.gz"), part{"image", []system{card}, []string{"miend", "appliance"}}, func(at string) error { return r.image(b, at) }})
	}
	return append(all,
		artefact{r.file("oci.tar"), part{"miend", r.systems, []string{"miend"}}, r.container},
		artefact{name: "os_list.json", make: r.imagerList})
}

func (r *release) file(rest string) string { return "mien_" + r.version + "_" + rest }

// unpacked is what the name of an image is when it is unpacked.
func unpacked(name string) (string, bool) {
	short := name[:len(name)-len(filepath.Ext(name))]
	return short, filepath.Ext(name) == ".gz" && filepath.Ext(short) == ".img"
}

// image packs the image of a board, and leaves a signature of it as it is
// unpacked, which a board asks for that is handed the next one.
func (r *release) image(board, at string) error {
	plain, _ := unpacked(at)
	if err := r.builder.image(board, plain); err != nil {
		return err
	}
	if err := r.sign(plain); err != nil {
		return err
	}
	in, err := os.Open(plain)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(at)
	if err != nil {
		return err
	}
	z, _ := gzip.NewWriterLevel(out, gzip.BestCompression) // the level is a constant
	_, err = io.Copy(z, in)
	return errors.Join(err, z.Close(), out.Close(), os.Remove(plain))
}

// write makes all artefacts, with what stands beside them, and looks at them.
func (r *release) write() error {
	if err := errors.Join(os.RemoveAll(r.out), os.MkdirAll(r.out, 0o755)); err != nil {
		return err
	}
	for _, a := range r.artefacts() {
		at := filepath.Join(r.out, a.name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := a.make(at); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		if err := r.bill(a, at); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		if err := r.sign(at); err != nil {
			return err
		}
	}
	if err := r.sums(); err != nil {
		return err
	}
	return r.check()
}

// bill writes the bill of materials of an artefact.
func (r *release) bill(a artefact, at string) error {
	if a.parts.program == "" {
		return nil
	}
	b := licences.Build{Program: a.parts.program, Version: r.version, Info: &debug.BuildInfo{}}
	for _, s := range a.parts.systems {
		for _, p := range a.parts.packages {
			program, err := r.builder.program(s, p)
			if err != nil {
				return err
			}
			info, err := buildinfo.ReadFile(program)
			if err != nil {
				return err
			}
			b.Info.GoVersion, b.Info.Settings = info.GoVersion, append(b.Info.Settings, info.Settings...)
			for _, m := range info.Deps {
				if !slices.ContainsFunc(b.Info.Deps, func(d *debug.Module) bool { return d.Path == m.Path }) {
					b.Info.Deps = append(b.Info.Deps, m)
				}
			}
		}
	}
	out, err := os.Create(at + billed)
	if err != nil {
		return err
	}
	return errors.Join(b.SPDX(out, r.when), out.Close())
}
