package config

import (
	"io/fs"
	"os"
	"syscall"
)

// group gives a file the group of another, where that may be done.
func group(f *os.File, like fs.FileInfo) {
	if st, ok := like.Sys().(*syscall.Stat_t); ok {
		_ = f.Chown(-1, int(st.Gid))
	}
}
