// Package image writes the appliance: the image of a card that starts miend on
// a Raspberry Pi with nothing else on it. It needs no root, no mounts and no
// programs of the system, and the same input gives the same bytes. How the card
// is laid out says package card.
package image

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/filesystem/fat16"
	"github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/diskfs/go-diskfs/filesystem/squashfs"

	"mien/boards/card"
)

// Most is how large an image may get, in bytes: it is what people download.
const Most = 80 << 20

// Options are what an image is made of.
type Options struct {
	Board    string            // one of Boards
	Kernel   string            // folder of the module github.com/gokrazy/kernel.rpi
	Firmware string            // folder of the module github.com/gokrazy/firmware
	Init     []byte            // the first process, a program for linux/arm64 without C
	Miend    []byte            // the firmware, likewise
	Name     string            // what the image is called, its version
	Time     time.Time         // of all its files
	Config   []byte            // mien.yaml
	Sample   []byte            // mien.yaml with every key explained
	Keys     map[string][]byte // public keys whose updates are taken, by file name (*.pub)
	Texts    map[string][]byte // files for people on the boot partition, by name
}

// model is what differs between boards.
type model struct {
	trees    []string // device trees
	firmware []string // beside config.txt; Raspberry Pi 5 has its own in flash
	first    []string // on the boot partition, which the chip itself reads
	imager   string   // what Raspberry Pi Imager calls the board among devices
}

// Imager's names are the tags of the devices in
// https://downloads.raspberrypi.com/os_list_imagingutility_v4.json; a Zero 2 W goes
// by a Pi 3's, whose processor it has.
var models = map[string]model{
	"rpi-zero-2w": {[]string{"bcm2710-rpi-zero-2-w.dtb", "bcm2710-rpi-zero-2.dtb"}, []string{"start.elf", "fixup.dat"}, []string{"bootcode.bin"}, "pi3-64bit"},
	"rpi3":        {[]string{"bcm2710-rpi-3-b.dtb"}, []string{"start.elf", "fixup.dat"}, []string{"bootcode.bin"}, "pi3-64bit"},
	"rpi3-plus":   {[]string{"bcm2710-rpi-3-b-plus.dtb"}, []string{"start.elf", "fixup.dat"}, []string{"bootcode.bin"}, "pi3-64bit"},
	"rpi4":        {[]string{"bcm2711-rpi-4-b.dtb"}, []string{"start4.elf", "fixup4.dat"}, nil, "pi4-64bit"},
	"rpi5":        {[]string{"bcm2712-rpi-5-b.dtb", "bcm2712-d-rpi-5-b.dtb", "bcm2712d0-rpi-5-b.dtb"}, nil, nil, "pi5-64bit"},
}

// Boards are those that an image can be made for.
func Boards() []string { return slices.Sorted(maps.Keys(models)) }

// Imager is what Raspberry Pi Imager calls a board of Boards among devices.
func Imager(board string) string { return models[board].imager }

// overlays are the parts of device trees that config.txt may name: buses and
// lines, and what the firmware itself asks for.
var overlays = []string{"overlay_map.dtb", "disable-bt.dtbo", "disable-wifi.dtbo", "dwc2.dtbo", "gpio-shutdown.dtbo", "i2c-rtc.dtbo",
	"i2c-rtc-gpio.dtbo", "miniuart-bt.dtbo", "spi0-1cs.dtbo", "spi0-2cs.dtbo", "spi1-1cs.dtbo", "vc4-kms-v3d.dtbo", "vc4-kms-v3d-pi4.dtbo", "vc4-kms-v3d-pi5.dtbo"}

// modules are those of the kernel that the first process loads, and that are
// not built into it: USB cameras.
var modules = []string{"uvcvideo"}

// config is config.txt of a slot. A kernel that does not reach the first
// process within the given seconds is restarted by the firmware's watchdog, into
// the slot that is confirmed.
const config = `# Written by mien image; the next update writes it anew.
arm_64bit=1
kernel=vmlinuz
kernel_watchdog_timeout=60
disable_splash=1
dtparam=i2c_arm=on
dtparam=spi=on
`

