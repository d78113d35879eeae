// Package manual writes the manual page and the shell completion of a command
// line that kong parses, so that neither can say other than the program does.
package manual

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// About is what the command line itself does not know.
type About struct {
	Section  string // of the manual, for instance "8"
	Version  string // of the program
	Examples []Example
	Files    [][2]string // paths and what they are
	SeeAlso  []string    // other pages, for instance "systemctl(1)"
}

// Example is what something is for, and the lines to type for it.
type Example [2]string

// Page writes the manual page of app in man(7)'s format.
func Page(w io.Writer, app *kong.Application, a About) error {
	p := page{bufio.NewWriter(w)}
	p.line(".TH %s %s \"\" %s %s", quote(strings.ToUpper(app.Name)), quote(a.Section), quote(app.Name+" "+a.Version), quote("mien"))
	p.line(".SH NAME")
	p.line("%s \\- %s", escape(app.Name), escape(lower(app.Help)))
	p.line(".SH SYNOPSIS")
	for _, n := range app.Leaves(true) {
		p.line(".B %s", escape(strings.TrimSpace(n.FullPath())))
		p.line("%s", escape(strings.TrimSpace(strings.TrimPrefix(n.Summary(), n.Path()))))
		p.line(".br")
	}
	p.line(".SH COMMANDS")
	for _, n := range app.Leaves(true) {
		p.line(".SS %s", quote(n.Path()))
		p.line("%s", escape(n.Help))
		if n.Detail != "" {
			p.line(".PP")
			p.line("%s", escape(n.Detail))
		}
		for _, arg := range n.Positional {
			p.item("\\fI"+escape(arg.Name)+"\\fR", arg.Help)
		}
		p.flags(n.Flags)
	}
	p.line(".SH OPTIONS")
	p.line("These go with every command.")
	p.flags(app.Flags)
	p.examples(a.Examples)
	if len(a.Files) > 0 {
		p.line(".SH FILES")
		for _, f := range a.Files {
			p.item("\\fI"+escape(f[0])+"\\fR", f[1])
		}
	}
	p.line(".SH EXIT STATUS")
	p.line("0 when all went well; 1 when something failed, 2 when the command line is wrong: the standard error says what; 130 when Ctrl\\-C ended work that was not done.")
	if len(a.SeeAlso) > 0 {
		p.line(".SH SEE ALSO")
		p.line("%s", escape(strings.Join(a.SeeAlso, ", ")))
	}
	return p.w.Flush()
}

// File writes the manual page of a configuration file that documents itself:
// its annotated sample, as it stands, and examples.
func File(w io.Writer, name, summary, version, sample string, examples []Example, seeAlso ...string) error {
	p := page{bufio.NewWriter(w)}
	p.line(".TH %s 5 \"\" %s %s", quote(strings.ToUpper(name)), quote(version), quote("mien"))
	p.line(".SH NAME")
	p.line("%s \\- %s", escape(name), escape(summary))
	p.line(".SH DESCRIPTION")
	p.asTheyStand(sample)
	p.examples(examples)
	p.line(".SH SEE ALSO")
	p.line("%s", escape(strings.Join(seeAlso, ", ")))
	return p.w.Flush()
}

// page writes lines; bufio keeps the first error for Flush.
type page struct{ w *bufio.Writer }

func (p page) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (p page) item(title, text string) {
	p.line(".TP")
	p.line("%s", title)
	p.line("%s", escape(text))
}

func (p page) examples(examples []Example) {
	p.line(".SH EXAMPLES")
	for _, x := range examples {
		p.line(".PP")
		p.line("%s", escape(x[0]))
		p.line(".PP")
		p.line(".RS 4")
		p.asTheyStand(x[1])
		p.line(".RE")
	}
}

// asTheyStand writes lines that are not filled up.
func (p page) asTheyStand(lines string) {
	p.line(".nf")
	for line := range strings.Lines(lines) {
		p.line("%s", escape(strings.TrimSuffix(line, "\n")))
	}
	p.line(".fi")
}

func (p page) flags(flags []*kong.Flag) {
	for _, f := range flags {
		if !f.Hidden {
			p.item("\\fB"+escape(f.String())+"\\fR", f.Help)
		}
	}
}

// escape keeps text from being taken as a request or a hyphen.
func escape(s string) string {
	s = strings.NewReplacer("\\", "\\e", "-", "\\-", "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = "\\&" + s
	}
	return s
}

func quote(s string) string { return `"` + strings.ReplaceAll(escape(s), `"`, `\(dq`) + `"` }

// lower makes a sentence fit for the line that apropos(1) reads.
func lower(s string) string {
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// Bash writes a completion script for bash: commands first, then each
// command's flags, then files.
func Bash(w io.Writer, app *kong.Application) error {
	p := page{bufio.NewWriter(w)}
	name := strings.NewReplacer("-", "_").Replace(app.Name)
	p.line("# bash completion for %s, made from its own command line", app.Name)
	p.line("_%s() {", name)
	p.line("    local word=${COMP_WORDS[COMP_CWORD]} flags=%s", shell(flagNames(app.Flags)))
	p.line("    case ${COMP_WORDS[1]} in")
	for _, n := range app.Children {
		if n.Hidden {
			continue
		}
		p.line("    %s)", n.Name)
		if len(n.Children) > 0 {
			p.line("        if [ \"$COMP_CWORD\" = 2 ]; then")
			p.line("            COMPREPLY=($(compgen -W %s -- \"$word\"))", shell(names(n.Children)))
			p.line("            return")
			p.line("        fi")
		}
		flags := flagNames(n.Flags)
		for _, below := range n.Children {
			flags += " " + flagNames(below.Flags)
		}
		p.line("        flags+=%s ;;", shell(" "+flags))
	}
	p.line("    *)")
	p.line("        if [ \"$COMP_CWORD\" = 1 ] && [[ $word != -* ]]; then")
	p.line("            COMPREPLY=($(compgen -W %s -- \"$word\"))", shell(names(app.Children)))
	p.line("            return")
	p.line("        fi ;;")
	p.line("    esac")
	p.line("    case $word in")
	p.line("    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;")
	p.line("    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;")
	p.line("    esac")
	p.line("}")
	p.line("complete -o filenames -F _%s %s", name, app.Name)
	return p.w.Flush()
}

// names are those of commands that are not hidden.
func names(nodes []*kong.Node) string {
	var out []string
	for _, n := range nodes {
		if !n.Hidden {
			out = append(out, n.Name)
		}
	}
	return strings.Join(out, " ")
}

func flagNames(flags []*kong.Flag) string {
	var names []string
	for _, f := range flags {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	}
	return strings.Join(names, " ")
}

func shell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
