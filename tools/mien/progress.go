package main

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"mien/device/cmdline"
)

// bar shows how far a long job is: a bar on a terminal, otherwise a line now
// and then. It writes to stderr, and only once a job has taken two seconds.
type bar struct {
	w       io.Writer
	title   string
	unit    string
	total   int
	first   int // done before it began; -1: not known yet
	done    int
	begun   time.Time
	printed time.Time
	pool    *mpb.Progress
	bar     *mpb.Bar
}

const lineEvery = 30 * time.Second

// newBar returns a bar of total units ("images"). It is for one goroutine.
func newBar(w io.Writer, title, unit string, total int) *bar {
	now := time.Now()
	return &bar{w: w, title: title, unit: unit, total: total, first: -1, begun: now, printed: now}
}

// set says how much is done.
func (b *bar) set(done int) {
	if b.first < 0 {
		b.first, b.begun = done, time.Now()
	}
	b.done = done
	now := time.Now()
	if now.Sub(b.begun) < 2*time.Second {
		return
	}
	if cmdline.Terminal(b.w) {
		b.show()
		b.bar.SetCurrent(int64(done))
		return
	}
	if now.Sub(b.printed) >= lineEvery {
		b.printed = now
		fmt.Fprintf(b.w, "%s: %d of %d %s, %s\n", b.title, done, b.total, b.unit, b.speed())
	}
}

// speed is the rate since the bar began and the time left at it.
func (b *bar) speed() string {
	s := time.Since(b.begun).Seconds()
	if s <= 0 || b.done <= b.first {
		return ""
	}
	rate := float64(b.done-b.first) / s
	left := time.Duration(float64(b.total-b.done) / rate * float64(time.Second))
	return fmt.Sprintf("%.1f %s/s, %s left", rate, b.unit, left.Round(time.Second))
}

func (b *bar) show() {
	if b.bar != nil {
		return
	}
	b.pool = mpb.New(mpb.WithOutput(b.w), mpb.WithWidth(40))
	b.bar = b.pool.AddBar(int64(b.total), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(b.title+" ")),
		mpb.AppendDecorators(decor.CountersNoUnit("%d/%d "), decor.Any(func(decor.Statistics) string { return b.speed() })))
}

// end takes the bar away.
func (b *bar) end() {
	if b == nil || b.bar == nil {
		return
	}
	b.bar.Abort(true)
	b.pool.Wait()
}