// arguments are those of the kernel after the root's, which stands first, at the
// beginning of a sector, so that an update can name the other root.
const arguments = " rootfstype=squashfs ro rootwait init=/init console=tty1 consoleblank=0 quiet loglevel=4 printk.devkmsg=on panic=10 oops=panic\n"

// Write makes the image at a path, or nothing.
func Write(at string, o Options) (err error) {
	m, ok := models[o.Board]
	if !ok {
		return fmt.Errorf("image: no image for board %q; there are %s", o.Board, strings.Join(Boards(), ", "))
	}
	out, err := os.CreateTemp(filepath.Dir(at), ".image-*.tmp")
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			os.Remove(out.Name())
		}
	}()
	defer dated(o.Time)()
	if err := o.write(out, m); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	if err := out.Chmod(0o644); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	return os.Rename(out.Name(), at)
}

// dated makes the FAT file systems of go-diskfs bear a time, which they take from
// the environment and not from arguments, until the function that it returns is
// called.
func dated(when time.Time) (undo func()) {
	const name = "SOURCE_DATE_EPOCH"
	before, had := os.LookupEnv(name)
	os.Setenv(name, strconv.FormatInt(when.Unix(), 10))
	return func() {
		if os.Unsetenv(name); had {
			os.Setenv(name, before)
		}
	}
}

func (o Options) write(out *os.File, m model) error {
	root, err := o.root()
	if err != nil {
		return err
	}
	end := card.A.Root().Start + int64(len(root))
	if end > card.A.Root().End() || end > Most {
		return fmt.Errorf("the root file system has %d bytes; the image would be larger than %d", len(root), int64(Most))
	}
	if err := out.Truncate(end); err != nil {
		return err
	}
	for at, sector := range card.Tables(o.Board) {
		if _, err := out.WriteAt(sector, at); err != nil {
			return err
		}
	}
	if _, err := out.WriteAt(root, card.A.Root().Start); err != nil {
		return err
	}
	disk := file.New(out, false)
	boot, err := fat16.Create(disk, card.Boot.Size, card.Boot.Start, card.Sector, "MIEN", true)
	if err != nil {
		return err
	}
	first, err := o.boot(m)
	if err != nil {
		return err
	}
	if err := fill(boot, first); err != nil {
		return err
	}
	return o.kernel(disk, m)
}

// boot are the files of the boot partition.
func (o Options) boot(m model) (map[string][]byte, error) {
	files := map[string][]byte{"AUTOBOOT.TXT": card.Autoboot(card.A), "mien.yaml": o.Config}
	for name, key := range o.Keys {
		files["keys/"+name] = key
	}
	maps.Copy(files, o.Texts)
	return files, read(files, o.Firmware, "", m.first)
}

// kernel fills slot a's kernel partition.
func (o Options) kernel(disk backend.Storage, m model) error {
	part := card.A.Kernel()
	slot, err := fat32.Create(disk, part.Size, part.Start, card.Sector, "MIEN-A", true)
	if err != nil {
		return err
	}
	files := map[string][]byte{"config.txt": []byte(config), "cmdline.txt": []byte(card.A.RootArgument() + arguments)}
	if err := errors.Join(read(files, o.Kernel, "", m.trees), read(files, o.Firmware, "", m.firmware), read(files, filepath.Join(o.Kernel, "overlays"), "overlays/", overlays)); err != nil {
		return err
	}
	linux, err := os.ReadFile(filepath.Join(o.Kernel, "vmlinuz"))
	if err != nil {
		return err
	}
	// The firmware unpacks a compressed kernel, faster than a card hands it over.
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := z.Write(linux); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	files["vmlinuz"] = packed.Bytes()
	return fill(slot, files)
}

// read adds files of a folder, by their names under prefix.
func read(to map[string][]byte, dir, prefix string, names []string) error {
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		to[prefix+name] = b
	}
	return nil
}

