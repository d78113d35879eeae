package cmdline

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Terminal reports whether w is a terminal that can move its cursor.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// Colour reports whether to write to w in colour: a terminal, and nobody set
// NO_COLOR (no-color.org).
func Colour(w io.Writer) bool { return Terminal(w) && os.Getenv("NO_COLOR") == "" }

// Count is a number of things: "1 line", "3 lines".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
