package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mien/device/fleet"
	"mien/runtime/lockfile"
	"mien/train/work"
)

// Ensure makes the streams and stores of the tables, or brings those that are
// there to what the tables say. disk is what they may take together, in bytes;
// replicas is how many servers of a cluster hold each.
func Ensure(ctx context.Context, js jetstream.JetStream, disk int64, replicas int) error {
	for _, s := range fleet.Streams {
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: s.Name, Description: s.About, Subjects: s.Of(), Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, MaxAge: s.Age, MaxBytes: share(disk, s.Share), MaxMsgSize: 1 << 20,
			Duplicates: fleet.Repeats, AllowDirect: true, Replicas: replicas})
		if err != nil {
			return fmt.Errorf("fleet: stream %s: %w", s.Name, err)
		}
	}
	for _, s := range fleet.Stores {
		var err error
		if s.Objects {
			_, err = js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: s.Name, Description: s.About, MaxBytes: share(disk, s.Share), Replicas: replicas})
		} else {
			_, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: s.Name, Description: s.About, History: 1, MaxBytes: share(disk, s.Share), Replicas: replicas})
		}
		if err != nil {
			return fmt.Errorf("fleet: store %s: %w", s.Name, err)
		}
	}
	return work.Make(ctx, js, share(disk, workShare), replicas)
}

// bucket opens a store of keys and values that Ensure made.
func bucket(ctx context.Context, js jetstream.JetStream, name string) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("fleet: store %s: %w", name, err)
	}
	return kv, nil
}

// artifacts opens the store of the files that are rolled out.
func artifacts(ctx context.Context, js jetstream.JetStream) (jetstream.ObjectStore, error) {
	store, err := js.ObjectStore(ctx, fleet.Artifacts)
	if err != nil {
		return nil, fmt.Errorf("fleet: store %s: %w", fleet.Artifacts, err)
	}
	return store, nil
}

// workShare is the part of the disk, percent, for runs of sweeps and experiments.
const workShare = 8

func share(disk int64, percent int) int64 { return disk / 100 * int64(percent) }

// Forget revokes a board's credentials, so that nothing more comes of it, and
// removes what is stored of it. Where one of the two fails the other is done.
func (h *Home) Forget(ctx context.Context, js jetstream.JetStream, id fleet.ID) (purged uint64, err error) {
	e, known, err := h.board(id)
	if err == nil && known {
		err = h.Revoke(ctx, e)
	}
	purged, gone := purge(ctx, js, id)
	if err = errors.Join(err, gone); err == nil && known {
		err = os.Remove(h.boardFile(id))
	}
	return purged, err
}

func purge(ctx context.Context, js jetstream.JetStream, id fleet.ID) (purged uint64, err error) {
	for _, row := range fleet.Subjects {
		if row.Stream == "" {
			continue
		}
		s, err := js.Stream(ctx, row.Stream)
		if err != nil {
			return purged, fmt.Errorf("fleet: stream %s: %w", row.Stream, err)
		}
		before, err := s.Info(ctx)
		if err != nil {
			return purged, fmt.Errorf("fleet: stream %s: %w", row.Stream, err)
		}
		if err := s.Purge(ctx, jetstream.WithPurgeSubject(id.Subject(row.Name))); err != nil {
			return purged, fmt.Errorf("fleet: stream %s: %w", row.Stream, err)
		}
		if after, err := s.Info(ctx); err == nil && after.State.Msgs < before.State.Msgs {
			purged += before.State.Msgs - after.State.Msgs
		}
	}
	for _, st := range fleet.Stores {
		if st.Objects || st.Tools {
			continue
		}
		kv, err := js.KeyValue(ctx, st.Name)
		if err == nil {
			err = kv.Purge(ctx, id.Key())
		}
		if err == nil {
			err = kv.PurgeDeletes(ctx, jetstream.DeleteMarkersOlderThan(-1))
		}
		if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
			return purged, fmt.Errorf("fleet: store %s: %w", st.Name, err)
		}
	}
	return purged, leaveOut(ctx, js, id)
}

// Revoke has the server throw out who has these credentials, now and for ever. In
// another's cluster its own tools have to: nsc revocations add-user.
func (h *Home) Revoke(ctx context.Context, e Enrolled) error {
	a, err := h.About()
	if err != nil {
		return err
	}
	if a.Cluster != nil {
		return fmt.Errorf("fleet: only who runs the cluster can revoke credentials: nsc revocations add-user --user-public-key %s", e.User)
	}
	token, err := h.revoked(e)
	if err != nil {
		return err
	}
	o, err := h.as(true)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(a.Tools, o...)
	if err != nil {
		return fmt.Errorf("fleet: %s: %w (the hub takes it when it is started again, too)", a.Tools, err)
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := nc.RequestWithContext(ctx, "$SYS.REQ.CLAIMS.UPDATE", []byte(token)); err != nil {
		return fmt.Errorf("fleet: the server does not take the revocation: %w", err)
	}
	return nil
}

// revoked adds to who is revoked. Two at once would forget one.
func (h *Home) revoked(e Enrolled) (string, error) {
	lock, err := lockfile.Take(h.path("keys.lock"), 10*time.Second)
	if err != nil {
		return "", fmt.Errorf("fleet: %w", err)
	}
	token, err := h.accountToken(func(c *jwt.AccountClaims) { c.Revoke(e.User) })
	return token, errors.Join(err, lock.Release())
}

// Usage is how a stream or store of a hub stands.
type Usage struct {
	Name     string        `json:"name"`
	About    string        `json:"about"`
	Messages uint64        `json:"messages"`
	Bytes    uint64        `json:"bytes"`
	Bound    int64         `json:"bound"`            // bytes: when they are reached the oldest goes
	Age      time.Duration `json:"age_ns,omitempty"` // nothing older is kept; 0: no bound
	Oldest   time.Time     `json:"oldest,omitzero"`
}

// Short reports whether the bound of bytes, not that of age, decides what goes: less
// is kept than is said.
func (u Usage) Short() bool { return u.Bound > 0 && u.Bytes > uint64(u.Bound)/100*95 }

func (u Usage) String() string {
	s := fmt.Sprintf("%-14s %9d messages %8.1f of %.1f MiB", u.Name, u.Messages, float64(u.Bytes)/(1<<20), float64(u.Bound)/(1<<20))
	if u.Age > 0 {
		s += fmt.Sprintf(", %g days at most", u.Age.Hours()/24)
	}
	return s
}

// Use returns how full the streams and stores of the tables are.
func Use(ctx context.Context, js jetstream.JetStream) (all []Usage, err error) {
	var names []string
	for _, s := range fleet.Streams {
		names = append(names, s.Name)
	}
	for _, s := range fleet.Stores {
		names = append(names, s.Bucket())
	}
	names = append(names, work.Stream, work.Objects)
	for _, name := range names {
		s, err := js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("fleet: stream %s: %w", name, err)
		}
		i := s.CachedInfo()
		all = append(all, Usage{name, i.Config.Description, i.State.Msgs, i.State.Bytes, i.Config.MaxBytes, i.Config.MaxAge, i.State.FirstTime})
	}
	return all, nil
}
