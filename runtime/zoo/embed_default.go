//go:build !tflite

package zoo

import "embed"

// A program without cgo is one file for boards with little room.
//
//go:embed models/edge-int8.tflite
var files embed.FS
