//go:build !noasm && !linux

package kernel

// hasTiles knows only how to ask Linux.
func hasTiles() bool { return false }
