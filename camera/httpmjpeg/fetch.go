package httpmjpeg

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/icholy/digest"

	"mien/camera"
	"mien/runtime/plainfile"
	"mien/runtime/secret"
)

// fetcher asks a camera for what is at its address, with the name and password
// in that. They are sent only in answer to a camera that asks for them, and
// in the clear only when it knows nothing better.
type fetcher struct {
	address   *url.URL // without them
	user      *url.Userinfo
	client    *http.Client
	challenge *digest.Challenge // the last, for further requests
	count     int               // requests that answered it
	basic     bool              // the camera wants basic authentication
}

func newFetcher(o Options) (*fetcher, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, err // Check has seen to it
	}
	f := &fetcher{address: u, user: u.User, client: o.Client}
	u.User = nil
	if f.client == nil {
		// A camera is a stranger: its headers are bounded, and nothing that it
		// sends is unpacked.
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxResponseHeaderBytes, t.DisableCompression, t.DialContext = 64<<10, true, dial
		if t.TLSClientConfig, err = trust(o.CA); err != nil {
			return nil, err
		}
		f.client = &http.Client{Transport: t}
	}
	return f, nil
}

// trust returns the TLS settings that trust the certificates in a file, beside
// the system's.
func trust(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := plainfile.Read(file, 4<<20)
	if err != nil {
		return nil, fmt.Errorf("certificate of the camera's authority: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate of the camera's authority: %s holds no certificate (want PEM, which begins with -----BEGIN CERTIFICATE-----)", file)
	}
	return &tls.Config{RootCAs: pool}, nil
}

// close lets go of idle connections.
func (f *fetcher) close() { f.client.CloseIdleConnections() }

// get asks until ctx ends, which ends the answer's body too.
func (f *fetcher) get(ctx context.Context) (*http.Response, error) {
	resp, err := f.ask(ctx)
	if err != nil && f.hidesTLS(ctx, err) {
		return nil, errHTTPS
	}
	if err != nil {
		return nil, plain(err)
	}
	if resp.StatusCode == http.StatusUnauthorized && f.user != nil && f.learn(resp) {
		if err := resp.Body.Close(); err != nil {
			return nil, plain(err)
		}
		if resp, err = f.ask(ctx); err != nil {
			return nil, plain(err)
		}
	}
	if err := f.verdict(resp); err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp, nil
}

func (f *fetcher) ask(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "multipart/x-mixed-replace, image/jpeg, */*;q=0.1")
	if f.challenge != nil {
		f.count++
		password, _ := f.user.Password()
		c, err := digest.Digest(f.challenge, digest.Options{Method: req.Method, URI: req.URL.RequestURI(), Count: f.count,
			Username: f.user.Username(), Password: password})
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", c.String())
	} else if f.basic {
		password, _ := f.user.Password()
		req.SetBasicAuth(f.user.Username(), password)
	}
	return f.client.Do(req)
}

// learn takes a challenge that can be answered, and was not just answered in
// vain.
func (f *fetcher) learn(resp *http.Response) bool {
	before := f.challenge
	f.challenge, f.count = nil, 0
	c, err := digest.FindChallenge(challenges(resp))
	switch {
	case err == nil && (before == nil || before.Nonce != c.Nonce):
		f.challenge = c
		return true
	case err != nil && !f.basic && (schemes(resp) == "" || strings.Contains(schemes(resp), "Basic")): // some do not say which
		f.basic = true
		return true
	}
	return false
}

// another is where a challenge begins that shares its header with one before
// (RFC 9110, 11.6.1).
var another = regexp.MustCompile(`,\s*(?i:Basic|Digest|Bearer|Negotiate|NTLM)(\s|$)`)

// challenges are the camera's, one a header, their schemes in the usual letters.
func challenges(resp *http.Response) http.Header {
	h := http.Header{}
	all := resp.Header.Values("WWW-Authenticate")
	for len(all) > 0 {
		v := all[0]
		all = all[1:]
		if at := another.FindStringIndex(v); at != nil {
			all = append([]string{strings.TrimLeft(v[at[0]:], ", ")}, all...)
			v = v[:at[0]]
		}
		v = strings.TrimRight(v, ", ")
		for _, scheme := range []string{"Digest", "Basic"} {
			if n := len(scheme); len(v) >= n && strings.EqualFold(v[:n], scheme) {
				v = scheme + v[n:]
			}
		}
		h.Add("WWW-Authenticate", v)
	}
	return h
}

// schemes names the kinds of authentication that the camera offers.
func schemes(resp *http.Response) string {
	var all []string
	for _, v := range challenges(resp).Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(v, " ")
		all = append(all, scheme)
	}
	return strings.Join(all, ", ")
}

