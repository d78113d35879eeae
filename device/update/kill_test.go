package update

import (
	"bytes"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"aead.dev/minisign"
)

// TestMain lets the test's own program be one of the writers that are killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("UPDATE_STORE"); dir != "" {
		if err := writer(dir, os.Getenv("UPDATE_KEY")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// modelOf is the model of a version: 64 KiB that no other version shares.
func modelOf(version uint64) []byte {
	b := make([]byte, 64<<10)
	mathrand.NewChaCha8([32]byte{byte(version), byte(version >> 8), byte(version >> 16)}).Read(b)
	return b
}

// writer installs, starts and proves models for ever, as updates and the
// firmware do.
func writer(dir, key string) error {
	text, err := os.ReadFile(key)
	if err != nil {
		return err
	}
	var private minisign.PrivateKey
	if err := private.UnmarshalText(text); err != nil {
		return err
	}
	public, ok := private.Public().(minisign.PublicKey)
	if !ok {
		return errors.New("no public key")
	}
	s := Store{Dir: dir, Keys: []minisign.PublicKey{public}}
	for {
		st, err := s.State()
		if err != nil {
			return err
		}
		version := st.Newest + 1
		model := modelOf(version)
		sig := minisign.SignWithComments(private, model, fmt.Sprintf("version:%d", version), "")
		if err := s.Install(model, sig, runs); err != nil {
			if now, stateErr := s.State(); stateErr == nil && now.Newest >= version {
				continue // the other writer was faster
			}
			return err
		}
		for range mathrand.IntN(2 * maxTrials) {
			_, slot, _, err := s.Start()
			if err != nil {
				return err
			}
			if slot != nil && mathrand.IntN(3) > 0 {
				if err := s.Healthy(slot); err != nil {
					return err
				}
			}
		}
	}
}

// Two processes change one store and are killed again and again, at no chosen
// instant. There is always a model that has proven itself, whole and signed,
// for the next start. KILLS says how many kills (make test-kills: 1,000).
func TestKillsDuringUpdates(t *testing.T) {
	kills := 40
	if v := os.Getenv("KILLS"); v != "" {
		var err error
		if kills, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	by := newSigner(t)
	s := Store{Dir: filepath.Join(t.TempDir(), "models"), Keys: by.keys()}
	key := filepath.Join(t.TempDir(), "key")
	text, err := by.private.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	write(t, key, text)
	first := modelOf(1)
	if err := s.Install(first, by.signAs(first, "version:1"), runs); err != nil {
		t.Fatal(err)
	}
	if err := healthy(s); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	begin := func() (*exec.Cmd, *bytes.Buffer) {
		cmd, said := exec.Command(exe), &bytes.Buffer{}
		cmd.Env, cmd.Stderr = append(os.Environ(), "UPDATE_STORE="+s.Dir, "UPDATE_KEY="+key), said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, said
	}
	var writers [2]*exec.Cmd
	var said [2]*bytes.Buffer
	for i := range writers {
		writers[i], said[i] = begin()
	}
	t.Cleanup(func() {
		for _, w := range writers {
			w.Process.Kill()
			w.Wait()
		}
	})
	for n := range kills {
		time.Sleep(time.Duration(mathrand.Int64N(int64(60 * time.Millisecond))))
		i := n % len(writers)
		if err := writers[i].Process.Kill(); err != nil {
			t.Fatalf("a writer has ended by itself: %v: %s", err, said[i])
		}
		writers[i].Wait()
		if said[i].Len() > 0 {
			t.Fatalf("kill %d: a writer says %s", n, said[i])
		}
		if err := s.locked(func() error { return s.whole() }); err != nil {
			t.Fatalf("after kill %d: %v", n, err)
		}
		writers[i], said[i] = begin()
	}
	st, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	if st.Newest < 3 {
		t.Errorf("only version %d was reached: this test proves nothing", st.Newest)
	}
	t.Logf("%d kills, %d versions", kills, st.Newest)
}

// whole says what is wrong with the models that a store holds.
func (s Store) whole() error {
	st, err := s.State()
	if err != nil {
		return err
	}
	slot := st.Current
	if st.Trial {
		slot = st.Previous
	}
	if slot == nil {
		return fmt.Errorf("there is no proven model: %+v", st)
	}
	data, err := s.load(slot)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, modelOf(slot.Version)) {
		return fmt.Errorf("version %d is not what was signed", slot.Version)
	}
	if st.Trial {
		if _, err := s.load(st.Current); err != nil {
			return fmt.Errorf("the model on trial: %w", err)
		}
	}
	return nil
}
