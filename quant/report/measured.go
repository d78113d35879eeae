package report

import (
	"math"

	"mien/runtime/model"
)

// measuredHead adds up a head that measures: at is its place among the samples'
// labels, h that among the answers.
func measuredHead(head model.Head, at, h int, samples []Sample, before, after [][]answer) Head {
	scale := head.Values()
	from, to := head.Range()
	out := Head{Name: head.Name, Unit: head.Unit, Scale: to - from}
	var pairs offs
	var truths []float64
	for i, s := range samples {
		f, q := before[i][h], after[i][h]
		if f.label == q.label {
			out.Agreement++
		}
		out.MeanShift += math.Abs(f.value-q.value) / out.Scale * 100
		if at < 0 || at >= len(s.Soft) || s.Soft[at] == nil || s.Labels[at] < 0 {
			continue
		}
		truth, _ := model.Mean(scale, s.Soft[at])
		truths = append(truths, truth)
		pairs.add(math.Abs(f.value-truth)/out.Scale, math.Abs(q.value-truth)/out.Scale)
	}
	out.Agreement /= float64(len(samples))
	out.MeanShift /= float64(len(samples))
	out.All = pairs.score(head.Name)
	out.Always = 1 - spreadOf(truths)/out.Scale
	return out
}

// spreadOf is how far numbers are from their mean, in the mean.
func spreadOf(v []float64) float64 {
	var sum, off float64
	for _, x := range v {
		sum += x
	}
	for _, x := range v {
		off += math.Abs(x - sum/float64(len(v)))
	}
	return off / float64(max(len(v), 1))
}

// offs adds up errors on the same faces, as parts of the scale.
type offs struct {
	n, lost, won              int
	float, quant, drop, drop2 float64
}

func (o *offs) add(float, quant float64) {
	o.n++
	o.float += float
	o.quant += quant
	o.drop += quant - float
	o.drop2 += (quant - float) * (quant - float)
	switch {
	case quant > float:
		o.lost++
	case quant < float:
		o.won++
	}
}

// score gives how near both come, and the interval of the mean difference, which
// is normal in the limit.
func (o *offs) score(name string) Score {
	s := Score{Name: name, N: o.n, Lost: o.lost, Won: o.won}
	if o.n == 0 {
		return s
	}
	n := float64(o.n)
	s.Float, s.Quant = 1-o.float/n, 1-o.quant/n
	mean := o.drop / n
	w := 1.96 * math.Sqrt(max(o.drop2/n-mean*mean, 0)/n)
	s.Drop, s.Low, s.High = 100*mean, 100*(mean-w), 100*(mean+w)
	return s
}