// verdict says in one sentence why an answer holds no pictures.
func (f *fetcher) verdict(resp *http.Response) error {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		kind = "" // some cameras name none, or nonsense
	}
	kind = cmp.Or(kind, "unnamed")
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized && f.user == nil:
		return fmt.Errorf("the camera wants a name and a password (%s authentication): write them into the address, %s://NAME:PASSWORD@%s", cmp.Or(schemes(resp), "unknown"), f.address.Scheme, f.address.Host)
	case code == http.StatusUnauthorized && f.challenge == nil && !f.basic:
		return fmt.Errorf("the camera wants a kind of authentication that is not known here: %q", schemes(resp))
	case code == http.StatusForbidden && f.user == nil:
		return fmt.Errorf("the camera lets nobody in without a name and a password, or not this machine (%q)", resp.Status)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("the camera refuses this name and password (%q)", resp.Status)
	case code == http.StatusNotFound:
		return fmt.Errorf("the camera has nothing at %q (%q): look up the path of its stream in its manual", f.address.Path, resp.Status)
	case code == http.StatusBadRequest && strings.Contains(beginning(resp), "HTTPS"):
		return errHTTPS
	case code == http.StatusOK && !slices.Contains([]string{"", "identity"}, strings.ToLower(resp.Header.Get("Content-Encoding"))):
		return fmt.Errorf("the camera packs what it sends (%q) without being asked to, which is not read here", resp.Header.Get("Content-Encoding"))
	case code != http.StatusOK:
		return fmt.Errorf("the camera answers %q", resp.Status)
	case kind == "text/html" || kind == "application/xhtml+xml":
		return errPage
	case strings.HasPrefix(kind, "text/") && kind != "text/plain" || strings.HasSuffix(kind, "json") || strings.HasSuffix(kind, "xml"):
		return fmt.Errorf("the camera answers with %q and not with pictures: the address has to be that of its stream or snapshot", kind)
	case strings.HasPrefix(kind, "video/") && kind != "video/x-motion-jpeg" && kind != "video/x-jpeg":
		return fmt.Errorf("the camera sends video (%q), which is not read here; look for its MJPEG or snapshot address", kind)
	case strings.HasPrefix(kind, "image/") && kind != "image/jpeg" && kind != "image/jpg" && kind != "image/pjpeg":
		return fmt.Errorf("the camera sends pictures of the kind %q; JPEG is wanted", kind)
	}
	return nil
}

var errPage = errors.New("the camera answers with a web page, such as its log-in page, and not with pictures: the address has to be that of its stream or snapshot")

var errHTTPS = errors.New("the camera speaks HTTPS there and not HTTP: begin the address with https://")

// hidesTLS reports whether a camera that hung up at plain HTTP speaks TLS: not
// all that do say so.
func (f *fetcher) hidesTLS(ctx context.Context, err error) bool {
	if f.address.Scheme != "http" || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		return false
	}
	host := f.address.Host
	if f.address.Port() == "" {
		host = net.JoinHostPort(f.address.Hostname(), "80")
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime/4)
	defer cancel()
	// Whose certificate it is does not matter: nothing is told to it.
	c, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", host)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// beginning is the first of what an answer says.
func beginning(resp *http.Response) string {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 512))
	if err != nil {
		return ""
	}
	return string(b)
}

// still reports whether an answer that ended after n pictures is one that has
// to be asked for again and again.
func still(resp *http.Response, n int) bool {
	kind := strings.ToLower(resp.Header.Get("Content-Type"))
	return strings.HasPrefix(kind, "image/") || n == 1 && !strings.HasPrefix(kind, "multipart/")
}

// plain is err without the address, which may hold a password, and without
// what a terminal would obey.
func plain(err error) error {
	var hidden *url.Error
	if errors.As(err, &hidden) {
		err = hidden.Err
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return errors.New("the camera's certificate is of an authority that is not known here: camera.ca names the file of that, or of the certificate itself")
	case errors.As(err, &name):
		return fmt.Errorf("the camera's certificate is for another name (%s)", camera.Printable(name.Error()))
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return errors.New("the camera speaks HTTP there and not HTTPS: begin the address with http://")
	case strings.Contains(err.Error(), "malformed HTTP response \"\\x15\\x03"):
		return errHTTPS
	case strings.Contains(err.Error(), "malformed HTTP"):
		_, said, _ := strings.Cut(err.Error(), "malformed HTTP ")
		return fmt.Errorf("what answers there does not speak HTTP: malformed %s", camera.Printable(said))
	}
	if text := camera.Printable(secret.Redact(err.Error())); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// within gives an answer a time limit up to its head; after that it lives
// until cancel, or ctx, ends it.
func within(ctx context.Context, limit time.Duration, ask func(context.Context) (*http.Response, error)) (*http.Response, context.CancelFunc, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	timer := time.AfterFunc(limit, cancel)
	resp, err := ask(life)
	inTime := timer.Stop()
	if !stop() || !inTime {
		cancel()
		if err == nil {
			err = resp.Body.Close()
		}
		switch {
		case ctx.Err() == nil:
			err = fmt.Errorf("no answer for %v", limit)
		case err == nil || errors.Is(err, context.Canceled):
			err = context.Cause(ctx)
		default:
			err = errors.Join(context.Cause(ctx), err)
		}
		return nil, nil, err
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return resp, cancel, nil
}
