// Package hours types what the pages for new users tell them to type: the
// blocks marked sh, in their order, each followed by what it has to print. It
// holds tests only.
package hours
