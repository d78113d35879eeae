package fleet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nkeys"

	"mien/device/fleet/wire"
	"mien/runtime/plainfile"
)

// CheckCredentials says what is wrong with a file of credentials for a board.
func CheckCredentials(file string, id ID) error {
	b, err := plainfile.Read(file, 64<<10)
	if err != nil {
		return fmt.Errorf("fleet: credentials: %w", err)
	}
	token, err := nkeys.ParseDecoratedJWT(b)
	if err != nil {
		return fmt.Errorf("fleet: %s holds no credentials as mien fleet enrol writes them: %w", file, err)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return fmt.Errorf("fleet: %s holds no credentials as mien fleet enrol writes them", file)
	}
	var claims struct {
		Name string `json:"name"`
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(body, &claims)
	}
	if err != nil {
		return fmt.Errorf("fleet: %s holds no credentials as mien fleet enrol writes them: %w", file, err)
	}
	if of, err := ParseID(claims.Name); err == nil && of != id {
		return fmt.Errorf("fleet: %s is for the board %v, and this is %v by fleet.site and name", file, of, id)
	}
	return nil
}

// Try connects to the hub as a Board does, beside it, and asks about each of the
// board's subjects that the hub keeps, and, where orders are to be heard, about those.
// It sends nothing that is kept, and touches no queue.
func Try(ctx context.Context, o Options, orders bool) error {
	o = o.defaults()
	if err := o.check(); err != nil {
		return err
	}
	refused := make(chan error, 1)
	c, err := wire.Dial(ctx, o.where(func(err error) {
		select {
		case refused <- err:
		default: // one is enough
		}
	}))
	if err != nil {
		return fmt.Errorf("fleet: %w%s", err, explain(err))
	}
	defer c.Close()
	for _, s := range Subjects {
		if s.Stream == "" {
			continue
		}
		if err := askAbout(ctx, c, s.Stream, o.ID.Subject(s.Name)); err != nil {
			return err
		}
	}
	if !orders {
		return nil
	}
	if err := c.Hear(valueOf(Desired, o.ID), func(*wire.Message) {}); err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	if err := askAbout(ctx, c, bucketOf(Desired), valueOf(Desired, o.ID)); err != nil {
		return err
	}
	select {
	case err := <-refused: // before it answered what was asked later
		return fmt.Errorf("fleet: %w%s", err, explain(err))
	default:
		return nil
	}
}

func askAbout(ctx context.Context, c *wire.Conn, stream, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	_, err := ask(ctx, c, lastOf(stream, subject), "", nil)
	if errors.Is(err, wire.ErrNoResponders) {
		return fmt.Errorf("fleet: the hub has no stream %s: mien fleet serve makes it", stream)
	}
	if err != nil {
		return fmt.Errorf("fleet: %s: %w%s", subject, err, explain(err))
	}
	return nil
}
