package kernel

// NormPool is a norm with a pool of 2x2 pixels behind it, for one row of the
// output: y is pixels of c = len(scale) channels, x begins with the first of
// the input's two rows, row values apart. A norm keeps the order of values or
// turns it round, so the pool goes first:
//
//	best := largest of the window's four values, smallest if scale[j] < 0
//	y[j] = best*scale[j] + shift[j]
func NormPool(y, x, scale, shift []float32, row int) {
	c := len(scale)
	n := len(y) / c
	_, _ = x[row+2*n*c-1], shift[c-1]
	if c%cpu.lanes == 0 {
		cpu.normPool(n, c/cpu.lanes, 4*row, &x[0], &y[0], &scale[0], &shift[0])
		return
	}
	normPoolGo(y, x, scale, shift, row)
}

func normPoolGo(y, x, scale, shift []float32, row int) {
	c := len(scale)
	for i := range y {
		j := i % c
		y[i] = best(x[i/c*2*c+j:], scale[j], c, row)*scale[j] + shift[j]
	}
}

// best chooses from the window that begins with x.
func best(x []float32, scale float32, c, row int) float32 {
	if scale < 0 {
		return min(min(x[0], x[c]), min(x[row], x[row+c]))
	}
	return max(max(x[0], x[c]), max(x[row], x[row+c]))
}

// NormPoolMoments is GradMoments where dy is the gradient of NormPool's
// output and x its input.
func NormPoolMoments(sum, dot, dy, x, mean, scale []float32, row int) {
	c := len(scale)
	n := len(dy) / c
	_, _, _, _ = x[row+2*n*c-1], sum[c-1], dot[c-1], mean[c-1]
	if c%cpu.lanes == 0 {
		cpu.normPoolMoments(n, c/cpu.lanes, 4*row, &x[0], &dy[0], &scale[0], &sum[0], &dot[0], &mean[0])
		return
	}
	normPoolMomentsGo(sum, dot, dy, x, mean, scale, row)
}

func normPoolMomentsGo(sum, dot, dy, x, mean, scale []float32, row int) {
	c := len(scale)
	for i, g := range dy {
		j := i % c
		sum[j] += g
		dot[j] += g * (best(x[i/c*2*c+j:], scale[j], c, row) - mean[j])
	}
}

// NormPoolGrad is Affine2 where the gradient is that of NormPool's output: of
// each window, the first of the best pixels gets dy, the others 0.
//
//	dx = g*a[j] + x*b[j] + d[j]
func NormPoolGrad(dx, dy, x, a, b, d []float32, row int) {
	c := len(a)
	n := len(dy) / c
	_, _, _, _ = x[row+2*n*c-1], dx[row+2*n*c-1], b[c-1], d[c-1]
	if c%cpu.lanes == 0 {
		cpu.normPoolGrad(n, c/cpu.lanes, 4*row, &x[0], &dx[0], &dy[0], &a[0], &b[0], &d[0])
		return
	}
	normPoolGradGo(dx, dy, x, a, b, d, row)
}

func normPoolGradGo(dx, dy, x, a, b, d []float32, row int) {
	c := len(a)
	for i, g := range dy {
		j := i % c
		p := i/c*2*c + j
		top := best(x[p:], a[j], c, row)
		for _, o := range [4]int{p, p + c, p + row, p + row + c} {
			dx[o] = x[o]*b[j] + d[j]
			if x[o] == top {
				dx[o] += g * a[j]
				g = 0
			}
		}
	}
}
