// Package testwait waits, in tests, for what other goroutines and processes bring
// about.
package testwait

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// patience is far longer than anything takes on a busy machine.
const patience = 2 * time.Minute

// Until returns when ok says yes; what is what it asks, for the failure.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

// Log is a log that may be read while it is written. Its zero value is empty.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
