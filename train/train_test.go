package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/lockfile"
	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/nn"
)

// TestMain lets the test binary be the process that a test kills: with
// MIEN_TEST_CHILD it trains in that folder.
func TestMain(m *testing.M) {
	if faces := os.Getenv("MIEN_TEST_CHILD"); faces != "" {
		os.Exit(child(faces, os.Getenv("MIEN_TEST_OUT"), os.Getenv("MIEN_TEST_PRECISION"), os.Getenv("MIEN_TEST_RESUME") != ""))
	}
	os.Exit(m.Run())
}

func child(faces, out, precision string, resume bool) int {
	o, err := killOptions(faces, out, precision)
	if err == nil {
		o.Resume, o.SaveEvery = resume, time.Nanosecond // a save at every step
		o.Progress = func(Progress) {
			fmt.Println() // the killer counts
			time.Sleep(10 * time.Millisecond)
		}
		_, err = Run(context.Background(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// killOptions is the run that is killed.
func killOptions(faces, out, precision string) (Options, error) {
	r, err := LoadRecipe("paper", append(slices.Clone(testKeys), "precision="+precision))
	if err != nil {
		return Options{}, err
	}
	s, err := data.Load(context.Background(), "fer2013:"+faces, data.Options{Seed: r.Seed, Validation: r.Validation, CacheDir: faces})
	return Options{Recipe: r, Sets: []*data.Set{s}, Out: out, Threads: 1, Net: tiny()}, err
}

func finalState(t *testing.T, out string) (last, best []byte, log []Epoch) {
	t.Helper()
	var err error
	if last, err = os.ReadFile(filepath.Join(out, LastFile)); err != nil {
		t.Fatal(err)
	}
	if best, err = os.ReadFile(filepath.Join(out, BestFile)); err != nil {
		t.Fatal(err)
	}
	if log, err = ReadLog(filepath.Join(out, LogFile)); err != nil {
		t.Fatal(err)
	}
	for i := range log {
		log[i].Seconds, log[i].ImagesPerS = 0, 0
	}
	return last, best, log
}

// A run that is killed with SIGKILL again and again, at no chosen instant,
// ends with the bytes of one that never was.
func TestKillAndResumeBitForBit(t *testing.T) {
	for _, p := range []nn.Precision{nn.Float32, nn.Bfloat16} {
		t.Run(p.String(), func(t *testing.T) { killAndResume(t, p.String()) })
	}
}

func killAndResume(t *testing.T, precision string) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	whole, err := killOptions(faces, t.TempDir(), precision)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), whole); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	kills := 0
	for steps := 1; ; steps++ {
		_, err := os.Stat(filepath.Join(out, LastFile))
		if killed := runChild(t, faces, out, precision, err == nil, steps); !killed {
			break
		}
		kills++
	}
	if kills < 2 {
		t.Fatalf("the run was killed %d times only: it is too short to prove anything", kills)
	}
	t.Logf("killed %d times", kills)
	if left, err := filepath.Glob(filepath.Join(out, ".*")); err != nil || len(left) > 0 {
		t.Errorf("kills left %v, %v", left, err)
	}
	wantLast, wantBest, wantLog := finalState(t, whole.Out)
	gotLast, gotBest, gotLog := finalState(t, out)
	if !bytes.Equal(wantLast, gotLast) {
		t.Error("last.safetensors differs from the uninterrupted run's")
	}
	if !bytes.Equal(wantBest, gotBest) {
		t.Error("best.safetensors differs from the uninterrupted run's")
	}
	if d := cmp.Diff(wantLog, gotLog); d != "" {
		t.Error(d)
	}
}

// runChild trains in another process and kills it within the step or two after
// the given number, so that a fast machine is killed as often as a slow one. It
// reports whether the child was killed before its end.
func runChild(t *testing.T, faces, out, precision string, resume bool, steps int) (killed bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "MIEN_TEST_CHILD="+faces, "MIEN_TEST_OUT="+out, "MIEN_TEST_PRECISION="+precision)
	if resume {
		cmd.Env = append(cmd.Env, "MIEN_TEST_RESUME=1")
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, steps)); err == nil {
		time.Sleep(rand.N(15 * time.Millisecond))
		cmd.Process.Kill()
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() < 0 {
		return true
	}
	if err != nil {
		t.Fatalf("child: %v: %s", err, stderr.String())
	}
	return false
}

