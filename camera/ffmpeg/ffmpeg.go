// Package ffmpeg takes frames from whatever the program ffmpeg reads off a
// network: RTSP cameras above all. It runs as a child and writes grey pictures
// to its standard output, each a PGM with its size in front
// (https://netpbm.sourceforge.net/doc/pgm.html).
//
// An address often holds a password, and everybody on a machine sees the
// arguments of its programs. So the address is no argument: the child is told to
// play a list (https://ffmpeg.org/ffmpeg-formats.html#concat-1), and reads that
// from its standard input.
package ffmpeg

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"mien/camera"
	"mien/camera/internal/child"
	"mien/runtime/plainfile"
	"mien/runtime/secret"
)

// Schemes are the beginnings of addresses that are read.
var Schemes = []string{"rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "http", "https"}

// protocols are what a stream may lead to. There is no file among them: a
// playlist that a stranger serves reads nothing on this machine.
const protocols = "pipe,rtsp,rtsps,rtmp,rtmps,srt,udp,tcp,tls,rtp,srtp,http,https,httpproxy,crypto"

// Options of a camera. Zero values take the defaults.
type Options struct {
	URL           string        // of one of Schemes; a name and password in it answer a camera that asks for them
	Width, Height int           // larger pictures are made smaller until they fit; 0 means 640x480
	Rate          float64       // frames a second at most; 0 means all
	CA            string        // file of certificates that are trusted beside the system's, for https alone
	Program       string        // empty means ffmpeg
	Timeout       time.Duration // without a frame after which the camera is lost; 0 means 5 s
	Grace         time.Duration // that the child has to end by itself when it is closed; 0 means 2 s
}

// answerTime is how long a camera may take to its first picture: less than the
// ten seconds after which others give it up and do not know why.
const answerTime = 9 * time.Second

// Source is a running stream. It is a camera.Source.
type Source struct {
	child  child.Child
	head   []byte // of the next picture, as far as it came
	last   []byte // head that was understood, and what it said
	width  int
	height int
	behind int // bytes left of a picture that was given up
	seq    uint64
	closed bool
}

var _ camera.Source = (*Source)(nil)

// Open connects to a camera and waits for the head of its first picture.
func Open(ctx context.Context, o Options) (*Source, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	o.Width, o.Height = cmp.Or(o.Width, 640), cmp.Or(o.Height, 480)
	path, err := exec.LookPath(cmp.Or(o.Program, "ffmpeg"))
	if err != nil {
		return nil, fmt.Errorf("ffmpeg: %w (apt-get install ffmpeg)", err)
	}
	cmd := exec.Command(path, o.args()...)
	cmd.Stdin = strings.NewReader(o.list())
	// It decodes what strangers send, and gets none of our environment's secrets.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	s := &Source{child: child.Child{Name: "ffmpeg: " + secret.Redact(o.URL), Timeout: 2 * answerTime, Grace: cmp.Or(o.Grace, 2*time.Second), Tidy: o.tidy},
		head: make([]byte, 0, 32)}
	if err := s.child.Start(cmd); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if _, _, err := s.header(limited); err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = fmt.Errorf("%s: no picture for %v (a camera that sends a whole picture seldom has a key-frame interval to shorten)", s.child.Name, answerTime)
		}
		return nil, errors.Join(err, s.Close())
	}
	s.child.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	return s, nil
}

// Check says what is wrong with the options, without starting anything.
func (o Options) Check() error {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || !slices.Contains(Schemes, u.Scheme) || strings.ContainsFunc(o.URL, unicode.IsControl) {
		return fmt.Errorf("ffmpeg: the camera's address %s is not of the form rtsp://HOST/PATH, or %s (special characters in a password are written as %%40 for @, %%23 for #)", camera.Printable(secret.Redact(o.URL)), strings.Join(Schemes[1:], ", "))
	}
	if o.Width < 0 || o.Height < 0 || o.Width > 8192 || o.Height > 8192 || !(o.Rate >= 0 && o.Rate <= 1000) {
		return fmt.Errorf("ffmpeg: %dx%d at %g frames a second", o.Width, o.Height, o.Rate)
	}
	if o.CA == "" {
		return nil
	}
	if u.Scheme != "https" {
		return fmt.Errorf("ffmpeg: a certificate for %s: ffmpeg checks those of https alone", u.Scheme)
	}
	if _, err := plainfile.Read(o.CA, 4<<20); err != nil {
		return fmt.Errorf("ffmpeg: certificate of the camera's authority: %w", err)
	}
	return nil
}

