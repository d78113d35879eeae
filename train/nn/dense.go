package nn

import "mien/train/nn/internal/kernel"

// dense is a fully connected layer. Forward computes the transpose of the
// output, because the batch is much smaller than the weight.
type dense struct {
	in, out        *tensor
	w, b           *Param
	work           *workers
	xT, yT         []float32 // [in][n], [out][n]
	n              int
	fwd, dwF, dxF  func(worker, i int)
	rows, cols     int // of a task
	inputs, output int
}

func newDense(batch int, in, out *tensor, w, b *Param, work *workers) *dense {
	d := &dense{in: in, out: out, w: w, b: b, work: work, rows: 8, cols: 512,
		inputs: in.size(), output: out.c}
	d.xT, d.yT = make([]float32, batch*d.inputs), make([]float32, batch*d.output)
	d.fwd, d.dwF, d.dxF = d.forwardRows, d.weightRows, d.inputCols
	return d
}

func (d *dense) forward(p *pass) {
	d.n = p.n
	transpose(d.xT, d.in.data[:p.n*d.inputs], d.inputs)
	d.work.run((d.output+d.rows-1)/d.rows, d.fwd)
	transpose(d.out.data[:p.n*d.output], d.yT[:p.n*d.output], p.n)
	if d.b != nil {
		kernel.AddRow(d.out.data[:p.n*d.output], d.b.Value)
	}
}

func (d *dense) forwardRows(_, task int) {
	r := task * d.rows
	m := min(d.rows, d.output-r)
	gemm(false, m, d.n, d.inputs, d.w.Value[r*d.inputs:], d.inputs, d.xT, d.n, d.yT[r*d.n:], d.n, false)
}

func (d *dense) backward(p *pass) {
	d.n = p.n
	d.work.run((d.output+d.rows-1)/d.rows, d.dwF)
	if d.b != nil {
		clear(d.b.Grad)
		kernel.SumRows(d.b.Grad, d.out.grad[:p.n*d.output])
	}
	if d.in.grad != nil {
		d.work.run((d.inputs+d.cols-1)/d.cols, d.dxF)
	}
}

func (d *dense) weightRows(_, task int) {
	r := task * d.rows
	m := min(d.rows, d.output-r)
	gemm(true, m, d.inputs, d.n, d.out.grad[r:], d.output, d.in.data, d.inputs, d.w.Grad[r*d.inputs:], d.inputs, false)
}

func (d *dense) inputCols(_, task int) {
	j := task * d.cols
	n := min(d.cols, d.inputs-j)
	gemm(false, d.n, n, d.output, d.out.grad, d.output, d.w.Value[j:], d.inputs, d.in.grad[j:], d.inputs, false)
}
