package manual

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// line is a command line with what is hard to write down: dashes, quotes, a
// dot at the start, hidden flags.
type line struct {
	Quiet bool `help:".quiet starts with a dot."`
	Read  struct {
		Min    float64 `default:"0.5" help:"Least confidence, it's \"0.5\" by default."`
		Secret bool    `hidden:"" help:"Not to be seen."`
		Image  string  `arg:"" help:"Picture: a-b\\c."`
	} `cmd:"" help:"Read one picture."`
	Check struct{} `cmd:"" help:"Check the configuration."`
	Set   struct {
		List struct {
			All bool `help:"All of them."`
		} `cmd:"" help:"List a set."`
	} `cmd:"" help:"Sets."`
	Gone struct{} `cmd:"" hidden:"" help:"Not to be seen."`
}

func model(t *testing.T) *kong.Application {
	t.Helper()
	k, err := kong.New(&line{}, kong.Name("some-prog"), kong.Description("Reads faces from a camera."))
	if err != nil {
		t.Fatal(err)
	}
	return k.Model
}

// man itself reads the page and finds nothing to complain about.
func TestPage(t *testing.T) {
	var page bytes.Buffer
	if err := Page(&page, model(t), About{Section: "8", Version: "1.2", Examples: []Example{{"Do it.", "some-prog read --min 1 a.jpg\n.dot"}}, Files: [][2]string{{"/etc/x.yaml", "The configuration."}}, SeeAlso: []string{"systemctl(1)"}}); err != nil {
		t.Fatal(err)
	}
	text := read(t, &page)
	for _, want := range []string{"some-prog - reads faces from a camera", `Least confidence, it's "0.5" by default.`, `Picture: a-b\c.`,
		".quiet starts with a dot.", "--min=0.5", "Check the configuration.", "Do it.", "some-prog read --min 1 a.jpg", ".dot", "/etc/x.yaml", "systemctl(1)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Not to be seen") {
		t.Error("the page shows what is hidden")
	}
}

// The page of a file is its sample, line by line.
func TestFile(t *testing.T) {
	const sample = "# The file.\nname: a-b   # not \\e, 'quoted'\n\nlist:\n  .dot: 1\n.dot: 2\n"
	var page bytes.Buffer
	if err := File(&page, "some.yaml", "configuration of some-prog", "1.2", sample, []Example{{"To be quick.", "name: quick\n.dot: 3"}}, "some-prog(8)"); err != nil {
		t.Fatal(err)
	}
	text := read(t, &page)
	for _, want := range []string{"some.yaml - configuration of some-prog", "some-prog(8)", "To be quick.", "name: quick", ".dot: 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimPrefix(strings.TrimRight(line, "\n"), "       "))
	}
	if !strings.Contains(strings.Join(lines, "\n"), sample) {
		t.Errorf("the page does not hold the sample:\n%s", text)
	}
}

// read returns what man shows of a page that it has nothing to complain about.
func read(t *testing.T, page *bytes.Buffer) string {
	t.Helper()
	if _, err := exec.LookPath("man"); err != nil {
		t.Fatal("man is missing: apt-get install man-db")
	}
	cmd := exec.Command("man", "--warnings=w", "-l", "-P", "cat", "-")
	cmd.Env = append(cmd.Environ(), "MANWIDTH=200", "LC_ALL=C.UTF-8", "MANROFFSEQ=", "GROFF_NO_SGR=1")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = page, &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("man: %v: %s", err, stderr.String())
	}
	text := string(out)
	for i := 0; i+2 < len(text); i++ { // bold is struck twice
		if text[i+1] == '\b' {
			text = text[:i] + text[i+2:]
			i--
		}
	}
	return text
}

// bash itself runs the script.
func TestBash(t *testing.T) {
	var script bytes.Buffer
	if err := Bash(&script, model(t)); err != nil {
		t.Fatal(err)
	}
	for words, want := range map[string]string{
		"some-prog ''":              "check read set",
		"some-prog --":              "--help --quiet",
		"some-prog set ''":          "list",
		"some-prog set list --":     "--all --help --quiet",
		"some-prog re":              "read",
		"some-prog read --":         "--help --min --quiet",
		"some-prog check --":        "--help --quiet",
		"some-prog read --min 1 --": "--help --min --quiet",
	} {
		run := script.String() + "\nCOMP_WORDS=(" + words + ")\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_some_prog\nprintf '%s\\n' \"${COMPREPLY[@]}\" | sort | xargs"
		out, err := exec.Command("bash", "-c", run).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", words, got, err, want)
		}
	}
}
