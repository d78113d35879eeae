package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"mien/quant"
)

// goodAgreement is what the answers of an integer model should keep to, and
// goodSNR what its outputs should, where no limit says otherwise.
const (
	goodAgreement = 0.97
	goodSNR       = 40 // dB, a hundredth of the signal
)

// Check is an error when the file costs more than a limit, or when the limit
// cannot be told to be kept. It says whether the interval of a loss includes the
// limit.
func (r *Report) Check() error {
	for _, o := range r.Outputs {
		if s := r.Limits.broken(o); s != "" {
			return errors.New("report: " + s)
		}
	}
	if len(r.Outputs) > 0 {
		return nil
	}
	w, ok := r.Worst()
	switch {
	case !ok:
		return errors.New("report: no face has a label, so no accuracy can be lost or kept")
	case w.All.over(r.MaxDrop):
		return fmt.Errorf("report: %s lost %.2f points, more than the limit of %g (lost %d and won %d of %d faces%s)",
			w.Name, w.All.Drop, r.MaxDrop, w.All.Lost, w.All.Won, w.All.N, w.All.chance(r.MaxDrop))
	case r.undecided() != "":
		return errors.New("report: " + r.undecided())
	}
	return nil
}

// tooWide is how many points wide an interval is that says nothing.
const tooWide = 20

// undecided says why a loss that was not found cannot be told from one that
// would be too much, or is "".
func (r *Report) undecided() string {
	for _, h := range r.Heads {
		if h.All.N == 0 {
			continue
		}
		if h.All.High > r.MaxDrop && h.All.High-h.All.Low > tooWide {
			return fmt.Sprintf("%d labelled faces are too few to tell about %s (95%% interval %.2f to %.2f points, the limit is %g): measure on more",
				h.All.N, h.Name, h.All.Low, h.All.High, r.MaxDrop)
		}
	}
	return ""
}

// doubt says what makes a head's figures say nothing, or is "": a network that
// has learnt nothing has nothing to lose.
func (h Head) doubt() string {
	if h.All.N == 0 {
		return ""
	}
	if h.Unit != "" {
		if h.All.N < 20 || h.All.Float > h.Always {
			return ""
		}
		return fmt.Sprintf("head %s is at chance: off by %.4g %s in float, and always answering the mean would be off by %.4g; it has no accuracy to lose",
			h.Name, (1-h.All.Float)*h.Scale, h.Unit, (1-h.Always)*h.Scale)
	}
	most, answers := Score{}, 0
	for _, c := range h.Classes {
		if c.N > most.N {
			most = c
		}
		if c.Float > 0 {
			answers++
		}
	}
	share := float64(most.N) / float64(h.All.N)
	switch {
	case len(h.Classes) > 1 && answers <= 1:
		return fmt.Sprintf("head %s is right about one label only: it answers the same, nearly, whatever it sees, and has no accuracy to lose", h.Name)
	case len(h.Classes) > 1 && h.All.N >= 20 && h.All.Float <= share:
		return fmt.Sprintf("head %s is at chance: %.1f%% in float, and always answering %s would be right for %.1f%%; it has no accuracy to lose",
			h.Name, 100*h.All.Float, most.Name, 100*share)
	}
	return ""
}

// enough says whether a file needs no advice.
func (r *Report) enough() bool {
	if len(r.Outputs) > 0 {
		limited := r.Limits.MinSNR != nil || r.Limits.MaxError != nil
		return limited && r.Check() == nil || !limited && r.worstOutput().SNR >= goodSNR
	}
	w, ok := r.Worst()
	return r.leastAgreement().Agreement >= goodAgreement && !(ok && w.All.over(r.MaxDrop))
}

func (r *Report) leastAgreement() Head {
	return slices.MinFunc(r.Heads, func(a, b Head) int { return cmp.Compare(a.Agreement, b.Agreement) })
}

// judge sets the verdict: one sentence, with the next thing to try. It says Pass
// where Check is nil and a limit was in force, and Fail where one was broken.
func (r *Report) judge() {
	r.Passed = nil
	if len(r.Outputs) > 0 {
		r.Verdict = r.outputVerdict()
	} else {
		r.Verdict = r.headVerdict()
	}
}

