package optest_test

import (
	"slices"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/infer/optest"
	"mien/runtime/portable"
)

// An operator is known, computed and compared, or none of these.
func TestEveryOperatorIsComputedAndCompared(t *testing.T) {
	for _, have := range []struct {
		what  string
		kinds []graph.Kind
	}{{"graph.Known knows", graph.Kinds()}, {"the portable engine computes", portable.Kinds()}, {"optest makes graphs of", optest.Kinds()}} {
		for _, k := range slices.Concat(graph.Kinds(), portable.Kinds(), optest.Kinds()) {
			if !slices.Contains(have.kinds, k) {
				t.Errorf("%s is not among those that %s", k, have.what)
			}
		}
	}
}
