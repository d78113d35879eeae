//go:build !race

package publish

// shadow is for the race detector: without it memory is what it is.
const shadow = 1
