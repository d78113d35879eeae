package update

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"aead.dev/minisign"
)

// signer makes a key pair and signs with it.
type signer struct {
	public  minisign.PublicKey
	private minisign.PrivateKey
}

func newSigner(t *testing.T) signer {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{public, private}
}

func (s signer) sign(model []byte, name string) []byte {
	return minisign.SignWithComments(s.private, model, name, "a test")
}

func (s signer) keys() []minisign.PublicKey { return []minisign.PublicKey{s.public} }

func runs([]byte) error { return nil }

func install(t *testing.T, s Store, by signer, model string) {
	t.Helper()
	if err := s.Install([]byte(model), by.sign([]byte(model), model), by.keys(), runs); err != nil {
		t.Fatal(err)
	}
}

// started returns what a starting program would run; "" is the model inside it.
func started(t *testing.T, s Store) string {
	t.Helper()
	data, slot, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	if slot != nil && slot.Name != string(data) {
		t.Errorf("the slot's name is %q, its model %q", slot.Name, data)
	}
	return string(data)
}

// What root installs belongs to the firmware's own user, who owns the folder
// above and has to write there too.
func TestOwner(t *testing.T) {
	above := filepath.Join(t.TempDir(), "mien")
	if err := os.Mkdir(above, 0o750); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // any other user can only give to itself
		if err := os.Chown(above, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	owner := func(path string) uint32 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Uid
	}
	s := Store{Dir: filepath.Join(above, "models")}
	install(t, s, newSigner(t), "one")
	if owner(s.Dir) != owner(above) {
		t.Errorf("the models belong to %d, the folder above to %d", owner(s.Dir), owner(above))
	}
	info, err := os.Stat(filepath.Join(s.Dir, slotA))
	if err != nil || info.Mode().Perm()&0o044 != 0o044 {
		t.Errorf("the firmware's user cannot read the model: %v, %v", info, err)
	}
}

