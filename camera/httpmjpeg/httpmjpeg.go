// Package httpmjpeg takes frames from a camera that gives JPEG pictures over
// HTTP, as network cameras, phones and mjpg-streamer do: in one stream
// (multipart/x-mixed-replace), or one each time they are asked (a snapshot).
package httpmjpeg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"mien/camera"
	"mien/camera/mjpeg"
	"mien/runtime/secret"
)

// Options of a camera. Zero values take the defaults.
type Options struct {
	URL     string        // http or https; a name and password in it answer a camera that asks for them
	Timeout time.Duration // without a picture after which the camera is lost; 0 means 5 s
	Rate    float64       // snapshots a second; 0 means 10, which is the most
	CA      string        // file of certificates that are trusted beside the system's; empty means none
	Client  *http.Client  // nil means one of our own without a limit on the length of the stream
}

// answerTime is how long a camera may take to answer at all: less than the ten
// seconds after which others give it up and do not know why.
const answerTime = 9 * time.Second

// fastest is how often a camera is asked for a snapshot, a second.
const fastest = 10

// Source is an open stream, or a camera that is asked for snapshots. It is a
// camera.Source.
type Source struct {
	camera.Tally
	name    string // the address without its password
	timeout time.Duration
	every   time.Duration // between snapshots
	fetch   *fetcher
	life    context.Context
	cancel  context.CancelFunc
	ended   chan struct{}
	decoder mjpeg.Decoder
	timer   *time.Timer
	taken   []byte // the picture being decoded

	mu     sync.Mutex
	newest []byte // as it came; empty when it was taken
	at     time.Time
	number uint64
	err    error
	wake   chan struct{}
	closed bool
}

var (
	_ camera.Source  = (*Source)(nil)
	_ camera.Dropper = (*Source)(nil)
)

// Open connects to a camera. ctx bounds connecting only.
func Open(ctx context.Context, o Options) (*Source, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	s := &Source{name: secret.Redact(o.URL), timeout: cmp.Or(o.Timeout, 5*time.Second), ended: make(chan struct{}),
		wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	s.every = time.Duration(float64(time.Second) / min(cmp.Or(o.Rate, fastest), fastest))
	s.timer.Stop()
	var err error
	if s.fetch, err = newFetcher(o); err != nil {
		return nil, fmt.Errorf("httpmjpeg: %s: %w", s.name, err)
	}
	resp, end, err := within(ctx, min(s.timeout, answerTime), s.fetch.get)
	if err != nil {
		s.fetch.close()
		return nil, fmt.Errorf("httpmjpeg: %s: %w", s.name, err)
	}
	s.life, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(s.life, end)
	go s.receive(resp)
	return s, nil
}

// Check says what is wrong with the options, without connecting.
func (o Options) Check() error {
	u, err := url.Parse(o.URL)
	if err != nil || u.Hostname() == "" || strings.Contains(u.Hostname(), ":") != strings.HasPrefix(u.Host, "[") || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("httpmjpeg: the camera's address %s is not of the form http://HOST/PATH (special characters in a password are written as %%40 for @, %%23 for #)", secret.Redact(o.URL))
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("httpmjpeg: the camera's address %s: port %q is not between 1 and 65535", secret.Redact(o.URL), port)
		}
	}
	if _, err := trust(o.CA); err != nil {
		return fmt.Errorf("httpmjpeg: %w", err)
	}
	return nil
}

// receive reads pictures as fast as they come and keeps the newest. They are
// decoded only when they are asked for.
func (s *Source) receive(resp *http.Response) {
	defer close(s.ended)
	defer s.fetch.close()
	for {
		asked := time.Now()
		n, err := s.read(resp)
		if !still(resp, n) || err != io.EOF && err != io.ErrUnexpectedEOF {
			s.tell(func() { s.err = err })
			return
		}
		select {
		case <-time.After(time.Until(asked.Add(s.every))):
		case <-s.life.Done():
		}
		var end context.CancelFunc
		if resp, end, err = within(s.life, min(s.timeout, answerTime), s.fetch.get); err != nil {
			s.tell(func() { s.err = err })
			return
		}
		context.AfterFunc(s.life, end)
	}
}

// read reads one answer's pictures to its end.
func (s *Source) read(resp *http.Response) (n int, err error) {
	body := &begun{Reader: resp.Body}
	split := mjpeg.NewSplitter(body)
	split.Bad = s.Drop
	for {
		b, err := split.Next()
		if err != nil {
			if closing := resp.Body.Close(); closing != nil && err == io.EOF {
				err = closing
			}
			if n == 0 && err == io.EOF && body.page() {
				err = errPage // which did not say so
			}
			return n, err
		}
		n++
		s.tell(func() {
			s.newest = append(s.newest[:0], b...)
			s.at = time.Now()
			s.number++
		})
	}
}

// begun is a reader that remembers how what it reads begins.
type begun struct {
	io.Reader
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.first = append(b.first, p[:min(n, 512-len(b.first))]...)
	return n, err
}

// page reports whether it is a web page (https://mimesniff.spec.whatwg.org/).
func (b *begun) page() bool { return strings.HasPrefix(http.DetectContentType(b.first), "text/html") }

// tell changes what Next looks at, and wakes it.
func (s *Source) tell(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next fills f with the newest picture that it has not given before. Damaged
// ones are skipped.
func (s *Source) Next(ctx context.Context, f *camera.Frame) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.timer.Reset(s.timeout)
	defer s.timer.Stop()
	for {
		got, err := s.take(f)
		if err != nil {
			return err
		}
		if got {
			err := s.decoder.Decode(s.taken, f)
			if err == nil {
				return nil
			}
			s.Drop(err)
			continue
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.timer.C:
			if d := s.Dropped(); d.Total() > 0 {
				return fmt.Errorf("httpmjpeg: %s: no good picture for %v; dropped since it was opened: %v", s.name, s.timeout, d)
			}
			return fmt.Errorf("httpmjpeg: %s: no picture for %v", s.name, s.timeout)
		}
	}
}

// take moves the newest picture to s.taken, if there is one.
func (s *Source) take(f *camera.Frame) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, camera.ErrClosed
	}
	if len(s.newest) == 0 {
		if s.err == nil {
			return false, nil
		}
		err := plain(s.err)
		d := s.Dropped()
		if s.err == io.EOF {
			err = errors.New("the camera ended the stream")
		}
		switch {
		case s.number == 0 && d.Total() > 0:
			err = fmt.Errorf("%w; it gave no good picture: %v", err, d)
		case s.number == 0 && s.err == io.EOF:
			err = errors.New("the camera's answer ended without a picture")
		}
		return false, fmt.Errorf("httpmjpeg: %s: %w", s.name, err)
	}
	s.newest, s.taken = s.taken[:0], s.newest
	f.Seq, f.Time = s.number, s.at
	return true, nil
}

// Close ends the stream.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	<-s.ended
	return nil
}
