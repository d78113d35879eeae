// Package httpmjpeg takes frames from a camera that streams JPEG pictures over
// HTTP, as network cameras, phones and mjpg-streamer do
// (multipart/x-mixed-replace).
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
	"sync"
	"time"

	"mien/camera"
	"mien/camera/mjpeg"
	"mien/runtime/secret"
)

// Options of a camera. Zero values take the defaults.
type Options struct {
	URL     string        // http or https; a name and password in it are sent as basic authentication
	Timeout time.Duration // without a picture after which the camera is lost; 0 means 5 s
	Client  *http.Client  // nil means one of our own without a limit on the length of the stream
}

// Source is an open stream. It is a camera.Source.
type Source struct {
	name    string // the address without its password
	timeout time.Duration
	cancel  context.CancelFunc
	ended   chan struct{}
	decoder mjpeg.Decoder
	timer   *time.Timer
	taken   []byte // the picture being decoded
	damaged uint64

	mu     sync.Mutex
	newest []byte // as it came; empty when it was taken
	at     time.Time
	number uint64
	err    error
	wake   chan struct{}
	closed bool
}

var _ camera.Source = (*Source)(nil)

// Open connects to a camera. ctx bounds connecting only.
func Open(ctx context.Context, o Options) (*Source, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	s := &Source{name: secret.Redact(o.URL), timeout: cmp.Or(o.Timeout, 5*time.Second), ended: make(chan struct{}),
		wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	s.timer.Stop()
	body, err := s.connect(ctx, o)
	if err != nil {
		var hidden *url.Error
		if errors.As(err, &hidden) {
			err = hidden.Err // without the address, which may hold a password
		}
		return nil, fmt.Errorf("httpmjpeg: %s: %w", s.name, err)
	}
	go s.receive(body)
	return s, nil
}

// Check says what is wrong with the options, without connecting.
func (o Options) Check() error {
	u, err := url.Parse(o.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("httpmjpeg: the camera's address %s is not of the form http://HOST/PATH (special characters in a password are written as %%40 for @, %%23 for #)", secret.Redact(o.URL))
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("httpmjpeg: the camera's address %s: port %q is not between 1 and 65535", secret.Redact(o.URL), port)
		}
	}
	return nil
}

// connect gets the stream. The request outlives ctx.
func (s *Source) connect(ctx context.Context, o Options) (io.ReadCloser, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	stop := context.AfterFunc(ctx, cancel)
	limit := time.AfterFunc(s.timeout, cancel)
	req, err := http.NewRequestWithContext(life, http.MethodGet, o.URL, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	resp, err := cmp.Or(o.Client, http.DefaultClient).Do(req)
	inTime := limit.Stop()
	if err == nil && !stop() {
		err = errors.Join(context.Cause(ctx), resp.Body.Close())
	}
	if err != nil {
		stop()
		cancel()
		if !inTime {
			return nil, fmt.Errorf("no answer for %v", s.timeout)
		}
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		cancel()
		return nil, errors.Join(fmt.Errorf("the camera answers %q", resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}

// receive reads pictures as fast as they come and keeps the newest. They are
// decoded only when they are asked for.
func (s *Source) receive(body io.ReadCloser) {
	defer close(s.ended)
	defer body.Close()
	split := mjpeg.NewSplitter(body)
	for {
		b, err := split.Next()
		now := time.Now()
		s.mu.Lock()
		if err != nil {
			s.err = err
		} else {
			s.newest = append(s.newest[:0], b...)
			s.at = now
			s.number++
		}
		s.mu.Unlock()
		select {
		case s.wake <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
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
			if s.decoder.Decode(s.taken, f) == nil {
				return nil
			}
			s.damaged++
			continue
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.timer.C:
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
		if s.err == io.EOF {
			return false, fmt.Errorf("httpmjpeg: %s: the camera ended the stream", s.name)
		}
		return false, fmt.Errorf("httpmjpeg: %s: %w", s.name, s.err)
	}
	s.newest, s.taken = s.taken[:0], s.newest
	f.Seq, f.Time = s.number, s.at
	return true, nil
}

// Damaged returns how many pictures could not be decoded.
func (s *Source) Damaged() uint64 { return s.damaged }

// Close ends the stream.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	<-s.ended
	return nil
}
