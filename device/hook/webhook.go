package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mien/runtime/plainfile"
)

// The headers of a webhook, those of Standard Webhooks 1.0.0
// (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md), whose
// libraries check them in most languages. Signature is v1, and the HMAC-SHA256 under
// the key, in base64, of delivery, time and body with dots between. Delivery is the
// same when an event is tried again; Sent is when this attempt was made, in seconds
// since 1970: who checks refuses what is older than some minutes, and what it had
// before.
const (
	Delivery  = "Webhook-Id"
	Sent      = "Webhook-Timestamp"
	Signature = "Webhook-Signature"
)

// encoded begins a key that is given in base64, as Standard Webhooks' libraries want it.
const encoded = "whsec_"

// CheckKey says what is wrong with a webhook's key.
func CheckKey(key string) error {
	_, err := secretOf(key)
	return err
}

func secretOf(key string) ([]byte, error) {
	code, ok := strings.CutPrefix(key, encoded)
	if !ok {
		return []byte(key), nil
	}
	b, err := base64.StdEncoding.DecodeString(code)
	if err != nil || len(b) == 0 {
		return nil, errors.New("hook: what follows " + encoded + " in the key is not base64 (head -c32 /dev/urandom | base64 makes some)")
	}
	return b, nil
}

// sign is the signature of a body that is sent at a time.
func sign(key []byte, delivery, sent string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", delivery, sent, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// The limits of one event: how long an answer may take, how often it is tried,
// and the waits between, which double from the first.
const (
	AnswerTime = 10 * time.Second
	Attempts   = 5
	longest    = 30 * time.Second
)

// Webhook posts events to a web server.
type Webhook struct {
	url    string
	key    []byte // empty signs nothing
	client *http.Client
	first  time.Duration // wait before the second attempt
}

// Host is what may be shown of a webhook's address: its path often is a key.
func Host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the web server"
	}
	return u.Scheme + "://" + u.Host
}

// CheckURL says what is wrong with a webhook's address.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("hook: the address is not of the form https://HOST/PATH")
	}
	return nil
}

// NewWebhook returns a webhook. With a key its posts are signed; ca is a file of
// certificates that are trusted beside the system's, or empty.
func NewWebhook(address, key, ca string) (*Webhook, error) {
	if err := CheckURL(address); err != nil {
		return nil, err
	}
	sealed, err := secretOf(key)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxResponseHeaderBytes = 64 << 10
	if ca != "" {
		pem, err := plainfile.Read(ca, 4<<20)
		if err != nil {
			return nil, fmt.Errorf("hook: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("hook: %s holds no certificate (want PEM, which begins with -----BEGIN CERTIFICATE-----)", ca)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	// A redirect would take what is told to somebody who was not named.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Webhook{url: address, key: sealed, client: &http.Client{Transport: t, Timeout: AnswerTime, CheckRedirect: stay}, first: time.Second}, nil
}

// Tell implements Teller. Where the server is away, busy or broken it is tried
// again; where it refuses it is not.
func (w *Webhook) Tell(ctx context.Context, m *Message) error {
	wait := w.first
	for attempt := 1; ; attempt++ {
		again, later, err := w.post(ctx, m)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("hook: %s: %w", Host(w.url), err)
		if !again || attempt == Attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(max(wait, later), longest)):
		}
		wait *= 2
	}
}

// post tries once. It says whether to try again, and how long the server wants
// to be left alone.
func (w *Webhook) post(ctx context.Context, m *Message) (again bool, later time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(m.JSON))
	if err != nil {
		return false, 0, inner(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "miend")
	req.Header.Set(Delivery, m.ID)
	sent := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set(Sent, sent)
	if len(w.key) > 0 {
		req.Header.Set(Signature, sign(w.key, m.ID, sent, m.JSON))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return true, 0, inner(err)
	}
	// What it answers is not read further than it takes to use the connection again.
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	err = errors.Join(err, resp.Body.Close())
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return false, 0, nil
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
			later = time.Duration(min(s, 60)) * time.Second
		}
		return true, later, fmt.Errorf("the server answers %q", strconv.Itoa(code)+" "+http.StatusText(code))
	case code >= 300 && code < 400:
		return false, 0, fmt.Errorf("the server sends elsewhere (%d), which is not followed: name the address where it ends", code)
	default:
		return false, 0, errors.Join(fmt.Errorf("the server refuses: %q", strconv.Itoa(code)+" "+http.StatusText(code)), err)
	}
}

// inner is an error of HTTP without the address, which may hold a key.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
