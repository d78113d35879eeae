package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"mien/device/fleet"
)

// Command asks a board to do something and returns its answer: the board is asked
// for a word first, which the command has to hold.
func (h *Home) Command(ctx context.Context, nc *nats.Conn, id fleet.ID, c fleet.Command) (fleet.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answers)
	defer cancel()
	a, err := ask(ctx, nc, id, nil, 10*time.Second)
	if err != nil {
		return a, err
	}
	if a.Word == "" {
		return a, nil // it says why
	}
	c.Word = a.Word
	if err := c.SealFor(id, h.key); err != nil {
		return a, fmt.Errorf("fleet: %w", err)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return a, err
	}
	return ask(ctx, nc, id, b, answers)
}

func ask(ctx context.Context, nc *nats.Conn, id fleet.ID, body []byte, patience time.Duration) (a fleet.Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, id.Subject(fleet.OfCommand), body)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return a, fmt.Errorf("fleet: %v is not connected, or takes no commands (fleet.commands in its mien.yaml)", id)
	case err != nil:
		return a, fmt.Errorf("fleet: %v: %w", id, err)
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return a, fmt.Errorf("fleet: %v answers %.60q: %w", id, m.Data, err)
	}
	return a, nil
}
