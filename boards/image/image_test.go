package image

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat16"
	"github.com/diskfs/go-diskfs/filesystem/fat32"
	"github.com/diskfs/go-diskfs/filesystem/squashfs"

	"mien/boards"
	"mien/boards/card"
)

// options are of a small image: files that look like kernel and firmware.
func options(t *testing.T, board string) Options {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := models[board]
	for _, n := range append(append(append([]string{"vmlinuz"}, m.trees...), m.firmware...), m.first...) {
		put(n, n)
	}
	for _, n := range overlays {
		put("overlays/"+n, n)
	}
	put("lib/modules/6/modules.dep", "kernel/uvcvideo.ko: kernel/b.ko kernel/a.ko\nkernel/b.ko: kernel/a.ko\nkernel/a.ko:\n")
	for _, n := range []string{"uvcvideo", "b", "a"} {
		put("lib/modules/6/kernel/"+n+".ko", n)
	}
	return Options{Board: board, Kernel: dir, Firmware: dir, Init: []byte("init"), Miend: bytes.Repeat([]byte("miend"), 1<<18), Name: "v1",
		Time: time.Unix(1764316800, 0).UTC(), Config: []byte("name: hall\n"), Sample: []byte("# all\n"),
		Keys: map[string][]byte{"ours.pub": []byte("key")}, Texts: map[string][]byte{"licences/linux.txt": []byte("GPL")}}
}

// The same input gives the same bytes, in whatever folder and whenever, and nothing
// is left of the way there.
func TestSameBytes(t *testing.T) {
	var images [2][]byte
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	for i := range images {
		if i == 1 {
			time.Sleep(2100 * time.Millisecond) // FAT counts in steps of two seconds
		}
		at := filepath.Join(t.TempDir(), "card.img")
		if err := Write(at, options(t, "rpi3")); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		images[i] = b
	}
	for i := range images[0] {
		if images[0][i] != images[1][i] {
			t.Fatalf("they part at byte %#x", i)
		}
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// What is in an image is found where firmware, kernel and first process look.
func TestContents(t *testing.T) {
	at := filepath.Join(t.TempDir(), "card.img")
	if err := Write(at, options(t, "rpi3")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := (card.Image{ReaderAt: f, Size: info.Size()}).Check("rpi3"); err != nil {
		t.Error(err)
	}
	if s, err := card.Default(f); err != nil || s != card.A {
		t.Errorf("slot %v starts (%v)", s, err)
	}
	disk := file.New(f, true)
	boot, err := fat16.Read(disk, card.Boot.Size, card.Boot.Start, card.Sector)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"autoboot.txt": string(card.Autoboot(card.A)), "mien.yaml": "name: hall\n", "keys/ours.pub": "key", "licences/linux.txt": "GPL", "bootcode.bin": "bootcode.bin"} {
		if b, err := boot.ReadFile(name); err != nil || string(b) != want {
			t.Errorf("%s is %q (%v)", name, b, err)
		}
	}
	kernel, err := fat32.Read(disk, card.A.Kernel().Size, card.A.Kernel().Start, card.Sector)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := kernel.ReadFile("cmdline.txt"); err != nil || !strings.HasPrefix(string(b), card.A.RootArgument()+" ") {
		t.Errorf("cmdline.txt is %q (%v)", b, err)
	}
	if b, err := kernel.ReadFile("vmlinuz"); err != nil || !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		t.Errorf("the kernel is not compressed: %.8x (%v)", b, err)
	}
	root, err := squashfs.Read(disk, info.Size()-card.A.Root().Start, card.A.Root().Start, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := root.ReadFile("usr/share/mien/modules"); err != nil || string(b) != "/usr/lib/modules/a.ko\n/usr/lib/modules/b.ko\n/usr/lib/modules/uvcvideo.ko\n" {
		t.Errorf("modules load as %q (%v)", b, err)
	}
	if st, err := root.Stat("init"); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("init: %v", err)
	}
}

// Every board that has an image is one of the boards, and an arm64 one.
func TestBoards(t *testing.T) {
	for _, name := range Boards() {
		if b, err := boards.ByName(name); err != nil || b.Arch != "arm64" {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := options(t, "rpi3")
	o.Board = "coral-mini"
	if err := Write(filepath.Join(t.TempDir(), "x.img"), o); err == nil {
		t.Error("an image for a board that has none")
	}
}

// What goes wrong leaves no file.
func TestNothingIsLeft(t *testing.T) {
	o := options(t, "rpi4")
	o.Kernel = t.TempDir()
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, "card.img"), o); err == nil {
		t.Fatal("an image without a kernel")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
}
