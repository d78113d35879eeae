//go:build !amd64 || noasm

package kernel

// sets returns what this machine has.
func sets() []isa { return []isa{portable} }