// What an update that was cut short has left is cleared away by the next.
func TestLeftovers(t *testing.T) {
	s, by := Store{Dir: filepath.Join(t.TempDir(), "models")}, newSigner(t)
	install(t, s, by, "one")
	if err := os.WriteFile(filepath.Join(s.Dir, ".b.tflite.123.tmp"), []byte("ha"), 0o600); err != nil {
		t.Fatal(err)
	}
	install(t, s, by, "two")
	left, err := filepath.Glob(filepath.Join(s.Dir, ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("%v, %v are left", left, err)
	}
}

func TestTrialAndProof(t *testing.T) {
	s, by := Store{Dir: filepath.Join(t.TempDir(), "models")}, newSigner(t)
	if got := started(t, s); got != "" {
		t.Fatalf("an empty store gives %q", got)
	}
	install(t, s, by, "one")
	if got := started(t, s); got != "one" {
		t.Fatalf("after the first update: %q", got)
	}
	if err := s.Healthy(); err != nil {
		t.Fatal(err)
	}
	for range 5 { // proven: it may be started as often as one likes
		if got := started(t, s); got != "one" {
			t.Fatalf("a proven model gives way to %q", got)
		}
	}
	install(t, s, by, "two")
	for range maxTrials {
		if got := started(t, s); got != "two" {
			t.Fatalf("on trial: %q", got)
		}
	}
	for range 3 { // it never proved itself
		if got := started(t, s); got != "one" {
			t.Fatalf("after the trial: %q", got)
		}
	}
}

func TestFirstModelRollsBackToTheOneInside(t *testing.T) {
	s, by := Store{Dir: t.TempDir()}, newSigner(t)
	install(t, s, by, "one")
	for range maxTrials {
		started(t, s)
	}
	if got := started(t, s); got != "" {
		t.Errorf("after the trial of the first model: %q", got)
	}
}

func TestRollback(t *testing.T) {
	s, by := Store{Dir: t.TempDir()}, newSigner(t)
	if err := s.Rollback(); err != nil {
		t.Errorf("nothing to roll back: %v", err)
	}
	install(t, s, by, "one")
	if err := s.Healthy(); err != nil {
		t.Fatal(err)
	}
	install(t, s, by, "two")
	if err := s.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got := started(t, s); got != "one" {
		t.Errorf("after the rollback: %q", got)
	}
}

// A second update while the first is on trial leaves the proven model alone.
func TestUpdateDuringATrial(t *testing.T) {
	s, by := Store{Dir: t.TempDir()}, newSigner(t)
	install(t, s, by, "one")
	if err := s.Healthy(); err != nil {
		t.Fatal(err)
	}
	install(t, s, by, "two")
	install(t, s, by, "three")
	for range maxTrials {
		if got := started(t, s); got != "three" {
			t.Fatalf("on trial: %q", got)
		}
	}
	if got := started(t, s); got != "one" {
		t.Errorf("after both trials: %q, want the proven model", got)
	}
}

func TestDamagedFilesArePassedOver(t *testing.T) {
	s, by := Store{Dir: t.TempDir()}, newSigner(t)
	install(t, s, by, "one")
	if err := s.Healthy(); err != nil {
		t.Fatal(err)
	}
	install(t, s, by, "two")
	if err := s.Healthy(); err != nil {
		t.Fatal(err)
	}
	st, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, st.Current.File), []byte("tw"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := started(t, s); got != "one" {
		t.Errorf("with the current model cut: %q", got)
	}
	for _, bad := range []string{"", "{", "null", `{"current":{"file":"../../etc/passwd","sha256":""}}`, `{"current":5}`} {
		if err := os.WriteFile(filepath.Join(s.Dir, stateFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := started(t, s); got != "" {
			t.Errorf("with the state %q: %q", bad, got)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	s, by, stranger := Store{Dir: t.TempDir()}, newSigner(t), newSigner(t)
	install(t, s, by, "one")
	if err := s.Healthy(); err != nil {
		t.Fatal(err)
	}
	model := []byte("two")
	good := by.sign(model, "two")
	comment := bytes.Replace(good, []byte("trusted comment: two"), []byte("trusted comment: new"), 1)
	if bytes.Equal(comment, good) {
		t.Fatal("the signature holds no trusted comment")
	}
	wontRun := func([]byte) error { return errors.New("wrong input size") }
	for name, c := range map[string]struct {
		model, sig []byte
		keys       []minisign.PublicKey
		try        func([]byte) error
		says       string
	}{
		"a changed model":           {[]byte("TWO"), good, by.keys(), runs, "does not fit"},
		"a changed comment":         {model, comment, by.keys(), runs, "does not fit"},
		"a stranger's signature":    {model, stranger.sign(model, "two"), by.keys(), runs, "not installed"},
		"no signature":              {model, nil, by.keys(), runs, "format"},
		"garbage for a signature":   {model, []byte("untrusted comment: x\nAAAA\n"), by.keys(), runs, "format"},
		"no key":                    {model, good, nil, runs, "no public key"},
		"a model that does not run": {model, good, by.keys(), wontRun, "wrong input size"},
	} {
		if err := s.Install(c.model, c.sig, c.keys, c.try); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.says)
		}
		if got := started(t, s); got != "one" {
			t.Fatalf("%s: the model is now %q", name, got)
		}
	}
}

// cut stops at the nth step, as a power cut does.
var errCut = errors.New("power cut")

// Cutting the power at any step of an update, of a start and of the proof
// leaves a model that works: the old one or the new one.
func TestPowerCutAtEveryStep(t *testing.T) {
	by := newSigner(t)
	history := []struct {
		name string
		do   func(Store) error
	}{
		{"first update", func(s Store) error {
			return s.Install([]byte("one"), by.sign([]byte("one"), "one"), by.keys(), runs)
		}},
		{"first start", func(s Store) error { _, _, err := s.Start(); return err }},
		{"first proof", Store.Healthy},
		{"second update", func(s Store) error {
			return s.Install([]byte("two"), by.sign([]byte("two"), "two"), by.keys(), runs)
		}},
		{"third update, during the trial", func(s Store) error {
			return s.Install([]byte("three"), by.sign([]byte("three"), "three"), by.keys(), runs)
		}},
		{"third start", func(s Store) error { _, _, err := s.Start(); return err }},
		{"rollback", Store.Rollback},
	}
	may := [][]string{{"", "one"}, {"", "one"}, {"", "one"}, {"one", "two"}, {"one", "two", "three"}, {"one", "three"}, {"one", "three"}}
	cuts := 0
	for i, h := range history {
		for at := 0; ; at++ {
			s := Store{Dir: t.TempDir()}
			for _, before := range history[:i] {
				if err := before.do(s); err != nil {
					t.Fatal(err)
				}
			}
			steps, where := 0, ""
			cutting := Store{Dir: s.Dir, fail: func(step string) error {
				if steps++; steps > at {
					where = step
					return errCut
				}
				return nil
			}}
			err := h.do(cutting)
			if err == nil {
				break // there were no more steps
			}
			if !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			cuts++
			if got := started(t, s); !slices.Contains(may[i], got) {
				t.Errorf("%s, cut at %q: the device starts %q, want one of %q", h.name, where, got, may[i])
			}
			// And the device is not stuck: the next update goes through.
			install(t, s, by, "four")
			if got := started(t, s); got != "four" {
				t.Errorf("%s, cut at %q: after the next update the device starts %q", h.name, where, got)
			}
		}
	}
	if cuts < 20 {
		t.Errorf("%d cuts only", cuts)
	}
}

func TestKeys(t *testing.T) {
	dir, by := t.TempDir(), newSigner(t)
	if keys, err := Keys(dir); err != nil || len(keys) != 0 {
		t.Errorf("an empty folder: %v, %v", keys, err)
	}
	text, err := by.public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "us.pub"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := Keys(dir)
	if err != nil || len(keys) != 1 || !keys[0].Equal(by.public) {
		t.Errorf("one key: %v, %v", keys, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.pub"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Keys(dir); err == nil || !strings.Contains(err.Error(), "bad.pub") {
		t.Errorf("a bad key: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	good := minisign.Sign(private, []byte("model"))
	f.Add(good)
	f.Add([]byte("untrusted comment: x\nRUQ=\ntrusted comment: y\nAAAA"))
	f.Fuzz(func(t *testing.T, signature []byte) {
		_, err := Verify([]byte("another model"), signature, []minisign.PublicKey{public})
		if err == nil {
			t.Errorf("signature %q passes for a model it was not made for", signature)
		}
	})
}
