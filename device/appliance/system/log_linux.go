package system

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// log keeps the last lines that the first process and miend have said, for the
// page, and hands those of the first process to the kernel's log, which goes to
// the console.
type log struct {
	mu     sync.Mutex
	lines  []string
	size   int
	kernel io.Writer
	all    bool // miend's lines go there too
}

// mostLog is how much is kept, in bytes, and mostLine of one line.
const (
	mostLog  = 256 << 10
	mostLine = 2 << 10
)

func newLog() *log {
	l := &log{kernel: io.Discard, all: argument("mien.log=console")}
	if k, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		l.kernel = k
	}
	return l
}

// say is a line of the first process.
func (l *log) say(format string, args ...any) {
	line := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	l.show("init", line)
	l.add("init", line)
}

func (l *log) show(who, line string) {
	fmt.Fprintf(l.kernel, "<5>mien: %s: %s\n", who, line)
}

// try says what went wrong, if so.
func (l *log) try(what string, err error) {
	if err != nil {
		l.say("%s: %v", what, err)
	}
}

func (l *log) add(who, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(text) > mostLine {
		text = text[:mostLine] + "..."
	}
	line := time.Now().UTC().Format("2006-01-02 15:04:05 ") + who + ": " + text + "\n"
	l.lines = append(l.lines, line)
	for l.size += len(line); l.size > mostLog; l.lines = l.lines[1:] {
		l.size -= len(l.lines[0])
	}
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// listen adds what a program writes, until it closes r.
func (l *log) listen(who string, r io.ReadCloser) {
	defer r.Close()
	lines := bufio.NewReaderSize(r, mostLine)
	for {
		line, err := lines.ReadSlice('\n')
		if s := strings.TrimRight(string(line), "\r\n"); s != "" {
			l.add(who, s)
			if l.all {
				l.show(who, s)
			}
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}
