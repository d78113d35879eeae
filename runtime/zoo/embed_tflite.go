//go:build tflite

package zoo

import "embed"

//go:embed models/*.tflite
var files embed.FS
