package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"mien/quant/inspect"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
)

type inspectCmd struct {
	File   string `arg:"" help:"A .tflite file, of any maker, or a checkpoint." placeholder:"F.tflite|F.safetensors"`
	JSON   bool   `help:"Print JSON." name:"json" xor:"form"`
	Dot    bool   `help:"Print the graph for Graphviz." xor:"form"`
	SVG    bool   `help:"Print the graph as a picture, for any browser." name:"svg" xor:"form"`
	Target string `help:"Say what the compiler of an accelerator would make of it: edgetpu." placeholder:"NAME" enum:",edgetpu" default:""`
}

func (c *inspectCmd) Run(e env) error {
	if filepath.Ext(c.File) == ".safetensors" {
		if c.Dot || c.SVG || c.Target != "" {
			return fmt.Errorf("%s is a checkpoint: --dot, --svg and --target are for .tflite files (mien quantize makes one)", c.File)
		}
		return inspectCheckpoint(e.stdout, c.File, c.JSON)
	}
	g, file, err := readGraph(c.File)
	if err != nil {
		return err
	}
	if c.Target == "edgetpu" {
		return c.edgeTPU(e, inspect.CheckEdgeTPU(g))
	}
	info := inspect.Describe(g, file)
	switch {
	case c.JSON:
		b, err := info.JSON()
		if err != nil {
			return err
		}
		_, err = e.stdout.Write(b)
		return err
	case c.Dot:
		_, err = fmt.Fprint(e.stdout, info.DOT())
		return err
	case c.SVG:
		_, err = fmt.Fprint(e.stdout, info.SVG())
		return err
	}
	_, err = fmt.Fprint(e.stdout, info.Text())
	return err
}

func (c *inspectCmd) edgeTPU(e env, r *inspect.EdgeTPU) error {
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, m := range r.Operators {
		where := "TPU"
		if !m.TPU {
			where = "CPU: " + m.Why
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", m.Index, m.Op, m.Output, where)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "\n%s\n", r.Verdict)
	return err
}

func readGraph(path string) (*graph.Graph, []byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	g, err := flatfile.Unmarshal(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, b, nil
}
