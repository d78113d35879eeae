package data

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// testPart is the part of a set published without a split that is held out
// as its test split. Which images these are depends on nothing but the images
// themselves, so that no choice of seed or name moves one across.
const testPart = 0.1

// unsplitTest names the kinds that get such a test split.
var unsplitTest = map[string]bool{"utkface": true}

// split gives every sample its split; duplicates stay together. A training
// image that is also in a held-out split is in none.
func (s *Set) split(o Options) {
	part := o.Validation
	if part == 0 {
		part = 0.1
	}
	s.findDuplicates()
	held := map[uint64]bool{}
	for i := range s.Samples {
		if p := s.Samples[i].published; p == Test || p == Private {
			held[s.Samples[i].group] = true
		}
	}
	for i := range s.Samples {
		x := &s.Samples[i]
		switch {
		case x.published == Test || x.published == Private:
			x.Split = x.published
		case held[x.group]:
			x.Split = ""
		case !s.Published && unsplitTest[s.Kind] && unit(mix(x.group^0x7465737473706c69)) < testPart:
			x.Split = Test
		case unit(mix(x.group^mix(o.Seed+1))) < part:
			x.Split = Val
		default:
			x.Split = Train
		}
	}
}

// Two images are duplicates when the differences between neighbouring cells
// of their thumbs have the same sign in all but maxBits of 64 places and
// their grey levels, less their means, differ by no more than maxDiff a cell.
// The first bound is only there for speed.
const (
	maxBits = 6
	maxDiff = 3
)

// findDuplicates sets every sample's group.
func (s *Set) findDuplicates() {
	n := len(s.Samples)
	parent := make([]int32, n)
	sign := make([]uint64, n)
	for i := range s.Samples {
		parent[i] = int32(i)
		sign[i] = signs(s.Samples[i].thumb)
	}
	root := func(i int32) int32 {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for i, a := range sign {
		for k, b := range sign[:i] {
			if bits.OnesCount64(a^b) <= maxBits && alike(s.Samples[i].thumb, s.Samples[k].thumb) {
				parent[root(int32(i))] = root(int32(k))
			}
		}
	}
	least := make([]uint64, n)
	for i := range s.Samples {
		r := root(int32(i))
		if id := s.Samples[i].ID; least[r] == 0 || id < least[r] {
			least[r] = id
		}
	}
	for i := range s.Samples {
		s.Samples[i].group = least[root(int32(i))]
	}
}

// signs compares cells two columns apart on every second row.
func signs(thumb []uint8) uint64 {
	var h uint64
	for y := 0; y < thumbSide; y += 2 {
		for x := 0; x < thumbSide; x += 2 {
			a := thumb[y*thumbSide+x]
			b := thumb[y*thumbSide+(x+2)%thumbSide]
			h <<= 1
			if a < b {
				h |= 1
			}
		}
	}
	return h
}

func alike(a, b []uint8) bool {
	var sum int
	for i := range a {
		sum += int(a[i]) - int(b[i])
	}
	mean := sum / len(a)
	diff := 0
	for i := range a {
		d := int(a[i]) - int(b[i]) - mean
		diff += max(d, -d)
	}
	return diff <= maxDiff*len(a)
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
