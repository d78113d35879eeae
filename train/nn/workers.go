package nn

import (
	"sync"
	"sync/atomic"
)

// workers runs loops on a fixed number of goroutines. It allocates nothing
// per loop.
type workers struct {
	n     int
	f     func(worker, i int)
	next  atomic.Int64
	total int64
	wg    sync.WaitGroup
	loops []func()
}

func newWorkers(n int) *workers {
	w := &workers{n: n}
	for id := range n {
		w.loops = append(w.loops, func() { defer w.wg.Done(); w.loop(id) })
	}
	return w
}

// run calls f(worker, i) for every i below total, in any order; worker is
// below w.n and names scratch memory that no other call uses meanwhile.
func (w *workers) run(total int, f func(worker, i int)) {
	n := min(w.n, total)
	if n <= 1 {
		for i := range total {
			f(0, i)
		}
		return
	}
	w.f, w.total = f, int64(total)
	w.next.Store(0)
	w.wg.Add(n - 1)
	for id := 1; id < n; id++ {
		go w.loops[id]()
	}
	w.loop(0)
	w.wg.Wait()
}

func (w *workers) loop(id int) {
	for {
		i := w.next.Add(1) - 1
		if i >= w.total {
			return
		}
		w.f(id, int(i))
	}
}
