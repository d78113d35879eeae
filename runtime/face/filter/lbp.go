package filter

// around are the neighbours of a pixel, clockwise from the top left, which is
// the highest bit.
var around = [8][2]int{{-1, -1}, {0, -1}, {1, -1}, {1, 0}, {1, 1}, {0, 1}, {-1, 1}, {-1, 0}}

// codes writes the code of each pixel. Beyond the border it is mirrored.
func codes(dst, src *[pixels]uint8) {
	for y := range side {
		for x := range side {
			var code uint8
			at := src[y*side+x]
			for _, d := range around {
				code <<= 1
				if src[mirrored(y+d[1])*side+mirrored(x+d[0])] >= at {
					code |= 1
				}
			}
			dst[y*side+x] = code
		}
	}
}

// mirrored is the row or column that stands for one beyond the border, as in a
// mirror on the outermost pixel.
func mirrored(i int) int {
	if i < 0 {
		return -i
	}
	return min(i, 2*(side-1)-i)
}
