package system

import (
	"fmt"
	"os"
	"unsafe"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/ext4"
	"golang.org/x/sys/unix"

	"mien/boards/card"
)

// firstSize is how large the data partition's file system is made: with as little
// as has to be written to have a journal (4 MB of zeros). It grows while it is
// in use.
const firstSize = 120 << 20

// format makes an ext4 file system on a partition.
func format(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := ext4.Create(file.New(f, false), firstSize, 0, card.Sector, &ext4.Params{VolumeName: "mien-data", InodeCount: 2048}); err != nil {
		return err
	}
	return f.Sync()
}

// grow makes the file system that is mounted somewhere as large as its partition.
func grow(mounted string) error {
	d, err := os.Open(mounted)
	if err != nil {
		return err
	}
	defer d.Close()
	const resize = 0x40086610 // EXT4_IOC_RESIZE_FS, linux/fs/ext4/ext4.h
	blocks := uint64(card.Data.Size / 4096)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), resize, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return fmt.Errorf("growing %s: %w", mounted, errno)
	}
	return nil
}

// forget drops what the kernel keeps of a block device in memory.
func forget(f *os.File) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKFLSBUF, 0); errno != 0 {
		return fmt.Errorf("%s: BLKFLSBUF: %w", f.Name(), errno)
	}
	return nil
}

// restartWith restarts the board and tells its firmware something.
func restartWith(argument []byte) error {
	_, _, errno := unix.Syscall6(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_RESTART2,
		uintptr(unsafe.Pointer(&argument[0])), 0, 0)
	return errno
}

// blockDevice is a card as the kernel shows it. What was read of it before is
// forgotten at each Sync, so that reading back asks the card.
type blockDevice struct{ *os.File }

func (b blockDevice) Sync() error {
	if err := b.File.Sync(); err != nil {
		return err
	}
	return forget(b.File)
}