// Failed says whether a limit was broken, be it the one that is in force where
// none was given.
func (r *Report) Failed() bool { return r.Passed != nil && !*r.Passed }

func (r *Report) pass(passed bool) string {
	r.Passed = &passed
	if passed {
		return "Pass"
	}
	return "Fail"
}

func (r *Report) smaller() string {
	return fmt.Sprintf("%.1f times smaller", float64(r.FloatBytes)/float64(max(r.Bytes, 1)))
}

func (r *Report) outputVerdict() string {
	w := r.worstOutput()
	state := fmt.Sprintf("output %s is farthest from float: SNR %.1f dB, cosine %.5f, off by at most %.4g of %.4g", w.Name, w.SNR, w.Cosine, w.MaxError, w.Largest)
	if w.SNR >= maxSNR {
		state = "every output is float's own, bit for bit"
	}
	if r.Limits.MinSNR == nil && r.Limits.MaxError == nil {
		return fmt.Sprintf("No limit was given (--min-snr, --max-error): %s, %s. %s", r.smaller(), state, r.next())
	}
	for _, o := range r.Outputs {
		if s := r.Limits.broken(o); s != "" {
			return fmt.Sprintf("%s: %s. %s", r.pass(false), s, r.next())
		}
	}
	return fmt.Sprintf("%s: %s, %s.", r.pass(true), r.smaller(), state)
}

func (r *Report) headVerdict() string {
	if r.Recipe.Mode == quant.Float32 {
		return "This is the float model as trained; quantise it with --mode int8 to make it four times smaller and faster."
	}
	agree := r.leastAgreement()
	agrees := fmt.Sprintf("answers agree with float on at least %.1f%% of the faces (%s)", 100*agree.Agreement, agree.Name)
	worst, ok := r.Worst()
	if !ok {
		return fmt.Sprintf("No accuracy was measured, as no face has a label: %s, %s.", r.smaller(), agrees)
	}
	lost := fmt.Sprintf("%s lost %.2f points, the limit is %g", worst.Name, worst.All.Drop, r.MaxDrop)
	if worst.All.Drop <= 0 {
		lost = fmt.Sprintf("no head lost accuracy, the limit is %g points", r.MaxDrop)
	}
	lost += worst.All.chance(r.MaxDrop)
	switch {
	case worst.All.over(r.MaxDrop):
		return fmt.Sprintf("%s: %s. %s", r.pass(false), lost, r.next())
	case r.undecided() != "":
		return fmt.Sprintf("Undecided: %s; %s.", r.undecided(), agrees)
	case r.doubted() != "":
		return fmt.Sprintf("Undecided: %s; %s.", r.doubted(), agrees)
	case agree.Agreement < goodAgreement:
		return fmt.Sprintf("%s: %s, %s. But %s. %s", r.pass(true), r.smaller(), lost, agrees, r.next())
	}
	return fmt.Sprintf("%s: %s, %s; %s.", r.pass(true), r.smaller(), lost, agrees)
}

// doubted is the doubt about the first head that has one.
func (r *Report) doubted() string {
	for _, h := range r.Heads {
		if d := h.doubt(); d != "" {
			return d
		}
	}
	return ""
}

// next is what to try next and what it gained, or which layer hurts most.
func (r *Report) next() string {
	worst := ""
	if len(r.Layers) > 0 && r.Layers[0].Gain > 0.1 {
		worst = fmt.Sprintf(" Layer %s (%s) hurts most: in float it alone gains %.1f dB.", r.Layers[0].Name, r.Layers[0].Operator, r.Layers[0].Gain)
	}
	if len(r.Advice) > 0 {
		a := r.Advice[0]
		return fmt.Sprintf("Next: %s, which brought the outputs from %.1f to %.1f dB on %d samples.%s", a.Change, r.OutputSNR, a.SNR, min(adviceSamples, r.Faces), worst)
	}
	if len(r.Layers) > 0 {
		return "Nothing else that was tried comes nearer by half a decibel; --mode float16 is nearest to float, at half the size." + worst
	}
	return "Nothing else was tried."
}
