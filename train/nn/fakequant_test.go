package nn

import "testing"

// Values become what their int8 means; gradients pass where a value fits.
func TestFakeQuant(t *testing.T) {
	work := newWorkers(1)
	in, out := newTensor(1, 1, 1, 5), newTensor(1, 1, 1, 5)
	copy(in.data, []float32{0.26, -1, 100, -0.24, 63.4})
	copy(out.grad, []float32{1, 2, 3, 4, 5})
	f := newFakeQuant(in, out, 0.5, -128, work)
	p := &pass{n: 1, train: true}
	f.forward(p)
	f.backward(p)
	for i, want := range [][2]float32{{0.5, 1}, {0, 0}, {100, 3}, {0, 4}, {63.5, 5}} {
		if out.data[i] != want[0] || in.grad[i] != want[1] {
			t.Errorf("%v becomes %v with gradient %v, want %v", in.data[i], out.data[i], in.grad[i], want)
		}
	}
	in.data[2] = 200 // above 127.5
	f.forward(p)
	f.backward(p)
	if out.data[2] != 127.5 || in.grad[2] != 0 {
		t.Errorf("200 becomes %v with gradient %v", out.data[2], in.grad[2])
	}
}
