package device_test

import (
	"context"
	"fmt"
	"image"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"mien/camera"
	"mien/device"
	"mien/device/publish"
	"mien/device/status"
	"mien/runtime/model"
)

// workingModel is a fakeModel that has to work for its answer: about as much
// as the int8 network does on one core of this kind.
type workingModel struct {
	fakeModel
	sum uint32
}

func (m *workingModel) Predict(face *image.Gray, out *model.Scores) error {
	for range 2000 {
		for _, v := range face.Pix {
			m.sum = m.sum*31 + uint32(v)
		}
	}
	return m.fakeModel.Predict(face, out)
}

// slowClient watches the events over a connection with small buffers, reads
// a few bytes five times a second, and comes back when it is thrown out.
func slowClient(ctx context.Context, addr string) {
	for ctx.Err() == nil {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			time.Sleep(200 * time.Millisecond)
			continue
		}
		c.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(c, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		b := make([]byte, 64)
		for ctx.Err() == nil {
			if _, err := c.Read(b); err != nil {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		c.Close()
	}
}

// BenchmarkLoad compares the frame rate of a pipeline with that of the same
// pipeline while 100 slow clients watch the status page's events and the MQTT
// broker is away. Both run in turns, alone, loaded, loaded, alone; the loss is
// the median over these rounds, because other programs' work falls on both
// alike. Camera is the firmware as it runs: 30 pictures a second, a reading a
// second published. FlatOut is harder: as many pictures as the processor can
// do, all readings published.
func BenchmarkLoad(b *testing.B) {
	b.Run("Camera", func(b *testing.B) { load(b, time.Second/30, 2*time.Second, 5, 0) })
	b.Run("FlatOut", func(b *testing.B) { load(b, 0, 500*time.Millisecond, 12, -1) })
}

func load(b *testing.B, every, window time.Duration, rounds int, interval time.Duration) {
	const clients = 100
	page, err := status.New(status.Options{Addr: "127.0.0.1:0", Requests: 1e6})
	if err != nil {
		b.Fatal(err)
	}
	l, err := page.Listen()
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { page.Serve(ctx, l) })

	m := &workingModel{fakeModel: fakeModel{spec: model.Spec{Heads: heads()}}}
	pipe := func(to device.Observer) *device.Pipeline {
		p, err := device.NewPipeline(fakeFaces{}, m, nil, to, device.PipelineOptions{Heads: []string{"emotion", "age"}})
		if err != nil {
			b.Fatal(err)
		}
		return p
	}
	var f camera.Frame
	picture(&f, true)
	// rate runs p for a while: frames a second, and the processor time that
	// the pipeline's thread took for each, in ms. The latter is hardly touched
	// by what other programs do meanwhile.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rate := func(p *device.Pipeline) (fps, cpu float64) {
		start, used, n := time.Now(), processorTime(b), 0
		for next := start; time.Since(start) < window; next = next.Add(every) {
			for every > 0 && time.Since(next) > every {
				next = next.Add(every) // came while the one before was being read: missed
			}
			time.Sleep(time.Until(next))
			f.Time, f.Seq = time.Now(), f.Seq+1
			m.emotion = int(f.Seq / 40 % 7)
			if _, err := p.Process(&f); err != nil {
				b.Fatal(err)
			}
			n++
		}
		return float64(n) / time.Since(start).Seconds(), (processorTime(b) - used).Seconds() * 1000 / float64(n)
	}
	var fps, cpu [2][]float64 // alone, loaded
	var loss []float64
	var queued int
	alone := func() float64 {
		v, c := rate(pipe(device.Observers{page}))
		fps[0], cpu[0] = append(fps[0], v), append(cpu[0], c)
		return v
	}
	for b.Loop() {
		for range rounds {
			before := alone()
			around, stop := context.WithCancel(ctx)
			out, err := publish.New(publish.Options{Broker: "mqtt://127.0.0.1:1", ID: "load", Dir: b.TempDir(), Interval: interval})
			if err != nil {
				b.Fatal(err)
			}
			var guests sync.WaitGroup
			guests.Go(func() { out.Run(around) })
			for range clients {
				guests.Go(func() { slowClient(around, l.Addr().String()) })
			}
			time.Sleep(500 * time.Millisecond) // all are there
			var loaded float64
			for range 2 {
				v, c := rate(pipe(device.Observers{page, out}))
				fps[1], cpu[1] = append(fps[1], v), append(cpu[1], c)
				loaded += v
			}
			queued += out.Stats().Queued
			stop()
			guests.Wait()
			loss = append(loss, 100*(1-loaded/(before+alone())))
		}
	}
	median := func(v []float64) float64 {
		slices.Sort(v)
		return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(fps[0]), "frames/s-alone")
	b.ReportMetric(median(fps[1]), "frames/s-loaded")
	b.ReportMetric(median(loss), "%loss")
	b.ReportMetric(median(cpu[0]), "cpu-ms/frame-alone")
	b.ReportMetric(median(cpu[1]), "cpu-ms/frame-loaded")
	b.ReportMetric(float64(queued)/float64(len(loss)), "messages-queued")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
