package mjpeg

import "mien/camera"

// colours says how luma is made of a picture's components.
type colours struct {
	weights []int32 // of the components, out of 1<<16; nil: luma is the first component
	key     bool    // the fourth component is black ink, inverted: what light it lets through
	inverse bool    // the first three are ink, not light
}

// The weights of ITU-R BT.601, as JFIF has them.
var rgb = []int32{19595, 38470, 7471}

// wants says whether component i is needed.
func (c *colours) wants(i int) bool {
	return i == 0 || c.key && i == 3 || c.weights != nil && i < 3
}

// colours finds out what the components mean, as libjpeg does: by the Adobe
// segment, else by their names. Pictures of four inks have them inverted, as
// all programs write them.
func (d *Decoder) colours() colours {
	ids := [3]int{d.comps[0].id, d.comps[1].id, d.comps[2].id}
	switch {
	case d.ncomps == 4 && d.adobe == 2:
		return colours{key: true, inverse: true} // YCCK: YCbCr of the inks
	case d.ncomps == 4:
		return colours{key: true, weights: rgb}
	case d.ncomps == 3 && !d.jfif && (d.adobe == 0 || d.adobe < 0 && ids == [3]int{'R', 'G', 'B'}):
		return colours{weights: rgb}
	}
	return colours{}
}

// mix makes luma of the components' planes.
func (d *Decoder) mix(f *camera.Frame) {
	m := &d.model
	for y := range d.height {
		out := f.Pix[y*f.Stride:][:d.width]
		var rows [4][]byte
		for i := range d.comps[:d.ncomps] {
			if c := &d.comps[i]; c.wanted {
				rows[i] = c.plane.Pix[y*c.v/d.vmax*c.plane.Stride:][:c.plane.Rect.Dx()]
			}
		}
		at := func(i, x int) int32 { return int32(rows[i][x*d.comps[i].h/d.hmax]) }
		for x := range out {
			v := at(0, x)
			if m.weights != nil {
				v = (m.weights[0]*v + m.weights[1]*at(1, x) + m.weights[2]*at(2, x) + 1<<15) >> 16
			}
			if m.inverse {
				v = 255 - v
			}
			if m.key {
				v = (v*at(3, x) + 127) / 255
			}
			out[x] = uint8(v)
		}
	}
}
