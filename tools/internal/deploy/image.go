package deploy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// ImageOptions say which image goes to which board.
type ImageOptions struct {
	Page  string // http://NAME
	Token string // of the page
	Image string // a file, with its signature beside it as .minisig
	Out   io.Writer
	Every time.Duration // how often the board is asked what has become of it; 0 means 3 s
	Most  time.Duration // for how long; 0 means 12 minutes: two trials
}

// system is what a board says of its images (device/appliance, State).
type system struct {
	Name   string          `json:"name"`
	Newest uint64          `json:"newest"`
	Trial  json.RawMessage `json:"trial"`
	Fallen []struct {
		Version uint64 `json:"version"`
		Why     string `json:"why"`
	} `json:"fallen"`
	Detail string `json:"detail"` // of an error
}

// Image hands a board that runs the mien image the next one, and waits until it
// has proven itself there or has given way to the one before. It returns what the
// image calls itself.
func Image(ctx context.Context, o ImageOptions) (name string, err error) {
	signature, err := os.ReadFile(o.Image + ".minisig")
	if err != nil {
		return "", fmt.Errorf("deploy: the signature beside the image: %w (sign it with: minisign -Sm %s)", err, o.Image)
	}
	f, err := os.Open(o.Image)
	if err != nil {
		return "", fmt.Errorf("deploy: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("deploy: %w", err)
	}
	fmt.Fprintf(o.Out, "sending %.0f MiB\n", float64(info.Size())/(1<<20))
	r, err := o.request(ctx, http.MethodPut, "/v1/system/image", f)
	if err != nil {
		return "", err
	}
	r.ContentLength = info.Size()
	r.Header.Set("Minisign", base64.StdEncoding.EncodeToString(signature))
	taken, err := o.ask(r)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(o.Out, "the board has it and restarts; it has to do well there for a while")
	ctx, cancel := context.WithTimeout(ctx, or(o.Most, 12*time.Minute))
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("deploy: the board has not said what became of the image: %w", ctx.Err())
		case <-time.After(or(o.Every, 3*time.Second)):
		}
		r, err := o.request(ctx, http.MethodGet, "/v1/system", nil)
		if err != nil {
			return "", err
		}
		now, err := o.ask(r)
		var said refusal
		if errors.As(err, &said) && said.code == http.StatusUnauthorized {
			return "", err
		}
		if err != nil || len(now.Trial) > 0 || now.Newest < taken.Newest {
			continue // it restarts, or the trial goes on
		}
		if n := len(now.Fallen); n > 0 && now.Fallen[n-1].Version == taken.Newest {
			return "", fmt.Errorf("deploy: the image gave way to the one before: %s", now.Fallen[n-1].Why)
		}
		return now.Name, nil
	}
}

func or(d, usual time.Duration) time.Duration {
	if d == 0 {
		return usual
	}
	return d
}

func (o ImageOptions) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, o.Page+path, body)
	if err != nil {
		return nil, fmt.Errorf("deploy: %w", err)
	}
	if o.Token != "" {
		r.Header.Set("Authorization", "Bearer "+o.Token)
	}
	return r, nil
}

// refusal is what a board answers to what it does not do.
type refusal struct {
	code int
	text string
}

func (r refusal) Error() string { return "deploy: the board says: " + r.text }

func (o ImageOptions) ask(r *http.Request) (s system, err error) {
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return s, fmt.Errorf("deploy: %w", err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&s); err != nil {
		return s, fmt.Errorf("deploy: %s does not answer as a board of mien: %s: %w", o.Page, answer.Status, err)
	}
	if answer.StatusCode != http.StatusOK {
		return s, refusal{answer.StatusCode, s.Detail}
	}
	return s, nil
}