// folders are those that files need, each after the one that it lies in.
func folders(files map[string][]byte) []string {
	need := map[string]bool{}
	for name := range files {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			need[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(need))
}

// fill writes files into a FAT file system, in the order of their names.
func fill(fs filesystem.FileSystem, files map[string][]byte) error {
	for _, dir := range folders(files) {
		if err := fs.Mkdir("/" + dir); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := fs.OpenFile("/"+name, os.O_CREATE|os.O_RDWR)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		_, err = io.Copy(f, bytes.NewReader(files[name]))
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return fs.Close()
}

// share is where the first process looks for what is not a program.
const share = "usr/share/mien/"

// root makes the root file system, compressed: the start waits for the card
// longer than for the processor.
func (o Options) root() (b []byte, err error) {
	list, files, err := o.modules()
	if err != nil {
		return nil, err
	}
	files["init"], files["usr/bin/miend"] = o.Init, o.Miend
	files[share+"mien.yaml"], files[share+"first.yaml"] = o.Sample, o.Config
	files[share+"modules"], files[share+"image"] = list, []byte(o.Name+"\n")
	tmp, err := os.CreateTemp("", "mien-root-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	fs, err := squashfs.Create(file.New(tmp, false), card.A.Root().Size, 0, 131072)
	if err != nil {
		return nil, err
	}
	workspace := fs.Workspace() // which Finalize forgets and does not remove
	defer func() { err = errors.Join(err, os.RemoveAll(workspace)) }()
	if err := tree(workspace, files, o.Time); err != nil {
		return nil, err
	}
	nobody := uint32(0)
	if err := fs.Finalize(squashfs.FinalizeOptions{Compression: &squashfs.CompressorGzip{CompressionLevel: 6, WindowSize: 15}, FileUID: &nobody, FileGID: &nobody}); err != nil {
		return nil, err
	}
	b, err = os.ReadFile(tmp.Name())
	if err != nil || len(b) < 96 {
		return nil, fmt.Errorf("squashfs of %d bytes: %w", len(b), err)
	}
	binary.LittleEndian.PutUint32(b[8:], uint32(o.Time.Unix())) // when it was made, which is nobody's business
	return append(b, make([]byte, -len(b)&4095)...), nil
}

// tree lays the root file system out in a folder.
func tree(dir string, files map[string][]byte, when time.Time) error {
	for _, d := range []string{"boot", "data", "dev", "etc", "proc", "run", "sys", "tmp", "var/lib/mien"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for name, b := range files {
		at, mode := filepath.Join(dir, name), os.FileMode(0o644)
		if name == "init" || strings.HasPrefix(name, "usr/bin/") {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, b, mode); err != nil {
			return err
		}
		if err := os.Chmod(at, mode); err != nil { // whatever the umask
			return err
		}
	}
	return filepath.WalkDir(dir, func(at string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if err := os.Chmod(at, 0o755); err != nil {
				return err
			}
		}
		return os.Chtimes(at, when, when)
	})
}

// modules are the files of the kernel's modules, and the list of them in the
// order in which they load.
func (o Options) modules() (list []byte, files map[string][]byte, err error) {
	deps, err := filepath.Glob(filepath.Join(o.Kernel, "lib/modules/*/modules.dep"))
	if err != nil || len(deps) != 1 {
		return nil, nil, fmt.Errorf("%s has %d lists of modules, want one (%v)", o.Kernel, len(deps), err)
	}
	text, err := os.ReadFile(deps[0])
	if err != nil {
		return nil, nil, err
	}
	needs, where := map[string][]string{}, map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, rest, ok := strings.Cut(line, ":")
		if ok {
			needs[name] = strings.Fields(rest)
			where[strings.TrimSuffix(path.Base(name), ".ko")] = name
		}
	}
	files = map[string][]byte{}
	for _, m := range modules {
		name, ok := where[m]
		if !ok {
			return nil, nil, fmt.Errorf("%s has no module %s", o.Kernel, m)
		}
		order := slices.Clone(needs[name]) // each before those that it needs
		slices.Reverse(order)
		for _, n := range append(order, name) {
			at := "usr/lib/modules/" + path.Base(n)
			if files[at] != nil {
				continue
			}
			if files[at], err = os.ReadFile(filepath.Join(filepath.Dir(deps[0]), n)); err != nil {
				return nil, nil, err
			}
			list = append(list, "/"+at+"\n"...)
		}
	}
	return list, files, nil
}
