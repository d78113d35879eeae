package fleet

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"mien/device/fleet"
)

// The last hour is kept in bins, so that its oldest part can go: six full ones and
// the one that is being filled.
const (
	bins      = 7
	binLength = 10 * time.Minute
)

// recent is what a board counted of late. It goes by the lengths of the whiles that
// were counted, and no clock: that of the board may be wrong, and what it counted
// while the hub was away comes in a heap.
type recent []*fleet.Counts

func (r *recent) add(c *fleet.Counts) {
	if n := len(*r); n == 0 || (*r)[n-1].Seconds >= binLength.Seconds() {
		*r = append(*r, &fleet.Counts{Answers: map[string]map[string]int{}, Uncertain: map[string]int{}})
	}
	if len(*r) > bins {
		*r = slices.Delete(*r, 0, 1)
	}
	addTo((*r)[len(*r)-1], c)
}

// sum is all of it; nil when there is nothing.
func (r recent) sum() *fleet.Counts {
	if len(r) == 0 {
		return nil
	}
	out := &fleet.Counts{Answers: map[string]map[string]int{}, Uncertain: map[string]int{}}
	for _, c := range r {
		addTo(out, c)
	}
	return out
}

func addTo(to, c *fleet.Counts) {
	to.Time, to.Seconds = c.Time, to.Seconds+c.Seconds
	to.Readings, to.WithFace, to.Begun, to.Most = to.Readings+c.Readings, to.WithFace+c.WithFace, to.Begun+c.Begun, max(to.Most, c.Most)
	for head, labels := range c.Answers {
		if to.Answers[head] == nil {
			to.Answers[head] = map[string]int{}
		}
		for label, n := range labels {
			to.Answers[head][label] += n
		}
	}
	for head, n := range c.Uncertain {
		to.Uncertain[head] += n
	}
}

// Drift is how far a board's answers of a head are from those of its group: the
// boards with the same tags. The measure is the Jensen-Shannon distance (the root of
// the divergence in bits: 0 for the same shares of labels, 1 for no label in common)
// to the median of the group.
//
// What chance reaches depends on how many faces were counted. For two samples of n
// and m, 8 times the divergence in nats, over 1/n + 1/m, is distributed as chi-square
// with one degree less than there are labels (the second-order term of the divergence
// is Pearson's statistic). A face is one draw, however many frames it was in, and is
// worth half a draw because some stay longer than others: shares weighted by stays
// that are distributed exponentially vary twice as much. Bound is what is reached
// once in a hundred looks at all boards together if none drifts, and never less than
// leastDrift.
type Drift struct {
	Head     string           `json:"head"`
	Distance float64          `json:"distance"`
	Bound    float64          `json:"bound"`
	Faces    int              `json:"faces"` // that the board counted
	Group    int              `json:"group"` // boards that were compared
	Shares   map[string]Share `json:"shares"`
}

// Share is a label's part of the answers.
type Share struct {
	Board float64 `json:"board"`
	Group float64 `json:"group"`
}

// What a comparison needs, and what is said of it.
const (
	fewestFaces  = 30
	fewestBoards = 3 // of two that differ nobody can say which drifts
	leastDrift   = 0.1
	falseAlarms  = 0.01 // of a look at all boards
)

// sample is what one board says of a head.
type sample struct {
	board  *Board
	head   string
	shares map[string]float64
	draws  float64 // that its faces are worth
}

// compare says of each board how far it is from its group.
func compare(all []*Board) {
	groups := map[string][]sample{}
	for _, b := range all {
		if b.Hour == nil || b.Hour.Begun < fewestFaces {
			continue
		}
		tags := strings.Join(slices.Sorted(slices.Values(b.Health.Tags)), " ")
		for head, labels := range b.Hour.Answers {
			if s := sharesOf(labels); s != nil {
				key := tags + "\n" + head
				groups[key] = append(groups[key], sample{b, head, s, float64(b.Hour.Begun) / 2})
			}
		}
	}
	comparisons := 0
	for _, g := range groups {
		if len(g) >= fewestBoards {
			comparisons += len(g)
		}
	}
	for _, g := range groups {
		if len(g) >= fewestBoards {
			compareGroup(g, falseAlarms/float64(comparisons))
		}
	}
	for _, b := range all {
		slices.SortFunc(b.Drift, func(a, b Drift) int {
			return cmp.Or(cmp.Compare(b.Distance/b.Bound, a.Distance/a.Bound), strings.Compare(a.Head, b.Head))
		})
	}
}

func compareGroup(g []sample, chance float64) {
	usual := map[string]float64{}
	inverse := 0.0 // of draws, on average
	for _, s := range g {
		for label := range s.shares {
			usual[label] = 0
		}
		inverse += 1 / s.draws / float64(len(g))
	}
	labels := slices.Sorted(maps.Keys(usual))
	if len(labels) < 2 {
		return
	}
	middle := middleOf(g, labels)
	// A median varies by pi/2 more than a mean.
	inverse *= math.Pi / 2 / float64(len(g))
	reached := distuv.ChiSquared{K: float64(len(labels) - 1)}.Quantile(1 - chance)
	for _, s := range g {
		own := make([]float64, len(labels))
		shares := map[string]Share{}
		for i, label := range labels {
			own[i] = s.shares[label]
			shares[label] = Share{round(own[i]), round(middle[i])}
		}
		s.board.Drift = append(s.board.Drift, Drift{Head: s.head, Distance: round(distance(stat.JensenShannon(own, middle))),
			Bound: round(max(leastDrift, distance(reached/8*(1/s.draws+inverse)))), Faces: s.board.Hour.Begun, Group: len(g), Shares: shares})
	}
}

// middleOf is the usual share of each label in a group: the median, which a few
// boards that drift do not move; the mean where no label is usual.
func middleOf(g []sample, labels []string) []float64 {
	middle, mean := make([]float64, len(labels)), make([]float64, len(labels))
	all, sum := make([]float64, len(g)), 0.0
	for i, label := range labels {
		for k, s := range g {
			all[k] = s.shares[label]
			mean[i] += s.shares[label] / float64(len(g))
		}
		slices.Sort(all)
		middle[i] = (all[(len(all)-1)/2] + all[len(all)/2]) / 2
		sum += middle[i]
	}
	if sum == 0 {
		return mean
	}
	for i := range middle {
		middle[i] /= sum
	}
	return middle
}

// distance is that of a divergence in nats.
func distance(nats float64) float64 { return math.Sqrt(max(nats, 0) / math.Ln2) }

func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// sharesOf are the parts of counts; nil when nothing was counted.
func sharesOf(counts map[string]int) map[string]float64 {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	if sum == 0 {
		return nil
	}
	shares := map[string]float64{}
	for label, n := range counts {
		shares[label] = float64(n) / float64(sum)
	}
	return shares
}

// ratesOf are a board's; nil stands for what it counted nothing of.
func ratesOf(c *fleet.Counts) (r Rates) {
	if c == nil {
		return r
	}
	part := func(n, all int) *float64 {
		if all == 0 {
			return nil
		}
		v := round(float64(n) / float64(all))
		return &v
	}
	without, all := 0, 0
	for _, n := range c.Uncertain {
		without, all = without+n, all+n
	}
	for _, labels := range c.Answers {
		for _, n := range labels {
			all += n
		}
	}
	return Rates{part(c.WithFace, c.Readings), part(without, all)}
}
