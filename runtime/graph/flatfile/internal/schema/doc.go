// Package schema is the generated access to .tflite files; schema.fbs is its
// source.
package schema

//go:generate flatc --go --gen-onefile --go-namespace schema schema.fbs
//go:generate gofmt -w schema_generated.go
