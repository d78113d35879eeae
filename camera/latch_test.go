package camera

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

func TestLatchNewestWins(t *testing.T) {
	l := NewLatch()
	var in, out Frame
	for seq := uint64(1); seq <= 5; seq++ {
		in.Resize(4, 2)
		in.Seq, in.Pix[0] = seq, byte(seq)
		l.Put(&in)
	}
	if err := l.Take(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Seq != 5 || out.Pix[0] != 5 {
		t.Errorf("took frame %d with first pixel %d, want 5 and 5", out.Seq, out.Pix[0])
	}
	if l.Dropped() != 4 {
		t.Errorf("dropped %d, want 4", l.Dropped())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := l.Take(ctx, &out); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second take: %v, want a deadline: a frame is handed out once", err)
	}
}

func TestLatchClose(t *testing.T) {
	l := NewLatch()
	var f Frame
	f.Seq = 7
	l.Put(&f)
	l.Close(io.EOF)
	if err := l.Take(context.Background(), &f); err != nil || f.Seq != 7 {
		t.Fatalf("last frame: seq %d, %v", f.Seq, err)
	}
	for range 2 {
		if err := l.Take(context.Background(), &f); err != io.EOF {
			t.Fatalf("after the last frame: %v, want io.EOF", err)
		}
	}
}

func TestLatchBetweenGoroutines(t *testing.T) {
	const n = 10000
	l := NewLatch()
	go func() {
		var f Frame
		for seq := uint64(1); seq <= n; seq++ {
			f.Resize(8, 8)
			f.Seq = seq
			f.Pix[0], f.Pix[63] = byte(seq), byte(seq)
			l.Put(&f)
		}
		l.Close(io.EOF)
	}()
	var f Frame
	var taken, last uint64
	for l.Take(context.Background(), &f) == nil {
		if f.Seq <= last || f.Pix[0] != byte(f.Seq) || f.Pix[63] != byte(f.Seq) {
			t.Fatalf("frame %d after %d is torn or out of order", f.Seq, last)
		}
		last = f.Seq
		taken++
	}
	if last != n || taken+l.Dropped() != n {
		t.Errorf("last %d, taken %d, dropped %d of %d", last, taken, l.Dropped(), n)
	}
}

func TestLatchAllocatesNothing(t *testing.T) {
	l := NewLatch()
	var in, out Frame
	turn := func() {
		in.Resize(64, 48)
		l.Put(&in)
		if err := l.Take(context.Background(), &out); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		turn()
	}
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
