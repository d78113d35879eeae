package camera

import (
	"context"
	"sync"
)

// Latch hands frames from a camera's goroutine to the pipeline's. It holds
// one frame, the newest: a slow reader misses pictures and is never late.
// Frames are swapped, not copied, so a Latch in use allocates nothing.
//
// The zero Latch is not usable; see NewLatch.
type Latch struct {
	mu      sync.Mutex
	frame   Frame
	full    bool
	err     error
	dropped uint64
	wake    chan struct{}
}

// NewLatch returns an empty latch.
func NewLatch() *Latch { return &Latch{wake: make(chan struct{}, 1)} }

// Put leaves f in the latch and gives the caller the memory of an older frame
// in return. A frame that nobody took in the meantime is dropped and counted.
func (l *Latch) Put(f *Frame) {
	l.mu.Lock()
	l.frame, *f = *f, l.frame
	if l.full {
		l.dropped++
	}
	l.full = true
	l.mu.Unlock()
	l.signal()
}

// Wipe blackens the frame that nobody has taken yet, and the memory that
// waits to be given back.
func (l *Latch) Wipe() {
	l.mu.Lock()
	clear(l.frame.Pix[:cap(l.frame.Pix)])
	l.mu.Unlock()
}

// Close says that no frame will follow, and why. Take still hands out the
// frame that is there, then err.
func (l *Latch) Close(err error) {
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	l.signal()
}

// Take waits for a frame that it has not handed out before and swaps it into
// f. One goroutine may call it at a time.
func (l *Latch) Take(ctx context.Context, f *Frame) error {
	for {
		l.mu.Lock()
		if l.full {
			l.frame, *f = *f, l.frame
			l.full = false
			l.mu.Unlock()
			return nil
		}
		err := l.err
		l.mu.Unlock()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.wake:
		}
	}
}

// Dropped returns how many frames were overwritten before anyone took them.
func (l *Latch) Dropped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

func (l *Latch) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
