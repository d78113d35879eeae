// Package prose finds in what a program prints what nobody would write. The
// tests of both programs hold all that they make them print against it.
package prose

import "regexp"

// nouns are what the programs count.
const nouns = `answer|bias|byte|channel|core|epoch|error|face|file|fault|frame|group|head|image|key|label|layer|line|message|mistake|model|operator|` +
	`package|parameter|part|picture|pin|point|reading|run|sample|second|set|step|tensor|thing|thread|track|transition|trial|weight`

var slips = []*regexp.Regexp{
	regexp.MustCompile(`(?:^|[^0-9.,/:x-])1 (?:` + nouns + `)e?s\b`),                       // "1 lines"
	regexp.MustCompile(`\b0 (?:` + nouns + `)\b[^-=a-z_0-9]`),                              // "0 line"
	regexp.MustCompile(`[a-z]\(s\)`),                                                       // "line(s)"
	regexp.MustCompile(`none of ,|[a-z] ,|, ,|\(, |: , |, \)|, and ,`),                     // "none of , apa102"
	regexp.MustCompile(`%!|<nil>|map\[|&\{|(?:^|[^$])\{[A-Z]\w*:[^ ]`),                     // Go's own ways to show values
	regexp.MustCompile(`\*?\b[a-z]+\.(?:[A-Z][a-z0-9]+){1,3}(?:\{|\b value\b| of type\b)`), // and types
	regexp.MustCompile(`INFO: `),                                                           // a library's own words
}

// Slip returns the first thing in text that nobody would write, with some of
// what stands around it, or "".
func Slip(text string) string {
	for _, s := range slips {
		if at := s.FindStringIndex(text); at != nil {
			return text[max(at[0]-30, 0):min(at[1]+30, len(text))]
		}
	}
	return ""
}
