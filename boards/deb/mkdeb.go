//go:build ignore

// Mkdeb makes a Debian package of the firmware in a folder, and beside it a bill
// of materials of what is in the program, in SPDX's format:
//
//	go run -modfile boards/deb/nfpm.mod boards/deb/mkdeb.go DIR ARCH TITLE VERSION EPOCH OUT
//
// DIR holds miend and, if it is built with it, the TensorFlow Lite library. ARCH is
// Go's name of the architecture, arm6 and arm7 being two, and TITLE says what the
// package is built for.
//
// It stands outside the module's packages, with requirements of its own
// (nfpm.mod), because nfpm brings forty modules that no program of mien needs.
// EPOCH is the commit's time in seconds, so that the same commit gives the
// same package.
package main

import (
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"

	"mien/runtime/licences"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkdeb:", err)
		os.Exit(1)
	}
}

// maintainer is who Debian's own variables name, else who made the commit.
func maintainer() (string, error) {
	name, mail := os.Getenv("DEBFULLNAME"), os.Getenv("DEBEMAIL")
	if name != "" && mail != "" {
		return name + " <" + mail + ">", nil
	}
	who, err := exec.Command("git", "log", "-1", "--format=%an <%ae>").Output()
	if err != nil {
		return "", fmt.Errorf("git log: %w (or set DEBFULLNAME and DEBEMAIL)", err)
	}
	return strings.TrimSpace(string(who)), nil
}

func run(args []string) error {
	if len(args) != 6 {
		return fmt.Errorf("want DIR ARCH TITLE VERSION EPOCH OUT")
	}
	dir, arch, title, version, out := args[0], args[1], args[2], args[3], args[5]
	seconds, err := strconv.ParseInt(args[4], 10, 64)
	if err != nil {
		return err
	}
	when := time.Unix(seconds, 0).UTC()
	who, err := maintainer()
	if err != nil {
		return err
	}
	depends := []string{"init-system-helpers (>= 1.54)", "systemd", "udev"}
	library := filepath.Join(dir, "libtensorflowlite_c.so")
	switch _, err := os.Stat(library); {
	case err == nil:
		libc, err := glibc(filepath.Join(dir, "miend"), library)
		if err != nil {
			return err
		}
		depends = append([]string{"libc6 (>= " + libc + ")", "libgcc-s1 | libgcc1", "libstdc++6 (>= 6)"}, depends...)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		library = "" // a program in Go alone needs no other
	}
	built, err := buildinfo.ReadFile(filepath.Join(dir, "miend"))
	if err != nil {
		return err
	}
	parts := licences.Build{Program: "miend", Version: version, Info: built}
	contents, err := gather(parts, dir, library, version, who, when)
	if err != nil {
		return err
	}
	info := &nfpm.Info{
		Name: "mien", Arch: arch, Platform: "linux", Version: version, VersionSchema: "none",
		Section: "electronics", Priority: "optional", Maintainer: who, MTime: when,
		Description: "Reads faces from a camera and drives a pin header\n" +
			"miend finds faces in a camera's frames, reads emotion, age and gender from\n" +
			"them with a quantised neural network, and signals the answers on GPIO lines\n" +
			"by a written contract, on a display, on LEDs and over MQTT. No frame is\n" +
			"stored or sent.\n" +
			".\n" +
			"This package is built for: " + title + ".",
		Overridables: nfpm.Overridables{
			Depends:    depends,
			Recommends: []string{"gpiod"},
			Suggests:   []string{"ffmpeg"}, // for camera.source: rtsp://... and the like; large, and most cameras need none
			Contents:   contents,
			Scripts: nfpm.Scripts{PostInstall: "boards/deb/postinst", PreRemove: "boards/deb/prerm",
				PostRemove: "boards/deb/postrm"},
			Deb: nfpm.Deb{Compression: "xz"},
		},
	}
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return err
	}
	packager, err := nfpm.Get("deb")
	if err != nil {
		return err
	}
	var deb bytes.Buffer
	if err := packager.Package(info, &deb); err != nil {
		return err
	}
	if err := os.WriteFile(out, deb.Bytes(), 0o644); err != nil {
		return err
	}
	var bill bytes.Buffer
	if err := parts.SPDX(&bill, when); err != nil {
		return err
	}
	return os.WriteFile(strings.TrimSuffix(out, ".deb")+".spdx.json", bill.Bytes(), 0o644)
}

