package model

import (
	"encoding/json"
	"fmt"
)

// CardKey names the metadata entry of a .tflite file that holds the card, as
// JSON.
const CardKey = "mien.card"

// Card is what a model says about itself. It travels in the file's metadata,
// so that a file found on a board in five years still explains itself. It
// holds no date: the same inputs give the same bytes.
type Card struct {
	Name        string      `json:"name"`
	Description string      `json:"description,omitempty"`
	License     string      `json:"license,omitempty"`
	Input       string      `json:"input"` // preprocessing, in words
	Filter      Filter      `json:"filter,omitempty"`
	Heads       []Head      `json:"heads"`
	Training    []DataSet   `json:"training,omitempty"`
	Recipe      string      `json:"recipe,omitempty"` // the training recipe's name and overrides
	Epochs      int         `json:"epochs,omitempty"`
	Arch        string      `json:"arch,omitempty"`
	Quantised   string      `json:"quantised,omitempty"` // mode and calibration, in words
	Engine      string      `json:"engine,omitempty"`    // that File's figures were measured in
	Accuracy    []Accuracy  `json:"accuracy,omitempty"`
	Temperature []float32   `json:"temperature,omitempty"` // per head; none means 1
	Limits      []string    `json:"limits,omitempty"`      // what the model cannot do
	Reproduce   string      `json:"reproduce,omitempty"`   // the commands that make this file
	SHA256      Fingerprint `json:"sha256"`
}

// DataSet is one source of training images and the terms it came under.
type DataSet struct {
	Name   string `json:"name"`
	Images int    `json:"images"`
	Terms  string `json:"terms"`
}

// Accuracy is how a head did on held-out images, as parts of 1. Of a head that
// measures Float and File are 1 less the mean error as a part of its scale.
type Accuracy struct {
	Head  string  `json:"head"`
	Data  string  `json:"data"`            // data set and split
	Other bool    `json:"other,omitempty"` // the set taught nothing: its photographs or its labels are of another origin
	N     int     `json:"n"`
	Float float64 `json:"float,omitempty"` // of the float checkpoint
	File  float64 `json:"file,omitempty"`  // of this file
	// Of a head that measures: its unit, and the mean absolute errors in it.
	Unit     string  `json:"unit,omitempty"`
	MAE      float64 `json:"mae,omitempty"`
	MAEFloat float64 `json:"mae_float,omitempty"`
	// ECE is the expected calibration error of this file's confidences over 15
	// bins, Scaled the same after the card's temperature.
	ECE    float64 `json:"ece,omitempty"`
	Scaled float64 `json:"ece_scaled,omitempty"`
	// Confusion counts this file's answers: a row for each true label, a
	// column for each answer.
	Confusion [][]int `json:"confusion,omitempty"`
	Groups    []Group `json:"groups,omitempty"`
}

// Measured sets the errors of a head that measures by the accuracies.
func (a *Accuracy) Measured(h Head) {
	if h.Measures() {
		from, to := h.Range()
		a.Unit, a.MAE, a.MAEFloat = h.Unit, (1-a.File)*(to-from), 0
		if a.Float > 0 {
			a.MAEFloat = (1 - a.Float) * (to - from)
		}
	}
}

// Group is the accuracy among the images with one label of another head.
type Group struct {
	By    string  `json:"by"` // that head
	Label string  `json:"label"`
	Said  bool    `json:"said,omitempty"` // the images have no such label: this file's answer stands for it
	N     int     `json:"n"`
	Float float64 `json:"float,omitempty"`
	File  float64 `json:"file,omitempty"`
}

// Fingerprint ties a file to what it was made from.
type Fingerprint struct {
	Checkpoint  string `json:"checkpoint,omitempty"`
	Calibration string `json:"calibration,omitempty"`
}

// ParseCard reads a card and checks it.
func ParseCard(b []byte) (Card, error) {
	var c Card
	if err := json.Unmarshal(b, &c); err != nil {
		return Card{}, fmt.Errorf("model: card: %w", err)
	}
	if err := c.Filter.Check(); err != nil {
		return Card{}, fmt.Errorf("model: card: %w", err)
	}
	if c.Heads != nil {
		if err := CheckHeads(c.Heads); err != nil {
			return Card{}, fmt.Errorf("model: card: %w", err)
		}
	}
	if n := len(c.Temperature); n != 0 && n != len(c.Heads) {
		return Card{}, fmt.Errorf("model: card: %d temperatures for %d heads", n, len(c.Heads))
	}
	for _, t := range c.Temperature {
		if !(t > 0) {
			return Card{}, fmt.Errorf("model: card: temperature %v is not above 0", t)
		}
	}
	return c, nil
}

// Marshal returns the card as it is stored in a file.
func (c Card) Marshal() ([]byte, error) { return json.Marshal(c) }
