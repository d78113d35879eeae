package data

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// testPart is the part of a set that is held out as its test split where the
// set has none.
const testPart = 0.1

// split gives every sample its split; duplicates stay together. A training
// image that is also in a held-out split is in none. A set that brings its own
// validation split keeps to it.
func (s *Set) split(kind Kind, o Options) {
	part := o.Validation
	if part == 0 {
		part = 0.1
	}
	s.findDuplicates()
	held := map[uint64]int{} // the highest rank among a group's published splits
	for i := range s.Samples {
		x := &s.Samples[i]
		held[x.group] = max(held[x.group], rank(x.published))
		if x.published == Val {
			part = 0
		}
	}
	for i := range s.Samples {
		x := &s.Samples[i]
		switch {
		case rank(x.published) == held[x.group] && rank(x.published) > 0:
			x.Split = x.published
		case held[x.group] > 0:
			x.Split = ""
		case !s.Published && kind.HoldOut && unit(mix(x.group^0x7465737473706c69)) < testPart:
			x.Split = Test
		case unit(mix(x.group^mix(o.Seed+1))) < part:
			x.Split = Val
		default:
			x.Split = Train
		}
	}
}

// maxDiff is how far the grey levels of two duplicates' thumbs, less their
// means, differ a cell in the mean. It finds pictures that were compressed
// again or made a little brighter.
const maxDiff = 3

// findDuplicates sets every sample's group. Of two duplicates the sums below
// cannot differ by more than bound, so only neighbours in their order need a
// look.
func (s *Set) findDuplicates() {
	const bound = (maxDiff + 1) * thumbSide * thumbSide // one for rounding
	type projected struct {
		sum sums
		i   int32
	}
	all := make([]projected, len(s.Samples))
	parent := make([]int32, len(s.Samples))
	for i := range s.Samples {
		all[i] = projected{project(s.Samples[i].thumb), int32(i)}
		parent[i] = int32(i)
	}
	slices.SortFunc(all, func(a, b projected) int { return cmp.Or(cmp.Compare(a.sum[0], b.sum[0]), cmp.Compare(a.i, b.i)) })
	for k := range all {
		a := &all[k]
		for m := k + 1; m < len(all) && all[m].sum[0]-a.sum[0] <= bound; m++ {
			b := &all[m]
			if near(&a.sum, &b.sum, bound) && alike(s.Samples[a.i].thumb, s.Samples[b.i].thumb) {
				parent[root(parent, a.i)] = root(parent, b.i)
			}
		}
	}
	s.setGroups(parent)
}

// root finds the representative of i, and shortens the way there.
func root(parent []int32, i int32) int32 {
	for parent[i] != i {
		parent[i] = parent[parent[i]]
		i = parent[i]
	}
	return i
}

func (s *Set) setGroups(parent []int32) {
	least := make(map[int32]uint64, len(parent))
	for i := range s.Samples {
		r := root(parent, int32(i))
		if g, ok := least[r]; !ok || s.Samples[i].ID < g {
			least[r] = s.Samples[i].ID
		}
	}
	for i := range s.Samples {
		s.Samples[i].group = least[root(parent, int32(i))]
	}
}

// sums are those of a thumb's cells with the signs of a few patterns.
type sums [6]int32

// patterns has a bit for each pattern in which a cell counts with minus: top
// against bottom, left against right, both at once, and stripes and a
// chessboard of quarters.
var patterns = func() (bits [thumbSide * thumbSide]uint8) {
	for i := range bits {
		y, x := i/thumbSide, i%thumbSide
		v, h := y*2/thumbSide, x*2/thumbSide
		vq, hq := y*4/thumbSide%2, x*4/thumbSide%2
		bits[i] = uint8(v | h<<1 | (v^h)<<2 | vq<<3 | hq<<4 | (vq^hq)<<5)
	}
	return bits
}()

// project returns a thumb's sums. Every pattern has as much plus as minus, so
// that brightness leaves them alone.
func project(thumb []uint8) (s sums) {
	for i, v := range thumb {
		for k := range s {
			s[k] += int32(v) * (1 - 2*int32(patterns[i]>>k&1))
		}
	}
	return s
}

func near(a, b *sums, bound int32) bool {
	for k := range a {
		if abs(a[k]-b[k]) > bound {
			return false
		}
	}
	return true
}

func abs(v int32) int32 { return max(v, -v) }

func alike(a, b []uint8) bool {
	var sum int
	for i := range a {
		sum += int(a[i]) - int(b[i])
	}
	mean := sum / len(a)
	diff := 0
	for i := range a {
		d := int(a[i]) - int(b[i]) - mean
		if diff += max(d, -d); diff > maxDiff*len(a) {
			return false
		}
	}
	return true
}

func hashBytes(b []byte) uint64 {
	h := sha256.Sum256(b)
	return binary.LittleEndian.Uint64(h[:])
}

func hashString(s string) uint64 { return hashBytes([]byte(s)) }

// mix is the finisher of SplitMix64 (Steele, Lea and Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit maps a hash to [0,1).
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }
