// Package rules keeps the shape of the repository: which package may import
// which, and what no file may mention. It holds tests only.
package rules
