package data

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// table reads a CSV file with a header, as spreadsheets and other programs
// write one: with a byte order mark, in UTF-16, with columns named in any case.
type table struct {
	name   string // of the file, for messages
	head   []string
	in     *csv.Reader
	closer io.Closer
}

// openTable opens a file; close it after use.
func openTable(path string) (*table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t, err := newTable(filepath.Base(path), f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.closer = f
	return t, nil
}

func newTable(name string, r io.Reader) (*table, error) {
	r, err := plain(r)
	if err != nil {
		return nil, err
	}
	t := &table{name: name, in: csv.NewReader(r)}
	t.in.FieldsPerRecord = -1 // a row of another length is that row's fault
	t.in.LazyQuotes = true
	head, err := t.in.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	for _, h := range head {
		t.head = append(t.head, strings.ToLower(strings.TrimSpace(h)))
	}
	t.in.ReuseRecord = true
	return t, nil
}

func (t *table) Close() error { return t.closer.Close() }

// column returns the place of a column that has one of those names, or -1.
func (t *table) column(names ...string) int {
	for _, n := range names {
		if i := slices.Index(t.head, n); i >= 0 {
			return i
		}
	}
	return -1
}

// rows calls parse for each row. A row that cannot be read is put among the
// bad ones of l, with its line; so is what a damaged end of the file holds.
func (t *table) rows(l *listing, parse func(row []string, line int) error) error {
	for {
		row, err := t.in.Read()
		if err == io.EOF {
			return nil
		}
		line, _ := t.in.FieldPos(0)
		var syntax *csv.ParseError
		switch {
		case errors.As(err, &syntax):
			line = syntax.Line
			err = syntax.Err
		case err != nil:
			return err
		case len(row) == 1 && strings.TrimSpace(row[0]) == "":
			continue
		case len(row) < len(t.head):
			err = fmt.Errorf("%d fields, want %d", len(row), len(t.head))
		default:
			err = parse(row, line)
		}
		if err != nil {
			l.bad = append(l.bad, Bad{fmt.Sprintf("%s:%d", t.name, line), err})
		}
	}
}

// plain returns r as UTF-8 without a byte order mark.
func plain(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	mark, err := b.Peek(3)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.Equal(mark, []byte{0xef, 0xbb, 0xbf}):
		b.Discard(3)
	case len(mark) >= 2 && (mark[0] == 0xff && mark[1] == 0xfe || mark[0] == 0xfe && mark[1] == 0xff):
		little := mark[0] == 0xff
		b.Discard(2)
		return &utf16Reader{in: b, little: little}, nil
	}
	return b, nil
}

// utf16Reader reads UTF-16 as UTF-8.
type utf16Reader struct {
	in     *bufio.Reader
	little bool
	out    []byte // not asked for yet
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		r, err := u.unit()
		if err != nil {
			return 0, err
		}
		if utf16.IsSurrogate(r) {
			low, err := u.unit()
			if err != nil {
				return 0, err
			}
			r = utf16.DecodeRune(r, low)
		}
		u.out = utf8.AppendRune(u.out[:0], r)
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}

func (u *utf16Reader) unit() (rune, error) {
	var b [2]byte
	if _, err := io.ReadFull(u.in, b[:]); err != nil {
		if err == io.ErrUnexpectedEOF {
			err = errors.New("UTF-16 text of an odd number of bytes")
		}
		return 0, err
	}
	if u.little {
		return rune(b[0]) | rune(b[1])<<8, nil
	}
	return rune(b[1]) | rune(b[0])<<8, nil
}

// local returns a path of a table as one of this system, below the set's
// folder. Backslashes are those of another system.
func local(path string) (string, error) {
	p := filepath.FromSlash(strings.ReplaceAll(strings.TrimSpace(path), `\`, "/"))
	if !filepath.IsLocal(p) {
		return "", fmt.Errorf("%q does not lie in the set's folder", path)
	}
	return filepath.Clean(p), nil
}
