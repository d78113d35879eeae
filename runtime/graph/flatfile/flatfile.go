// Package flatfile reads and writes .tflite files, in Go alone.
//
// It knows schema version 3 as TensorFlow Lite publishes it. Of a file with
// several subgraphs the first is read; what a graph cannot hold is listed in
// Graph.Unkept, and such a graph is not written.
package flatfile

// identifier stands at byte 4 of every file.
const identifier = "TFL3"

// schemaVersion is the version that files carry.
const schemaVersion = 3

// Limits of what is read, far above any model that runs on a board.
const (
	maxFile    = 1 << 30
	maxTensors = 1 << 16
	maxOps     = 1 << 16
)
