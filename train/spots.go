package train

import (
	"slices"
	"strings"

	"mien/runtime/model"
	"mien/train/data"
)

// spot is a place of the picture: two heads that measure its pixels, NAME_x and
// NAME_y. When a picture is turned, scaled, shifted or mirrored its places move
// along, and what was left is right after mirroring.
type spot struct {
	head   [2]int // NAME_x and NAME_y among the heads
	scale  [2][]float64
	mirror *spot // what it is called in a mirror; itself where the name says no side
}

// spotsOf returns the places that heads tell.
func spotsOf(heads []head) []*spot {
	var spots []*spot
	at := func(name string) int {
		return slices.IndexFunc(heads, func(h head) bool { return h.Name == name && h.Unit == model.Pixels })
	}
	named := map[string]*spot{}
	for i, h := range heads {
		name, ok := strings.CutSuffix(h.Name, "_x")
		y := at(name + "_y")
		if !ok || at(h.Name) < 0 || y < 0 {
			continue
		}
		s := &spot{head: [2]int{i, y}, scale: [2][]float64{h.Values(), heads[y].Values()}}
		named[name], spots = s, append(spots, s)
	}
	for name, s := range named {
		if s.mirror = named[mirrored(name)]; s.mirror == nil {
			s.mirror = s
		}
	}
	return spots
}

// mirrored exchanges left and right in a name.
func mirrored(name string) string {
	if rest, ok := strings.CutPrefix(name, "left"); ok {
		return "right" + rest
	}
	if rest, ok := strings.CutPrefix(name, "right"); ok {
		return "left" + rest
	}
	return name
}

// of tells whether a head, by its place, is one of the two.
func (s *spot) of(head int) bool { return s.head[0] == head || s.head[1] == head }

// label adds w to the targets of picture i: where the place of sample x went. A
// place that left its scales teaches nothing.
func (s *spot) label(b *batcher, i int, x *data.Sample, w float32) {
	var from [2]float64
	for k, h := range s.head {
		at := b.heads[h].at
		if x.Soft == nil || x.Soft[at] == nil {
			return
		}
		from[k] = x.Number(at, s.scale[k])
	}
	to := [2]float64{}
	to[0], to[1] = b.warp.moved.of(from[0], from[1])
	if b.warp.moved.mirror < 0 {
		s = s.mirror
	}
	for k, h := range s.head {
		v := s.scale[k]
		if !(to[k] >= v[0] && to[k] <= v[len(v)-1]) {
			continue
		}
		for j, p := range model.Target(v, to[k]) {
			b.batch.Target[h][i*len(v)+j] += w * p
		}
		b.batch.Weight[h][i] += w
	}
}
