package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// File is one file of the board's file system.
type File struct {
	Data []byte
	Mode fs.FileMode // permissions; 0 means 0o644
}

// initramfs packs files, by absolute path, as the kernel unpacks them: a cpio
// archive in the "newc" format (linux Documentation/driver-api/early-userspace/
// buffer-format.rst), compressed.
func initramfs(files map[string]File) ([]byte, error) {
	var out bytes.Buffer
	// The archive is unpacked at every boot of an emulated machine, which is
	// faster than the disk: the lightest compression will do.
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	inode := 0
	entry := func(name string, mode int, data []byte) error {
		inode++
		header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
		_, err := z.Write(slices.Concat(pad(append([]byte(header+name), 0)), pad(data)))
		return err
	}
	made := map[string]bool{".": true}
	var folder func(string) error
	folder = func(dir string) error {
		if made[dir] {
			return nil
		}
		made[dir] = true
		if err := folder(filepath.Dir(dir)); err != nil {
			return err
		}
		return entry(dir, 0o040755, nil)
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		name := strings.TrimPrefix(path, "/")
		if err := folder(filepath.Dir(name)); err != nil {
			return nil, err
		}
		mode := int(files[path].Mode)
		if mode == 0 {
			mode = 0o644
		}
		if err := entry(name, 0o100000|mode, files[path].Data); err != nil {
			return nil, err
		}
	}
	if err := entry("TRAILER!!!", 0, nil); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// pad fills up with zeros to a multiple of four bytes.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// drivers are the modules that the board loads, with their parameters. Their
// dependencies come first, by themselves.
var drivers = []struct{ name, params string }{
	{"bcm2835_wdt", ""}, // turns the power off, which ends QEMU
	{"vivid", "n_devs=1 node_types=0x101 num_inputs=1 input_types=0x3 num_outputs=1 output_types=0x1 vid_cap_nr=0 vid_out_nr=10 no_error_inj=1"},
	{"i2c_dev", ""},
	{"bcm2835", ""}, // the SD host
	{"sdhci_iproc", ""},
	{"mmc_block", ""},
	{"ext4", ""},
	{"crc32c_generic", ""},
}

// modules adds the drivers of the kernel under parts to files, and the list
// of them in load order that the guest reads.
func modules(parts string, files map[string]File) error {
	where := map[string]string{}
	err := filepath.WalkDir(filepath.Join(parts, "lib/modules"), func(path string, d fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(d.Name(), ".ko"); ok && err == nil {
			where[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		return err
	}
	var list strings.Builder
	loaded := map[string]bool{}
	var add func(name, params string) error
	add = func(name, params string) error {
		path, ok := where[name]
		if !ok || loaded[name] {
			return nil // built into this kernel, or there already
		}
		loaded[name] = true
		depends, err := output("modinfo", "-F", "depends", path)
		if err != nil {
			return err
		}
		for dep := range strings.SplitSeq(strings.TrimSpace(depends), ",") {
			if err := add(strings.ReplaceAll(dep, "-", "_"), ""); err != nil {
				return err
			}
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".xz") {
			plain, err := output("xz", "-dc", path)
			if err != nil {
				return err
			}
			data = []byte(plain)
		}
		target := "/modules.d/" + name + ".ko"
		files[target] = File{Data: data}
		fmt.Fprintf(&list, "%s %s\n", target, params)
		return nil
	}
	for _, d := range drivers {
		if err := add(d.name, d.params); err != nil {
			return err
		}
	}
	if !loaded["vivid"] {
		return fmt.Errorf("e2e: the kernel under %s has no vivid driver", parts)
	}
	files["/modules"] = File{Data: []byte(list.String())}
	return nil
}

// deviceTree writes the kernel's device tree of a Raspberry Pi 3B to path,
// with what the firmware of a real one adds and without two names that clash.
func deviceTree(parts, path string) error {
	found, err := filepath.Glob(filepath.Join(parts, "usr/lib/linux-image-*/broadcom/bcm2837-rpi-3-b.dtb"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("e2e: device trees under %s: %v, %v; want one (delete build/e2e and run boards/e2e/parts.sh)", parts, found, err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	const gpio = "/soc/gpio@7e200000"
	names, err := output("fdtget", "-t", "s", path, gpio, "gpio-line-names")
	if err != nil {
		return err
	}
	// fdtget prints the names with spaces between, and two spaces for an empty
	// one; fdtput takes them as arguments.
	args := []string{"-t", "s", path, gpio, "gpio-line-names"}
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "\n"), " ") {
		if strings.HasPrefix(name, "PWM") {
			name = "AUDIO_" + name // bcm283x-gpio knows PWM0_OUT as an alias
		}
		args = append(args, name)
	}
	for _, cmd := range [][]string{
		{"-c", path, "/system"},
		{"-t", "x", path, "/system", "linux,revision", "a02082"},
		args,
	} {
		if _, err := output("fdtput", cmd...); err != nil {
			return err
		}
	}
	return nil
}

// output runs a program and returns what it prints. Its errors say which
// package brings a program that is missing.
func output(name string, args ...string) (string, error) {
	packages := map[string]string{"modinfo": "kmod", "fdtget": "device-tree-compiler", "fdtput": "device-tree-compiler",
		"xz": "xz-utils", "qemu-system-aarch64": "qemu-system-arm", "mke2fs": "e2fsprogs", "dpkg-deb": "dpkg"}
	if _, err := exec.LookPath(name); err != nil {
		return "", fmt.Errorf("e2e: %s is missing: apt-get install %s", name, packages[name])
	}
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("e2e: %s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
