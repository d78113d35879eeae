//go:build linux && (amd64 || arm64) && cgo && tflite

package tflite_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer/optest"
	"mien/runtime/tflite"
)

// hostileSeeds is the number of damaged graphs that the test loads and runs.
const hostileSeeds = 3000

// TestNoFileEndsTheProcess loads damaged graphs and graphs of odd scales in a
// process of its own, which must live: the library aborts on what it does not
// expect.
func TestNoFileEndsTheProcess(t *testing.T) {
	// A program of another processor, which runs in an emulator, cannot start
	// itself: there an abort ends all tests, and is seen as well.
	if os.Getenv("MIEN_HOSTILE") != "" || testing.Short() {
		hostile(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoFileEndsTheProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "MIEN_HOSTILE=1")
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		last := ""
		for _, l := range lines {
			if strings.HasPrefix(l, "graph ") {
				last = l
			}
		}
		t.Fatalf("%v at %s\n%s", err, last, strings.Join(lines[max(0, len(lines)-6):], "\n"))
	}
	var ran, refused int
	for _, l := range lines {
		fmt.Sscanf(l, "ran %d, refused %d", &ran, &refused)
	}
	t.Logf("%d graphs ran, %d were refused", ran, refused)
	if ran < 100 || refused < 100 {
		t.Errorf("%d graphs ran and %d were refused: the test does not try much", ran, refused)
	}
}

func hostile(t *testing.T) {
	kinds := optest.Kinds()
	ran, refused := 0, 0
	seeds := uint64(hostileSeeds)
	if testing.Short() {
		seeds /= 20
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 77))
		typ := []graph.Type{graph.Float32, graph.Int8}[seed%2]
		k := kinds[int(seed/2)%len(kinds)]
		g := optest.Random(r, k, typ)
		if seed%3 == 0 {
			oddScales(r, g)
		} else {
			optest.Damage(r, g)
		}
		data, err := flatfile.Marshal(g)
		if err != nil {
			continue // no file has it
		}
		fmt.Println("graph", seed, k, typ)
		n, err := tflite.NewRunner(data, tflite.Options{Builtin: seed%5 > 0})
		if err != nil {
			refused++
			continue
		}
		ran++
		n.Run()
		n.Close()
	}
	fmt.Printf("ran %d, refused %d\n", ran, refused)
}

// oddScales gives some tensors scales that nothing has.
func oddScales(r *rand.Rand, g *graph.Graph) {
	for _, t := range g.Tensors {
		if t.Quant != nil && len(t.Quant.Scale) > 0 && r.IntN(2) == 0 {
			q := *t.Quant
			q.Scale = append([]float32(nil), q.Scale...)
			for i := range q.Scale {
				q.Scale[i] *= float32(math.Pow(10, float64(r.IntN(40)-20)))
			}
			t.Quant = &q
		}
	}
}