// Ctrl-C, in the middle of an epoch, saves.
func TestInterruptSaves(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	whole := testOptions(t, faces)
	if _, err := Run(context.Background(), whole); err != nil {
		t.Fatal(err)
	}
	o := testOptions(t, faces)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	o.Progress = func(p Progress) {
		if p.Epoch == 2 && p.Phase == "train" && p.Done > 8 {
			stop()
		}
	}
	if _, err := Run(ctx, o); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("got %v", err)
	}
	o.Resume, o.Progress = true, nil
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	wantLast, _, _ := finalState(t, whole.Out)
	gotLast, _, _ := finalState(t, o.Out)
	if !bytes.Equal(wantLast, gotLast) {
		t.Error("last.safetensors differs from the uninterrupted run's")
	}
}

func TestLearnsAndKeepsTheBest(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 40)
	o := testOptions(t, faces, "epochs=8", "mixup=0", "augment.erase=0", "ema=0", "schedule.patience=5")
	res, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if res.Best < 0.8 || len(res.Log) != 8 {
		t.Errorf("best accuracy %.3f after %d epochs, want 0.8 of three plain patterns", res.Best, len(res.Log))
	}
	f, err := checkpoint.Read(filepath.Join(o.Out, BestFile))
	if err != nil {
		t.Fatal(err)
	}
	net, err := nn.New(tiny(), 32, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := SetWeights(net, f); err != nil {
		t.Fatal(err)
	}
	val, _, err := o.Sets[0].Select(data.Val)
	if err != nil {
		t.Fatal(err)
	}
	m, err := EvalNet(context.Background(), net, model.Heads(), val, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Heads["emotion"].Accuracy; got != res.Best {
		t.Errorf("best.safetensors has accuracy %v, the run said %v", got, res.Best)
	}
	if m.Heads["age"].N != 0 {
		t.Errorf("age counted %d images that have no label", m.Heads["age"].N)
	}
}

// The paper's callbacks, on made-up accuracies.
func TestPlateau(t *testing.T) {
	r := &run{recipe: &Recipe{LR: 3e-4, Schedule: Schedule{Kind: "plateau", Factor: 0.2, Patience: 5, MinLR: 1e-6}}, state: state{Scale: 1, Best: -1}}
	epoch := 0
	say := func(accuracy float64) Epoch {
		epoch++
		e := Epoch{Epoch: epoch}
		r.judge(&e, accuracy)
		return e
	}
	if e := say(0.5); !e.Best {
		t.Error("the first epoch is not the best")
	}
	var drops []int
	for range 30 {
		if e := say(0.5); e.Dropped {
			drops = append(drops, e.Epoch)
		}
		if r.state.Stopped {
			break
		}
	}
	// 3e-4 x 0.2^4 = 4.8e-7 is the first below 1e-6: four drops.
	if d := cmp.Diff([]int{6, 11, 16, 21}, drops); d != "" || !r.state.Stopped {
		t.Errorf("drops %v, stopped %v", drops, r.state.Stopped)
	}
	if r.state.BestEpoch != 1 {
		t.Errorf("best epoch %d", r.state.BestEpoch)
	}
}

func TestSchedules(t *testing.T) {
	at := func(kind string, warmup float64, epoch, images int) float64 {
		rec := Recipe{LR: 1, Batch: 10, Epochs: 10, Schedule: Schedule{Kind: kind, Warmup: warmup, Factor: 0.2, MinLR: 0.001}}
		r := &run{recipe: &rec, perEpoch: 100, state: state{Scale: 1, Epoch: epoch, At: images}}
		return r.rate()
	}
	for _, c := range []struct {
		kind      string
		warmup    float64
		epoch, at int
		lo, hi    float64
	}{
		{"plateau", 0, 9, 90, 1, 1}, {"constant", 0, 9, 90, 1, 1},
		{"constant", 2, 0, 0, 0.05, 0.05}, {"constant", 2, 1, 90, 1, 1},
		{"cosine", 0, 0, 0, 1, 1}, {"cosine", 0, 5, 0, 0.5, 0.501}, {"cosine", 0, 9, 99, 0.001, 0.002}, {"cosine", 1, 1, 0, 1, 1},
		{"one-cycle", 0, 0, 0, 0.04, 0.04}, {"one-cycle", 0, 3, 0, 1, 1}, {"one-cycle", 0, 9, 99, 0.001, 0.002},
	} {
		if got := at(c.kind, c.warmup, c.epoch, c.at); got < c.lo-1e-9 || got > c.hi+1e-9 {
			t.Errorf("%s, warm-up %g, epoch %d + %d: rate %g, want %g to %g", c.kind, c.warmup, c.epoch, c.at, got, c.lo, c.hi)
		}
	}
}

func TestDivergedNamesStepAndLayer(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	o := testOptions(t, faces, "lr=1e12", "ema=0", "epochs=50")
	_, err := Run(context.Background(), o)
	var d *Diverged
	if !errors.As(err, &d) || d.Layer == "" || d.Step == 0 {
		t.Fatalf("got %v", err)
	}
	f, err := checkpoint.Read(d.Kept)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range f.Tensors {
		if !finite(x.Data) {
			t.Errorf("%s was kept although it is not finite", x.Name)
		}
	}
}

func TestRefusals(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	o := testOptions(t, faces, "epochs=1")
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	refuse := func(what string, change func(*Options), words ...string) {
		t.Helper()
		x := o
		change(&x)
		_, err := Run(context.Background(), x)
		if err == nil {
			t.Fatalf("%s was accepted", what)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", what, err, w)
			}
		}
	}
	refuse("a second run in the same folder", func(*Options) {}, o.Out, "--resume")
	refuse("nothing to resume", func(x *Options) { x.Out, x.Resume = t.TempDir(), true }, "no run to resume")
	refuse("other images", func(x *Options) {
		x.Resume = true
		x.Sets = []*data.Set{{Heads: x.Sets[0].Heads, Samples: x.Sets[0].Samples[1:]}}
	}, "other images", LastFile)
	refuse("another precision", func(x *Options) {
		x.Resume, x.Recipe.Precision = true, nn.Bfloat16
	}, "began with precision float32", "--set precision=float32", LastFile)
	refuse("another network", func(x *Options) {
		x.Resume = true
		x.Net.Body[0].Out = 5
	}, "conv1.weight", LastFile)
	o.Net = tiny()
	refuse("another network's name", func(x *Options) {
		x.Resume = true
		x.Net.Name = "other"
	}, `"tiny"`, `"other"`)
	refuse("first weights of another network", func(x *Options) {
		x.Out, x.From = t.TempDir(), filepath.Join(o.Out, BestFile)
		x.Net.Name = "other"
	}, BestFile)
	refuse("a best as last", func(x *Options) {
		x.Out, x.Resume = t.TempDir(), true
		b, err := os.ReadFile(filepath.Join(o.Out, BestFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(x.Out, LastFile), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}, "no state to resume from")
	refuse("a cut checkpoint", func(x *Options) {
		x.Out, x.Resume = t.TempDir(), true
		b, err := os.ReadFile(filepath.Join(o.Out, LastFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(x.Out, LastFile), b[:len(b)-9], 0o644); err != nil {
			t.Fatal(err)
		}
	}, LastFile, "cut short")
	refuse("a head without labels to monitor", func(x *Options) {
		x.Out = t.TempDir()
		x.Recipe.Losses = Losses{"emotion": 1, "age": 1}
		x.Recipe.Monitor = "age"
	}, "age", "monitors")
	refuse("a head without a loss to monitor", func(x *Options) {
		x.Out = t.TempDir()
		x.Recipe.Monitor = "age"
	}, "age", "loss is 0")
	refuse("a set for other heads", func(x *Options) {
		x.Out = t.TempDir()
		x.Sets = []*data.Set{{Kind: "folders", Dir: "d", Heads: []model.Head{{Name: "emotion", Labels: []string{"happy", "sad"}}}, Samples: x.Sets[0].Samples}}
	}, "folders:d", "not loaded for head emotion")
	refuse("another head to monitor", func(x *Options) {
		x.Resume = true
		x.Recipe.Monitor = MonitorAll
	}, "by emotion", "monitor=emotion")
	refuse("no images to learn from", func(x *Options) {
		x.Out = t.TempDir()
		x.Recipe.Losses, x.Recipe.Monitor = Losses{"age": 1}, "age"
	}, "0 images to learn from")
}

// Two processes in one folder would write each other's checkpoints over.
func TestOneProcessAFolder(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	o := testOptions(t, faces, "epochs=1")
	lock, err := lockfile.Take(filepath.Join(o.Out, lockfile.Name), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(context.Background(), o)
	var held *lockfile.HeldError
	if !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("while another process works there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Out, LastFile)); err == nil {
		t.Error("the second run wrote into the folder of the first")
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and each run gives it back, one that is refused too
		if _, err := Run(context.Background(), o); errors.As(err, &held) {
			t.Error(err)
		}
	}
}

// A checkpoint says how the faces were found that taught it.
func TestGeometryIsKept(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	o := testOptions(t, faces, "epochs=2")
	o.StopAfter = 1
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{LastFile, BestFile} {
		f, err := checkpoint.Read(filepath.Join(o.Out, name))
		if err != nil || f.Meta[MetaFaces] != data.Geometry {
			t.Errorf("%s: faces of %q, want %q (%v)", name, f.Meta[MetaFaces], data.Geometry, err)
		}
	}
}

// TestFilterIsKept: a checkpoint says with which filter it was taught, opens with
// it, and serves no network with another.
func TestFilterIsKept(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	o := testOptions(t, faces, "epochs=1", "filter=lbp")
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	best := filepath.Join(o.Out, BestFile)
	f, err := checkpoint.Read(best)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NetOf(f)
	if err != nil || n.Filter != model.LBP {
		t.Errorf("filter %q, %v", n.Filter, err)
	}
	other := testOptions(t, faces, "epochs=1")
	other.From = best
	if _, err := Run(context.Background(), other); err == nil || !strings.Contains(err.Error(), `taught with filter "lbp", not ""`) {
		t.Errorf("weights of a filter went into a network without: %v", err)
	}
}

// TestResumeOlder: a run begun before its state named what it monitors goes on.
func TestResumeOlder(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	o := testOptions(t, faces, "epochs=2")
	o.StopAfter = 1
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(o.Out, LastFile)
	f, err := checkpoint.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	older := strings.Replace(f.Meta[metaState], `"monitor":"emotion",`, "", 1)
	if older == f.Meta[metaState] {
		t.Fatalf("the state does not name what it monitors: %s", older)
	}
	f.Meta[metaState] = older
	if err := checkpoint.Write(path, f); err != nil {
		t.Fatal(err)
	}
	o.Resume, o.StopAfter = true, 0
	if r, err := Run(context.Background(), o); err != nil || r.Epochs != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// From takes weights only: the paper's fine-tuning starts so.
func TestFrom(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	first := testOptions(t, faces, "epochs=2")
	if _, err := Run(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	second := testOptions(t, faces, "epochs=1", "lr=1e-12", "ema=0")
	second.From = filepath.Join(first.Out, BestFile)
	if _, err := Run(context.Background(), second); err != nil {
		t.Fatal(err)
	}
	a, err := checkpoint.Read(second.From)
	if err != nil {
		t.Fatal(err)
	}
	b, err := checkpoint.Read(filepath.Join(second.Out, LastFile))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range a.Find("dense.weight").Data {
		if d := b.Find("dense.weight").Data[i] - v; d > 1e-6 || d < -1e-6 {
			t.Fatalf("dense.weight[%d] moved by %g at a learning rate of 1e-12", i, d)
		}
	}
}

func TestThreadsDoNotMatter(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 12)
	var want []byte
	for _, n := range []int{1, 2, 3} {
		o := testOptions(t, faces, "epochs=1")
		o.Threads = n
		if _, err := Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		got, _, _ := finalState(t, o.Out)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d threads give other weights than one", n)
		}
	}
}

// TestOwnNetwork: a network of one's own comes from a file, and its checkpoints
// hold it: they go on and answer without the file.
func TestOwnNetwork(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 12)
	path := filepath.Join(t.TempDir(), "own.yaml")
	const text = `body:
  - {op: conv, name: conv, out: 4, kernel: 5, stride: 5, bias: false}
  - {op: bn, name: bn}
  - {op: relu, name: relu}
  - {op: mean, name: mean}
  - {op: dropout, name: drop, rate: 0.2}
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	o := testOptions(t, faces, "arch="+path, "epochs=2", "dropout=0.5")
	o.Net = arch.Net{}
	o.StopAfter = 1
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	o.Resume, o.StopAfter = true, 0
	if res, err := Run(context.Background(), o); err != nil || res.Epochs != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	net, err := Open(filepath.Join(o.Out, BestFile), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if n := net.Arch; n.Name != "own" || len(n.Body) != 5 || n.Body[4].Rate != 0.1 || !n.Body[0].NoBias {
		t.Errorf("%+v", n)
	}
}

// TestLevellingIsTold: a checkpoint says that its faces were levelled as on no
// board.
func TestLevellingIsTold(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	o := testOptions(t, faces, "epochs=1", "levelling=none")
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	f, err := checkpoint.Read(filepath.Join(o.Out, BestFile))
	if err != nil || f.Meta[MetaFaces] != data.Geometry+" levelling none" {
		t.Errorf("%q, %v", f.Meta[MetaFaces], err)
	}
}

// TestFreeze: what is frozen keeps its weights and statistics to the bit, also
// where the run was cut, and the rest learns.
func TestFreeze(t *testing.T) {
	faces := t.TempDir()
	drawFaces(t, faces, 20)
	first := testOptions(t, faces, "epochs=1")
	if _, err := Run(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	o := testOptions(t, faces, "epochs=2", "freeze=pool1", "ema=0")
	o.From, o.StopAfter = filepath.Join(first.Out, BestFile), 1
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	o.Resume, o.StopAfter = true, 0
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	was, err := checkpoint.Read(o.From)
	if err != nil {
		t.Fatal(err)
	}
	is, err := checkpoint.Read(filepath.Join(o.Out, LastFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range was.Tensors {
		same := slices.Equal(p.Data, is.Find(p.Name).Data)
		frozen := strings.HasPrefix(p.Name, "conv1.") || strings.HasPrefix(p.Name, "bn1.")
		taught := !strings.HasPrefix(p.Name, "age.") && !strings.HasPrefix(p.Name, "race.") && !strings.HasPrefix(p.Name, "gender.")
		if frozen && !same || !frozen && taught && same {
			t.Errorf("%s: frozen %v, the same %v", p.Name, frozen, same)
		}
	}
	o = testOptions(t, faces, "freeze=nowhere")
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), `no layer "nowhere"`) {
		t.Errorf("%v", err)
	}
}
