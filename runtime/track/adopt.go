package track

// Adopt takes over the faces and candidates that old follows, which serves no
// more, as far as there is room: their ids, their places, and what is believed
// of the heads that both have. rows says which head of old each head of t is;
// -1 for none, of which nothing is known yet. It is for the time before t's
// first frame.
func (t *Tracker) Adopt(old *Tracker, rows []int) {
	t.now, t.last = old.now, old.last
	t.order = t.order[:0]
	followed := 0
	for _, from := range old.order {
		if len(t.order) == len(t.slots) || from.confirmed && followed == t.o.MaxFaces {
			continue
		}
		to := &t.slots[len(t.order)]
		heads := to.Heads
		*to = *from
		to.Heads = heads
		for i := range heads {
			p := heads[i].P
			clear(p)
			heads[i] = State{Label: Uncertain, Since: t.now, candidate: Uncertain, pending: t.now}
			if row := rows[i]; row >= 0 {
				heads[i] = from.Heads[row]
				copy(p, from.Heads[row].P)
			}
			heads[i].P = p
		}
		if from.confirmed {
			followed++
		}
		t.order = append(t.order, to)
	}
}

// Wipe forgets every answer, those of faces that have gone included, besides
// all that Reset does.
func (t *Tracker) Wipe() {
	t.Reset()
	t.events = t.events[:0]
	for i := range t.slots {
		heads := t.slots[i].Heads
		for k := range heads {
			p := heads[k].P
			clear(p)
			heads[k] = State{P: p, Label: Uncertain, candidate: Uncertain}
		}
		t.slots[i] = Track{Heads: heads, Problem: Stale}
	}
	clear(t.scratch[:cap(t.scratch)])
}
