package child

import (
	"strings"
	"testing"
)

// What the child says is not printed as it is.
func TestChildIsNoTerminal(t *testing.T) {
	var said tail
	if _, err := said.Write([]byte("hello\n\x1b[2Jbad \x07camera\n")); err != nil {
		t.Fatal(err)
	}
	if got := said.last(); strings.ContainsAny(got, "\x1b\x07") || !strings.Contains(got, "camera") {
		t.Errorf("%q", got)
	}
}
