//go:build noasm || !(amd64 || arm64)

package kernel

// Sets returns the sets that this CPU runs, the fastest first.
func Sets() []*Set { return []*Set{Go} }
