package train

import (
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/model"
	"mien/train/data"
	"mien/train/nn"
)

// The three recipes are exactly the paper's (section 4 of arXiv 2110.15028).
func TestPaperRecipes(t *testing.T) {
	want := Recipe{
		Arch: "paper", Heads: model.Heads(), Losses: Losses{"emotion": 2, "gender": 0.1, "race": 1.5, "age": 4}, Monitor: "emotion",
		Precision: nn.Float32, Weighing: Fixed, Seed: 1, Validation: 0.1, Batch: 32, Epochs: 100, LR: 3e-4, Dropout: 1,
		Schedule: Schedule{Kind: "plateau", Factor: 0.2, Patience: 5, MinLR: 1e-6},
	}
	for _, name := range []string{"paper", "paper-single", "paper-finetune"} {
		got, err := LoadRecipe(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := want
		w.Name, w.About = name, got.About
		if name != "paper" {
			w.Losses = Losses{"emotion": 2, "gender": 0, "race": 0, "age": 0}
		}
		if d := cmp.Diff(w, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestEveryRecipeLoadsAndRoundTrips(t *testing.T) {
	for _, name := range RecipeNames() {
		r, err := LoadRecipe(name, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		if r.Name != name || r.About == "" {
			t.Errorf("recipe %s calls itself %q, about %q", name, r.Name, r.About)
		}
		b, err := r.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseRecipe(name, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, again); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if _, err := r.Net(); err != nil {
			t.Error(err)
		}
	}
}

// A recipe asks what its user wants to know.
func TestHeadsOfOnesOwn(t *testing.T) {
	r, err := ParseRecipe("own", []byte("heads: {smile: [yes, no], age: [0-17, 18+]}\nspread: {age: 2}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Heads{{Name: "smile", Labels: []string{"yes", "no"}}, {Name: "age", Labels: []string{"0-17", "18+"}}}
	if d := cmp.Diff(want, r.Heads); d != "" || r.Monitor != MonitorAll || !maps.Equal(r.Losses, Losses{"smile": 1, "age": 1}) || r.Batch != 32 {
		t.Errorf("%+v %s", r, d)
	}
	net, err := r.Net()
	if err != nil || !slices.EqualFunc(net.Heads, want, func(a, b model.Head) bool { return cmp.Equal(a, b) }) {
		t.Errorf("the network has %v, %v", net.Heads, err)
	}
	p := basis(t)
	if err := p.Ask(want[:1]); err != nil || p.Monitor != MonitorAll || !maps.Equal(p.Losses, Losses{"smile": 1}) {
		t.Errorf("%+v, %v", p, err)
	}
	if err := p.Set([]string{"losses.smile=2"}); err != nil || p.Losses["smile"] != 2 {
		t.Errorf("%v, %v", p.Losses, err)
	}
	for doc, word := range map[string]string{
		"heads: {smile: yes}":                             "list of labels",
		"heads: {smile: [yes]}":                           "1 labels",
		"heads: {smile: [yes, YES]}":                      "twice",
		"heads: {Smile: [yes, no]}":                       "lower-case",
		"heads: {smile: [yes, no]}\nlosses: {emotion: 1}": "no head \"emotion\" (there are smile)",
		"heads: {smile: [yes, no]}\nmonitor: emotion":     "no head \"emotion\"",
		"heads: {smile: [yes, no]}\nspread: {smile: 1}":   "no numbers",
		"losses: {emotion: 0}":                            "monitor is emotion, whose loss is 0",
		"losses: {emotion: -1}":                           "losses.emotion is -1",
		"heads: {}":                                       "no heads",
	} {
		if _, err := ParseRecipe("bad", []byte(doc), nil); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, want %q", doc, err, word)
		}
	}
}

// A number has the type of its key, and a key has a value.
func TestNumbersAreTyped(t *testing.T) {
	for set, words := range map[string]string{
		"batch=3.5":             "batch is 3.5, want a whole number",
		"epochs=1.9":            "epochs is 1.9",
		"seed=0.5":              "seed is 0.5",
		"schedule.patience=2.5": "schedule.patience is 2.5",
		"batch=null":            "batch has no value",
		"lr=":                   "lr has no value",
		"losses.emotion=~":      "losses.emotion has no value",
		"epoch_images=-1":       "epoch_images is -1",
		"schedule.warmup=-1":    "schedule.warmup is -1",
		"batch=many":            "batch",
		"batches=3":             "batches",
	} {
		if _, err := LoadRecipe("paper", []string{set}); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", set, err, words)
		}
	}
	if r, err := LoadRecipe("paper", []string{"batch=64.0", "epochs=1e2"}); err != nil || r.Batch != 64 || r.Epochs != 100 {
		t.Errorf("%d, %d, %v", r.Batch, r.Epochs, err)
	}
	if _, err := ParseRecipe("f", []byte("lr: 1\nbatch:\n"), nil); err == nil || !strings.Contains(err.Error(), "[2:") {
		t.Errorf("no line: %v", err)
	}
}

func TestSet(t *testing.T) {
	r, err := LoadRecipe("paper", []string{"schedule.factor=0.5", "losses.age=0", "batch=16", "schedule.kind=cosine", "augment.flip=0.5"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Schedule.Factor != 0.5 || r.Losses["age"] != 0 || r.Batch != 16 || r.Schedule.Kind != "cosine" || r.Augment.Flip != 0.5 {
		t.Errorf("%+v", r)
	}
	if r.Schedule.Patience != 5 || r.Losses["emotion"] != 2 {
		t.Errorf("an override changed its neighbours: %+v", r)
	}
}

// TestAccuracy: all is the mean of the heads with a loss and a labelled image.
func TestAccuracy(t *testing.T) {
	e := Epoch{Val: map[string]HeadSummary{"emotion": {N: 9, Accuracy: 0.5}, "gender": {N: 9, Accuracy: 0.75}, "race": {N: 9, Accuracy: 1}}}
	r := Recipe{Heads: model.Heads(), Monitor: "emotion", Losses: Losses{"emotion": 1, "gender": 0.1, "age": 2}}
	if got := r.Accuracy(&e); got != 0.5 {
		t.Errorf("of emotion %g, want 0.5", got)
	}
	r.Monitor = MonitorAll
	if got := r.Accuracy(&e); got != 0.625 {
		t.Errorf("of all %g, want 0.625: race has no loss, age no image", got)
	}
}

func TestRecipeErrors(t *testing.T) {
	for text, words := range map[string][]string{
		"lr: 1e-3\nlearning_rate: 1\n": {"[2:1]", "learning_rate"},
		"schedule:\n  step: 3\n":       {"[2:3]", "step"},
		"batch: many\n":                {"[1:8]"},
		"batch: [1\n":                  {"["},
		"lr: -1\n":                     {"lr is -1"},
		"lr: .nan\n":                   {"lr is NaN"},
		"schedule: {kind: steps}\n":    {`"steps"`, "cosine"},
		"monitor: mood\n":              {`"mood"`, "all"},
		"precision: half\n":            {`"half"`, "bfloat16"},
		"levelling: roll\n":            {`"roll"`, "opencv"},
		"filter: sobel\n":              {`"sobel"`, "gabor"},
		"validation: 1\n":              {"validation is 1"},
		"losses: {emotion: 0, age: 0, race: 0, gender: 0}\n": {"losses"},
	} {
		_, err := ParseRecipe("x", []byte(text), nil)
		if err == nil {
			t.Errorf("%q was accepted", text)
			continue
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: error %q does not say %q", text, err, w)
			}
		}
	}
	for _, set := range []string{"lr", "=3", "none=1", "losses.mood=1", "batch=0", "batch="} {
		if r, err := LoadRecipe("paper", []string{set}); err == nil && set != "batch=" {
			t.Errorf("--set %s was accepted: %+v", set, r)
		}
	}
	if _, err := LoadRecipe("cake", nil); err == nil || !strings.Contains(err.Error(), "paper-single") {
		t.Errorf("got %v", err)
	}
	if _, err := LoadRecipe("none.yaml", nil); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseRecipe(f *testing.F) {
	f.Add([]byte("lr: 1e-3\nschedule: {kind: cosine}\n"), "batch=3")
	f.Add([]byte("losses: {emotion: 1}"), "schedule.factor=.5")
	f.Fuzz(func(t *testing.T, b []byte, set string) {
		r, err := ParseRecipe("x", b, []string{set})
		if err == nil && r.check() != nil {
			t.Errorf("accepted %+v", r)
		}
	})
}

// samplesOf returns n samples with emotion i%7 and, every second one, an age.
func samplesOf(n int) []data.Sample {
	out := make([]data.Sample, n)
	for i := range out {
		face := make([]uint8, data.Pixels)
		for k := range face {
			face[k] = uint8(i)
		}
		l := data.Unlabelled(model.Heads())
		l[0] = int8(i % 7)
		if i%2 == 0 {
			l[3] = int8(i % 5)
		}
		out[i] = data.Sample{Face: face, Labels: l}
	}
	return out
}

func allHeads() []head {
	var out []head
	for i, h := range model.Heads() {
		out = append(out, head{h, i})
	}
	return out
}

func TestBatchIsMasked(t *testing.T) {
	r := basis(t)
	b := newBatcher(&r, allHeads(), samplesOf(40)).at(0, 32)
	if b.N != 32 {
		t.Fatalf("N %d", b.N)
	}
	for i := range b.N {
		s := int(b.X[i*data.Pixels]*255 + 0.5)
		for k, h := range model.Heads() {
			row := b.Target[k][i*len(h.Labels):][:len(h.Labels)]
			known := k == 0 || k == 3 && s%2 == 0
			if (b.Weight[k][i] == 1) != known {
				t.Errorf("sample %d, %s: weight %v", s, h.Name, b.Weight[k][i])
			}
			want := -1
			if known {
				want = s % len(h.Labels)
			}
			if slices.Index(row, 1) != want {
				t.Errorf("sample %d, %s: target %v", s, h.Name, row)
			}
		}
	}
}

// Every pass over the stream shows every sample once, in another order.
func TestStreamCoversEverySampleOncePerPass(t *testing.T) {
	r := basis(t)
	b := newBatcher(&r, allHeads(), samplesOf(50))
	var passes [3][]int32
	for pos := range uint64(150) {
		pass, s := b.sample(pos)
		passes[pass] = append(passes[pass], s)
	}
	if slices.Equal(passes[0], passes[1]) {
		t.Error("two passes in the same order")
	}
	for i, p := range passes {
		slices.Sort(p)
		for k, s := range p {
			if int(s) != k {
				t.Fatalf("pass %d shows %v", i, p)
			}
		}
	}
}

// With every option on, targets stay distributions and the picture in [0,1],
// and the same place gives the same batch whatever came before.
func TestBatchDependsOnItsPlaceAlone(t *testing.T) {
	r := basis(t)
	r.Augment = Augment{Flip: 0.5, Shift: 4, Rotate: 20, Zoom: 0.2, Brightness: 0.3, Contrast: 0.3, Erase: 0.7}
	r.Mixup, r.Smoothing, r.Balance = 0.4, 0.1, 0.7
	a, b := newBatcher(&r, allHeads(), samplesOf(90)), newBatcher(&r, allHeads(), samplesOf(90))
	b.at(0, 32)
	b.at(170, 32)
	x, y := a.at(64, 32), b.at(64, 32)
	if d := cmp.Diff(x, y, cmp.AllowUnexported(batch{})); d != "" {
		t.Error(d)
	}
	for _, v := range x.X {
		if !(v >= 0 && v <= 1) {
			t.Fatalf("pixel %v", v)
		}
	}
	for k, h := range model.Heads() {
		for i := range x.N {
			var sum float64
			for _, v := range x.Target[k][i*len(h.Labels):][:len(h.Labels)] {
				sum += float64(v)
			}
			if x.Weight[k][i] > 0 && math.Abs(sum-1) > 1e-5 {
				t.Errorf("%s of picture %d: target sums to %v", h.Name, i, sum)
			}
		}
	}
}

// What a set says of several labels is the target, with the label's class
// weight where it has one.
func TestSoftTargets(t *testing.T) {
	r := basis(t)
	s := samplesOf(2)
	s[0].Labels = data.Labels{data.NoLabel, data.NoLabel, data.NoLabel, 2}
	s[0].Soft = [][]float32{{0, 0, 0, 0.75, 0, 0, 0.25}, nil, nil, {0, 0.5, 0.5, 0, 0}}
	b := newBatcher(&r, allHeads(), s[:1]).at(0, 1)
	for k, want := range map[int][]float32{0: s[0].Soft[0], 3: s[0].Soft[3]} {
		if got := b.Target[k][:len(want)]; !slices.Equal(got, want) || b.Weight[k][0] != 1 {
			t.Errorf("head %d: %v at weight %v", k, got, b.Weight[k][0])
		}
	}
	if b.Weight[1][0] != 0 {
		t.Error("a head without an answer has a weight")
	}
}

func TestPaperBatchIsThePictureItself(t *testing.T) {
	r := basis(t)
	s := samplesOf(2)
	for i := range s[0].Face {
		s[0].Face[i] = uint8(i)
	}
	b := newBatcher(&r, allHeads(), s[:1]).at(0, 1)
	for i, v := range b.X[:data.Pixels] {
		if v != float32(uint8(i))/255 {
			t.Fatalf("pixel %d is %v", i, v)
		}
	}
}

func TestClassWeights(t *testing.T) {
	s := samplesOf(0)
	for range 6 {
		s = append(s, data.Sample{Labels: data.Labels{0, -1, -1, -1}})
	}
	for range 2 {
		s = append(s, data.Sample{Labels: data.Labels{1, -1, -1, -1}})
	}
	h := allHeads()[0]
	if w := classWeights(h, s, 0); w[0] != 1 || w[1] != 1 || w[2] != 1 {
		t.Errorf("balance 0: %v", w)
	}
	// Two labels of mean count 4: 4/6 and 4/2.
	w := classWeights(h, s, 1)
	if math.Abs(float64(w[0])-4.0/6) > 1e-6 || w[1] != 2 || w[2] != 1 {
		t.Errorf("balance 1: %v", w)
	}
}

// A mirror image and a shift without anything else, by hand.
func TestMove(t *testing.T) {
	face := make([]uint8, data.Pixels)
	face[10*model.Side+7] = 255
	dst := make([]float32, data.Pixels)
	(&warp{}).move(dst, face, &Augment{Flip: 1}, rand.New(rand.NewPCG(1, 1)))
	if got := dst[10*model.Side+model.Side-1-7]; math.Abs(float64(got)-1) > 1e-4 {
		t.Errorf("mirrored pixel is %v", got)
	}
	(&warp{}).move(dst, face, &Augment{}, rand.New(rand.NewPCG(1, 1)))
	if got := dst[10*model.Side+7]; math.Abs(float64(got)-1) > 1e-4 {
		t.Errorf("unmoved pixel is %v", got)
	}
}

func TestBetaHasItsMoments(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, a := range []float64{0.2, 1, 3} {
		const n = 40000
		var sum, square float64
		for range n {
			x := beta(a, rng)
			sum, square = sum+x, square+x*x
		}
		mean := sum / n
		variance := square/n - mean*mean
		if want := 1 / (4 * (2*a + 1)); math.Abs(mean-0.5) > 0.01 || math.Abs(variance-want) > 0.05*want {
			t.Errorf("Beta(%g): mean %.4f, variance %.5f, want 0.5 and %.5f", a, mean, variance, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := NewMetrics([]model.Head{model.Gender})
	h := m.Heads["gender"]
	h.Add([]float32{0.5, 0.25, 0.25}, 0)
	h.Add([]float32{0.5, 0.25, 0.25}, 1)
	h.Add([]float32{0, 1, 0}, 1)
	h.Add([]float32{0, 1, 0}, -1)
	m.Finish()
	if h.N != 3 || math.Abs(h.Accuracy-2.0/3) > 1e-9 || math.Abs(h.Loss-(math.Ln2+2*math.Ln2)/3) > 1e-6 {
		t.Errorf("%+v", h)
	}
	if d := cmp.Diff([][]int{{1, 0, 0}, {1, 1, 0}, {0, 0, 0}}, h.Confusion); d != "" {
		t.Error(d)
	}
	c := h.Classes(model.Gender.Labels)
	want := []ClassScore{{"male", 1, 0.5, 1, 2.0 / 3}, {"female", 2, 1, 0.5, 2.0 / 3}, {"unsure", 0, 0, 0, 0}}
	for i := range c {
		if c[i].Label != want[i].Label || c[i].N != want[i].N || math.Abs(c[i].F1-want[i].F1) > 1e-9 || c[i].Precision != want[i].Precision {
			t.Errorf("%+v, want %+v", c[i], want[i])
		}
	}
}

func TestSoftmax(t *testing.T) {
	x := []float32{1000, 1000 - float32(math.Ln2), -1000}
	Softmax(x)
	if math.Abs(float64(x[0])-2.0/3) > 1e-4 || math.Abs(float64(x[1])-1.0/3) > 1e-4 || x[2] != 0 {
		t.Errorf("%v", x)
	}
}

// Groups sort by the true label where there is one, and by what a model says
// where there is none; an image without the head's own label counts nowhere.
func TestGroups(t *testing.T) {
	samples := []data.Sample{
		{Labels: data.Labels{3, 0, -1, -1}}, {Labels: data.Labels{3, 1, -1, -1}}, {Labels: data.Labels{4, -1, -1, -1}}, {Labels: data.Labels{-1, 0, -1, -1}},
	}
	said := []data.Labels{{3, 1, 0, -1}, {4, 1, 0, -1}, {4, 1, 2, -1}, {3, 0, 0, -1}}
	want := []Group{
		{"gender", "male", false, 1, 1}, {"gender", "female", false, 1, 0}, {"gender", "female", true, 1, 1},
		{"race", "Caucasian", true, 2, 1}, {"race", "Asian", true, 1, 1},
	}
	if d := cmp.Diff(want, Groups(model.Heads(), samples, said, said, 0)); d != "" {
		t.Error(d)
	}
}

// Forty answers at 0.8 of which 24 are right are off by 0.2; the temperature
// that makes them 0.6 takes the error away.
func TestCalibrationError(t *testing.T) {
	m := NewMetrics([]model.Head{{Name: "gender", Labels: []string{"a", "b"}}})
	h := m.Heads["gender"]
	for i := range 40 {
		label := int8(0)
		if i >= 24 {
			label = 1
		}
		h.Add([]float32{0.8, 0.2}, label)
	}
	h.Add([]float32{1, 0}, -1)
	m.Finish()
	if math.Abs(h.ECE-0.2) > 1e-6 {
		t.Errorf("calibration error %v", h.ECE)
	}
	spec := &model.Spec{Heads: []model.Head{h.head}}
	found, err := m.Temperatures(spec)
	if err != nil {
		t.Fatal(err)
	}
	warm := found[0]
	// The logits' difference is log 4; it has to be log 1.5.
	if want := math.Log(4) / math.Log(1.5); math.Abs(float64(warm)-want) > 1e-3 {
		t.Errorf("temperature %v, want %v", warm, want)
	}
	if e := h.ScaledECE(warm); e > 1e-3 {
		t.Errorf("calibration error %v after scaling", e)
	}
	// Without a label a head keeps what the card says.
	spec.Card.Temperature = []float32{1.7}
	if kept, err := NewMetrics(spec.Heads).Temperatures(spec); err != nil || kept[0] != 1.7 {
		t.Errorf("%v, %v", kept, err)
	}
}

// TestAhead: what is made ahead is what would be made in time, also after a
// jump to another place.
func TestAhead(t *testing.T) {
	r := testRecipe(t, "batch=8")
	a, b := newAhead(&r, allHeads(), samplesOf(50)), newBatcher(&r, allHeads(), samplesOf(50))
	defer a.stop()
	for _, s := range []struct {
		pos     uint64
		n, next int
	}{{0, 8, 8}, {8, 8, 3}, {16, 3, 8}, {19, 8, 8}, {200, 8, 8}, {208, 5, 8}, {213, 8, 8}} {
		got, want := a.at(s.pos, s.n, s.next), b.at(s.pos, s.n)
		if got.N != want.N {
			t.Fatalf("%d images at %d, want %d", got.N, s.pos, want.N)
		}
		if !slices.Equal(got.X[:s.n*data.Pixels], want.X[:s.n*data.Pixels]) {
			t.Errorf("other pictures at %d", s.pos)
		}
		for k, h := range allHeads() {
			if c := s.n * len(h.Labels); !slices.Equal(got.Target[k][:c], want.Target[k][:c]) || !slices.Equal(got.Weight[k][:s.n], want.Weight[k][:s.n]) {
				t.Errorf("other labels of %s at %d", h.Name, s.pos)
			}
		}
	}
}

// The paper's recipe has every key, and says of each what it means.
func TestEveryKeyIsExplained(t *testing.T) {
	text, err := RecipeText("paper")
	if err != nil {
		t.Fatal(err)
	}
	keys := func(of any) (names []string) {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(of)) {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			names = append(names, name)
		}
		return names
	}
	for _, k := range keys(Recipe{}) {
		if !regexp.MustCompile(`(?m)^# .+\n` + k + `:`).Match(text) {
			t.Errorf("paper.yaml does not say what %s is", k)
		}
	}
	for _, k := range keys(Augment{}) {
		if !regexp.MustCompile(`(?m)^  ` + k + `: +0 +# `).Match(text) {
			t.Errorf("paper.yaml does not say what augment.%s is", k)
		}
	}
	for _, k := range keys(Schedule{}) {
		if !regexp.MustCompile(`schedule: \{.*\b` + k + `:`).Match(text) {
			t.Errorf("paper.yaml has no schedule.%s", k)
		}
	}
}

// basis is what recipes are written as a difference from.
func basis(t *testing.T) Recipe {
	t.Helper()
	r, err := paperRecipe()
	if err != nil {
		t.Fatal(err)
	}
	return r
}
