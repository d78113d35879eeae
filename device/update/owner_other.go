//go:build !unix

package update

// belongAsAbove has nothing to do where folders take after the one above.
func belongAsAbove(string) error { return nil }