// args are the child's, for everybody to see.
func (o Options) args() []string {
	filter := fmt.Sprintf("scale=w='min(%d,iw)':h='min(%d,ih)':force_original_aspect_ratio=decrease:out_range=full,format=gray", o.Width, o.Height)
	if o.Rate > 0 {
		// A tenth early, for pictures that come unevenly.
		filter = "select='isnan(prev_selected_t)+gte(t-prev_selected_t," + strconv.FormatFloat(0.9/o.Rate, 'f', 6, 64) + ")+lt(t,prev_selected_t)'," + filter
	}
	return []string{"-hide_banner", "-loglevel", "error", "-nostdin", "-protocol_whitelist", protocols, "-f", "concat", "-safe", "0", "-i", "pipe:0",
		"-map", "0:v:0", "-vf", filter, "-fps_mode", "passthrough", "-c:v", "pgm", "-f", "image2pipe", "-flush_packets", "1", "pipe:1"}
}

// list is what the child reads: one entry, and how it is opened.
func (o Options) list() string {
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	list := "ffconcat version 1.0\nfile " + quoted(o.URL) + "\n"
	if strings.HasPrefix(o.URL, "rtsp") {
		list += "option rtsp_transport tcp\n" // over UDP pictures arrive in pieces
	}
	if strings.HasPrefix(o.URL, "https") {
		list += "option tls_verify 1\n"
		if o.CA != "" {
			list += "option ca_file " + quoted(o.CA) + "\n"
		}
	}
	return list
}

// address is one in what the child says.
var address = regexp.MustCompile(`[a-z0-9+]+://[^\s']+`)

// tidy takes out of what the child said what is secret in the address: as
// a whole, and by its parts.
func (o Options) tidy(said string) string {
	said = strings.ReplaceAll(said, `'\''`, "'") // in a list's quotes
	said = strings.ReplaceAll(said, o.URL, secret.Redact(o.URL))
	said = address.ReplaceAllStringFunc(said, secret.Redact)
	_, rest, _ := strings.Cut(o.URL, "://")
	for _, part := range strings.SplitN(rest[:max(strings.LastIndexByte(rest, '@'), 0)], ":", 2) {
		plain, err := url.PathUnescape(part)
		for _, p := range []string{part, plain} {
			if err == nil && p != "" {
				said = strings.ReplaceAll(said, p, secret.Hidden)
			}
		}
	}
	return strings.TrimPrefix(said, "pipe:0: ")
}

// header waits for the head of the next picture and returns its size.
func (s *Source) header(ctx context.Context) (w, h int, err error) {
	for bytes.Count(s.head, []byte{'\n'}) < 3 {
		if len(s.head) == cap(s.head) {
			return 0, 0, fmt.Errorf("%s: what the program writes is no picture: %q", s.child.Name, s.head)
		}
		next := s.head[:len(s.head)+1]
		if _, err := s.child.Read(ctx, next[len(s.head):]); err != nil {
			return 0, 0, err
		}
		s.head = next
	}
	if string(s.head) != string(s.last) {
		if _, err := fmt.Sscanf(string(s.head), "P5\n%d %d\n255\n", &w, &h); err != nil || w < 1 || h < 1 || w > 8192 || h > 8192 {
			return 0, 0, fmt.Errorf("%s: what the program writes is no picture: %q", s.child.Name, s.head)
		}
		s.last, s.width, s.height = append(s.last[:0], s.head...), w, h
	}
	return s.width, s.height, nil
}

// Next fills f with the next frame. It returns an error when the stream has
// ended, or has brought nothing for Options.Timeout.
func (s *Source) Next(ctx context.Context, f *camera.Frame) error {
	if s.closed {
		return camera.ErrClosed
	}
	// The rest of a picture that an earlier call gave up goes by way of f.
	for s.behind > 0 {
		f.Resize(s.behind, 1)
		n, err := s.child.Read(ctx, f.Pix)
		s.behind -= n
		if err != nil {
			return err
		}
	}
	w, h, err := s.header(ctx)
	if err != nil {
		return err
	}
	s.head = s.head[:0]
	f.Resize(w, h)
	n, err := s.child.Read(ctx, f.Pix)
	if err != nil {
		s.behind = w*h - n
		return err
	}
	s.seq++
	f.Seq, f.Time = s.seq, time.Now()
	return nil
}

// Close ends the child and waits until it is gone.
func (s *Source) Close() error {
	s.closed = true
	return s.child.Close()
}
