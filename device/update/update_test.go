package update

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
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

// versions gives each signature a higher version than all before.
var versions atomic.Uint64

func (s signer) sign(model []byte, name string) []byte {
	return s.signAs(model, fmt.Sprintf("version:%d\tfile:%s", versions.Add(1), name))
}

func (s signer) signAs(model []byte, comment string) []byte {
	return minisign.SignWithComments(s.private, model, comment, "a test")
}

func (s signer) keys() []minisign.PublicKey { return []minisign.PublicKey{s.public} }

func runs([]byte) error { return nil }

func install(t *testing.T, s Store, by signer, model string) {
	t.Helper()
	if err := s.Install([]byte(model), by.sign([]byte(model), model), runs); err != nil {
		t.Fatal(err)
	}
}

// healthy says that the current model works.
func healthy(s Store) error {
	st, err := s.State()
	if err != nil {
		return err
	}
	return s.Healthy(st.Current)
}

// started returns what a starting program would run; "" is the model inside it.
func started(t *testing.T, s Store) string {
	t.Helper()
	data, slot, _, err := s.Start()
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
	by := newSigner(t)
	s := Store{Dir: filepath.Join(above, "models"), Keys: by.keys()}
	install(t, s, by, "one")
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
	by := newSigner(t)
	s := Store{Dir: filepath.Join(t.TempDir(), "models"), Keys: by.keys()}
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
	by := newSigner(t)
	s := Store{Dir: filepath.Join(t.TempDir(), "models"), Keys: by.keys()}
	if got := started(t, s); got != "" {
		t.Fatalf("an empty store gives %q", got)
	}
	install(t, s, by, "one")
	if got := started(t, s); got != "one" {
		t.Fatalf("after the first update: %q", got)
	}
	if err := healthy(s); err != nil {
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
	by := newSigner(t)
	s := Store{Dir: t.TempDir(), Keys: by.keys()}
	install(t, s, by, "one")
	for range maxTrials {
		started(t, s)
	}
	if got := started(t, s); got != "" {
		t.Errorf("after the trial of the first model: %q", got)
	}
}

func TestRollback(t *testing.T) {
	by := newSigner(t)
	s := Store{Dir: t.TempDir(), Keys: by.keys()}
	if err := s.Rollback(); err != nil {
		t.Errorf("nothing to roll back: %v", err)
	}
	install(t, s, by, "one")
	if err := healthy(s); err != nil {
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
	by := newSigner(t)
	s := Store{Dir: t.TempDir(), Keys: by.keys()}
	install(t, s, by, "one")
	if err := healthy(s); err != nil {
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
	by := newSigner(t)
	s := Store{Dir: t.TempDir(), Keys: by.keys()}
	install(t, s, by, "one")
	if err := healthy(s); err != nil {
		t.Fatal(err)
	}
	install(t, s, by, "two")
	if err := healthy(s); err != nil {
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
	// A rotten state costs nothing, and its copy too costs no more than the
	// models that were installed.
	whole, err := os.ReadFile(filepath.Join(s.Dir, copyFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "{", "null", "{}", `{"current":{"file":"../../etc/passwd","sha256":""}}`, `{"current":5}`, `{"trial":true,"newest":5}`,
		strings.Repeat(" ", maxState+1)} {
		write(t, filepath.Join(s.Dir, copyFile), whole)
		write(t, filepath.Join(s.Dir, stateFile), []byte(bad))
		if got := started(t, s); got != "one" {
			t.Errorf("with the state %.60q: %q", bad, got)
		}
		write(t, filepath.Join(s.Dir, copyFile), []byte(bad))
		write(t, filepath.Join(s.Dir, stateFile), []byte(bad))
		if got := started(t, s); got != "" {
			t.Errorf("with the state %.60q, and its copy: %q", bad, got)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	by, stranger := newSigner(t), newSigner(t)
	s := Store{Dir: t.TempDir(), Keys: by.keys()}
	install(t, s, by, "one")
	if err := healthy(s); err != nil {
		t.Fatal(err)
	}
	model := []byte("two")
	good := by.sign(model, "two")
	comment := bytes.Replace(good, []byte("file:two"), []byte("file:new"), 1)
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
		if err := (Store{Dir: s.Dir, Keys: c.keys}).Install(c.model, c.sig, c.try); err == nil || !strings.Contains(err.Error(), c.says) {
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
			return s.Install([]byte("one"), by.sign([]byte("one"), "one"), runs)
		}},
		{"first start", func(s Store) error { _, _, _, err := s.Start(); return err }},
		{"first proof", healthy},
		{"second update", func(s Store) error {
			return s.Install([]byte("two"), by.sign([]byte("two"), "two"), runs)
		}},
		{"third update, during the trial", func(s Store) error {
			return s.Install([]byte("three"), by.sign([]byte("three"), "three"), runs)
		}},
		{"third start", func(s Store) error { _, _, _, err := s.Start(); return err }},
		{"rollback", Store.Rollback},
	}
	may := [][]string{{"", "one"}, {"", "one"}, {"", "one"}, {"one", "two"}, {"one", "two", "three"}, {"one", "three"}, {"one", "three"}}
	cuts := 0
	for i, h := range history {
		for at := 0; ; at++ {
			s := Store{Dir: t.TempDir(), Keys: by.keys()}
			for _, before := range history[:i] {
				if err := before.do(s); err != nil {
					t.Fatal(err)
				}
			}
			steps, where := 0, ""
			cutting := Store{Dir: s.Dir, Keys: by.keys(), fail: func(step string) error {
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
	if keys, bad := Keys(dir); len(bad) != 0 || len(keys) != 0 {
		t.Errorf("an empty folder: %v, %v", keys, bad)
	}
	text, err := by.public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "us.pub"), text)
	keys, bad := Keys(dir)
	if len(bad) != 0 || len(keys) != 1 || !keys[0].Equal(by.public) {
		t.Errorf("one key: %v, %v", keys, bad)
	}
	// Junk beside it, of any kind, is named and keeps nothing from working.
	write(t, filepath.Join(dir, "bad.pub"), []byte("no key"))
	write(t, filepath.Join(dir, "large.pub"), make([]byte, maxText+1))
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "dir.pub"), 0o700), syscall.Mkfifo(filepath.Join(dir, "fifo.pub"), 0o600),
		os.Symlink("/dev/zero", filepath.Join(dir, "zero.pub")), os.Symlink("nowhere", filepath.Join(dir, "link.pub"))); err != nil {
		t.Fatal(err)
	}
	keys, bad = Keys(dir)
	if len(keys) != 1 || len(bad) != 6 {
		t.Fatalf("among junk: %v, %v", keys, bad)
	}
	for _, name := range []string{"bad.pub", "large.pub", "dir.pub", "fifo.pub", "zero.pub", "link.pub"} {
		if !strings.Contains(errors.Join(bad...).Error(), name) {
			t.Errorf("nobody says that %s is no key: %v", name, bad)
		}
	}
	// A stranger's key under the same id does not stand before ours.
	twin := bytes.Clone(text)
	other, err := newSigner(t).public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	raw := func(b []byte) []byte {
		lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
		out, err := base64.StdEncoding.DecodeString(string(lines[len(lines)-1]))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	mixed := raw(other)
	copy(mixed[2:10], raw(twin)[2:10])
	var k minisign.PublicKey
	if err := k.UnmarshalText([]byte(base64.StdEncoding.EncodeToString(mixed))); err != nil || k.ID() != by.public.ID() {
		t.Fatal(err)
	}
	if _, err := Verify([]byte("x"), by.sign([]byte("x"), "x"), []minisign.PublicKey{k, by.public}); err != nil {
		t.Errorf("behind a key of the same id: %v", err)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Nothing but a plain file of a sensible size is read, and nothing is waited
// for.
func TestReadModelRefusesByKindAndSize(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.tflite")
	sparse := func(name string, size int64) {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := ReadModel("/dev/zero"); err == nil || !strings.Contains(err.Error(), "no plain file") {
		t.Errorf("/dev/zero: %v", err)
	}
	for name, make := range map[string]func(string){
		"too many":      func(p string) { sparse(p, 3<<30) },
		"no plain file": func(p string) { syscall.Mkfifo(p, 0o600) },
		"(d":            func(p string) { os.Mkdir(p, 0o700) },
		"no such file":  func(p string) {},
		"plain":         func(p string) { os.Symlink("/dev/zero", p) },
	} {
		for _, which := range []string{path, path + ".minisig"} {
			os.RemoveAll(path)
			os.RemoveAll(path + ".minisig")
			for _, p := range []string{path, path + ".minisig"} {
				if p == which {
					make(p)
				} else {
					write(t, p, []byte("x"))
				}
			}
			if _, _, err := ReadModel(path); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), which) {
				t.Errorf("%s as %s: %v", name, which, err)
			}
		}
	}
}

// What is not newer than all before is refused, however well it is signed.
func TestOnlyForward(t *testing.T) {
	by := newSigner(t)
	s := Store{Dir: filepath.Join(t.TempDir(), "models"), Keys: by.keys()}
	signed := func(name, comment string) (model, sig []byte) { return []byte(name), by.signAs([]byte(name), comment) }
	put := func(name, comment string) error {
		model, sig := signed(name, comment)
		return s.Install(model, sig, runs)
	}
	two, sigTwo := signed("two", "version:2000000000\tfile:two")
	if err := put("one", "timestamp:1000000000\tfile:one\thashed"); err != nil { // as minisign writes it
		t.Fatal(err)
	}
	if err := errors.Join(healthy(s), s.Install(two, sigTwo, runs), healthy(s)); err != nil {
		t.Fatal(err)
	}
	for comment, says := range map[string]string{
		"version:1999999999": "not newer than 2000000000", "version:2000000000": "not newer", "timestamp:1000000000": "not newer",
		"": "no version", "a model": "no version", "version:": "no version", "version:x": "no number", "version:0": "no number",
		"version:-1": "no number", "version:99999999999999999999": "no number", "version:1 version:3000000000": "not newer",
	} {
		if err := put("older", comment); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want an error that says %q", comment, err, says)
		}
	}
	if err := s.Install(two, sigTwo, runs); err == nil || !strings.Contains(err.Error(), "version:2000000001") {
		t.Errorf("sent again: %v, want an error that names the next version", err)
	}
	// Not after a roll-back either, a failed trial, or when the state has rotted.
	if err := s.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.Install(two, sigTwo, runs); err == nil {
		t.Error("a model that was rolled back came back")
	}
	write(t, filepath.Join(s.Dir, stateFile), []byte("{rotten"))
	if err := s.Install(two, sigTwo, runs); err == nil {
		t.Error("with a rotten state an old model came back")
	}
	if got := started(t, s); got != "one" {
		t.Errorf("with a rotten state the device starts %q", got)
	}
	if err := put("three", "version:2000000001\tfile:three"); err != nil {
		t.Error(err)
	}
}

// The signature counts at each start: what somebody has put into a slot, or
// whose key has been withdrawn, does not run.
func TestSignatureCountsAtEachStart(t *testing.T) {
	by, stranger := newSigner(t), newSigner(t)
	s := Store{Dir: filepath.Join(t.TempDir(), "models"), Keys: by.keys()}
	install(t, s, by, "one")
	if err := healthy(s); err != nil {
		t.Fatal(err)
	}
	withdrawn := Store{Dir: s.Dir, Keys: stranger.keys()}
	for _, keys := range [][]minisign.PublicKey{stranger.keys(), nil} {
		data, slot, fallen, err := Store{Dir: s.Dir, Keys: keys}.Start()
		if data != nil || slot != nil || err != nil || len(fallen) != 1 {
			t.Errorf("with the key withdrawn: %q, %v, %v, %v", data, slot, fallen, err)
		}
	}
	if data, _, _ := withdrawn.Current(); data != nil {
		t.Errorf("with the key withdrawn, without starting: %q", data)
	}
	if got := started(t, s); got != "one" { // the key is back: nothing was thrown away
		t.Errorf("with the key back: %q", got)
	}
	// Model and digest exchanged, as who can write there could.
	st, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	evil := []byte("evil")
	write(t, filepath.Join(s.Dir, st.Current.File), evil)
	st.Current.SHA256 = digest(evil)
	if err := s.save(st); err != nil {
		t.Fatal(err)
	}
	if got := started(t, s); got != "" {
		t.Errorf("a model that nobody signed runs: %q", got)
	}
	st.Current.Signature = string(stranger.sign(evil, "evil"))
	if err := s.save(st); err != nil {
		t.Fatal(err)
	}
	if got := started(t, s); got != "" {
		t.Errorf("a stranger's model runs: %q", got)
	}
}

// The only proven model that is intact is never written over by one that has
// still to prove itself.
func TestProvenStays(t *testing.T) {
	by := newSigner(t)
	s := Store{Dir: filepath.Join(t.TempDir(), "models"), Keys: by.keys()}
	for _, m := range []string{"one", "two"} {
		install(t, s, by, m)
		if err := healthy(s); err != nil {
			t.Fatal(err)
		}
	}
	st, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.Dir, st.Current.File), []byte("rot")) // the current one rots unseen
	install(t, s, by, "three")
	for range maxTrials {
		if got := started(t, s); got != "three" {
			t.Fatalf("on trial: %q", got)
		}
	}
	_, slot, fallen, err := s.Start()
	if err != nil || slot == nil || slot.Name != "one" || len(fallen) != 1 || fallen[0].Name != "three" || !strings.Contains(fallen[0].Why, "did not prove itself") {
		t.Fatalf("after the trial: %+v, %v, %v; want the proven model", slot, fallen, err)
	}
	if st, err = s.State(); err != nil || len(st.Fallen) != 1 || st.Fallen[0].Name != "three" || st.Fallen[0].Time.IsZero() {
		t.Errorf("%+v, %v", st, err)
	}
}

// A model that does not open gives way to the one before it, and only that
// model: another one that was installed meanwhile stays on trial.
func TestRejectAndHealthyNameTheirModel(t *testing.T) {
	by := newSigner(t)
	s := Store{Dir: filepath.Join(t.TempDir(), "models"), Keys: by.keys()}
	install(t, s, by, "one")
	_, one, _, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Healthy(one); err != nil {
		t.Fatal(err)
	}
	install(t, s, by, "two") // while "one" runs on
	if err := errors.Join(s.Healthy(one), s.Reject(one, "late")); err != nil {
		t.Fatal(err)
	}
	if st, err := s.State(); err != nil || !st.Trial || st.Current.Name != "two" {
		t.Fatalf("the news of another model ended the trial: %+v, %v", st, err)
	}
	_, two, _, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reject(two, "it does not open"); err != nil {
		t.Fatal(err)
	}
	if got := started(t, s); got != "one" {
		t.Errorf("after the rejection: %q", got)
	}
	for range 3 * mostFallen { // what is remembered is bounded
		install(t, s, by, "bad")
		if err := healthy(s); err != nil {
			t.Fatal(err)
		}
		if err := s.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := s.State(); err != nil || len(st.Fallen) != mostFallen {
		t.Errorf("%d falls are remembered, %v", len(st.Fallen), err)
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
