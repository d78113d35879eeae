//go:build race

package publish

// shadow is how many times its memory a program takes at least under the race
// detector: https://go.dev/doc/articles/race_detector says 5 to 10.
const shadow = 5
