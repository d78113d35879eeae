package main

import (
	"fmt"
	"text/tabwriter"

	"mien/train"
)

type recipeCmd struct {
	Name string `arg:"" optional:"" placeholder:"NAME" help:"Recipe to print. Without one: a line about each."`
}

// Run prints a recipe as it is written, to begin one's own with.
func (c recipeCmd) Run(e env) error {
	if c.Name != "" {
		b, err := train.RecipeText(c.Name)
		if err != nil {
			return err
		}
		_, err = e.stdout.Write(b)
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, name := range train.RecipeNames() {
		r, err := train.LoadRecipe(name, nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\n", name, r.About)
	}
	return w.Flush()
}