// glibc returns the oldest version that has all that the files ask for, from
// 2.28 on, which the compiler of the boards aims at.
func glibc(paths ...string) (string, error) {
	minor := 28
	for _, path := range paths {
		f, err := elf.Open(path)
		if err != nil {
			return "", err
		}
		symbols, err := f.ImportedSymbols()
		if err := errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		for _, s := range symbols {
			if v, ok := strings.CutPrefix(s.Version, "GLIBC_2."); ok {
				v, _, _ = strings.Cut(v, ".")
				n, err := strconv.Atoi(v)
				if err != nil {
					return "", fmt.Errorf("%s: %s asks for %s", path, s.Name, s.Version)
				}
				minor = max(minor, n)
			}
		}
	}
	return fmt.Sprintf("2.%d", minor), nil
}

// gather lists the files of the package; those that are made go to
// deb in the program's folder first.
func gather(b licences.Build, dir, library, version, who string, when time.Time) (files.Contents, error) {
	made := filepath.Join(dir, "deb")
	if err := os.MkdirAll(made, 0o755); err != nil {
		return nil, err
	}
	var pages [3][]byte
	for i, flag := range []string{"", "--config", "--bash"} {
		page, err := exec.Command("bin/miend", strings.Fields("manual "+flag)...).Output()
		if err != nil {
			return nil, fmt.Errorf("bin/miend manual %s: %w (make bin/miend first)", flag, err)
		}
		pages[i] = page
	}
	var texts bytes.Buffer
	if err := b.Print(&texts, "all"); err != nil {
		return nil, err
	}
	changelog := fmt.Sprintf("mien (%s) unstable; urgency=medium\n\n  * Built from this commit; the project's history says what changed.\n\n -- %s  %s\n",
		version, who, when.Format(time.RFC1123Z))
	for name, data := range map[string][]byte{
		"miend.8.gz":     zip(pages[0]),
		"mien.yaml.5.gz": zip(pages[1]),
		"miend":          pages[2],
		"changelog.gz":   zip([]byte(changelog)),
		"copyright":      []byte(b.Copyright()),
		"third-party.gz": zip(texts.Bytes()),
	} {
		if err := os.WriteFile(filepath.Join(made, name), data, 0o644); err != nil {
			return nil, err
		}
	}
	var all files.Contents
	add := func(src, dst, kind string, mode os.FileMode) {
		all = append(all, &files.Content{Source: src, Destination: dst, Type: kind,
			FileInfo: &files.ContentFileInfo{Mode: mode, MTime: when, Owner: "root", Group: "root"}})
	}
	overrides := "boards/deb/lintian-overrides"
	if library == "" {
		overrides = "boards/deb/lintian-overrides-alone"
	} else {
		add(library, "/usr/lib/mien/libtensorflowlite_c.so", "", 0o644)
	}
	add(filepath.Join(dir, "miend"), "/usr/lib/mien/miend", "", 0o755)
	add("../lib/mien/miend", "/usr/bin/miend", files.TypeSymlink, 0)
	add("tools/internal/deploy/install.sh", "/usr/lib/mien/deploy", "", 0o755)
	add("device/config/mien.yaml", "/usr/share/mien/mien.yaml", "", 0o644) // what it becomes, postinst says
	add("boards/deb/miend.service", "/usr/lib/systemd/system/miend.service", "", 0o644)
	add("boards/deb/mien-recover.service", "/usr/lib/systemd/system/mien-recover.service", "", 0o644)
	add("boards/deb/60-mien.rules", "/usr/lib/udev/rules.d/60-mien.rules", "", 0o644)
	add("boards/deb/mien.sysusers", "/usr/lib/sysusers.d/mien.conf", "", 0o644)
	add(overrides, "/usr/share/lintian/overrides/mien", "", 0o644)
	add(made+"/miend.8.gz", "/usr/share/man/man8/miend.8.gz", "", 0o644)
	add(made+"/mien.yaml.5.gz", "/usr/share/man/man5/mien.yaml.5.gz", "", 0o644)
	add(made+"/miend", "/usr/share/bash-completion/completions/miend", "", 0o644)
	add(made+"/changelog.gz", "/usr/share/doc/mien/changelog.gz", "", 0o644)
	add(made+"/copyright", "/usr/share/doc/mien/copyright", "", 0o644)
	add("NOTICE", "/usr/share/doc/mien/NOTICE", "", 0o644)
	add(made+"/third-party.gz", "/usr/share/doc/mien/third-party.gz", "", 0o644)
	models, err := filepath.Glob("runtime/zoo/models/*.tflite")
	if err != nil {
		return nil, err
	}
	for _, m := range models {
		add(m, "/usr/share/mien/models/"+filepath.Base(m), "", 0o644)
	}
	return all, nil
}

// zip compresses as Debian wants it: the most, and without a time.
func zip(data []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a constant
	_, _ = z.Write(data)                                  // into memory
	_ = z.Close()
	return b.Bytes()
}
