// Package plainfile reads files that others named: a device or a pipe, which may
// have no end or no beginning, is refused, and so is what is too long.
package plainfile

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Read reads the file at path, of most bytes at most.
func Read(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no plain file (%s)", path, info.Mode().Type())
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s: %d bytes are too many, at most %d are allowed", path, info.Size(), most)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1)) // it may grow meanwhile
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return data, err
}
