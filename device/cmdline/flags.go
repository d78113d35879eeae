package cmdline

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

// checkFlags refuses what no command means: a flag that was given empty, a
// number out of its range, a name that nothing has. The tags least and most say
// the range; without least a number has to be above 0. The tag check names one
// of the program's Checks.
func (p Program) checkFlags(c *kong.Context) error {
	for _, at := range c.Path {
		switch {
		case at.Flag != nil:
			if err := p.checkValue(at.Flag.Value, at.Flag.Target); err != nil {
				return fmt.Errorf("--%s: %w", at.Flag.Name, err)
			}
		case at.Positional != nil:
			if err := p.checkValue(at.Positional, at.Positional.Target); err != nil {
				return fmt.Errorf("<%s>: %w", at.Positional.Name, err)
			}
		}
	}
	return nil
}

func (p Program) checkValue(v *kong.Value, x reflect.Value) error {
	if d, ok := x.Interface().(time.Duration); ok {
		return checkRange(v.Tag, d.Seconds(), d.String(), seconds)
	}
	switch x.Kind() {
	case reflect.Pointer:
		if !x.IsNil() {
			return p.checkValue(v, x.Elem())
		}
	case reflect.Slice:
		if x.Len() == 0 {
			return fmt.Errorf("is empty: want a value, or leave the flag out")
		}
		for i := range x.Len() {
			if err := p.checkValue(v, x.Index(i)); err != nil {
				return err
			}
		}
	case reflect.String:
		if x.Len() == 0 && !v.Tag.Has("empty") {
			return fmt.Errorf("is empty: want a value, or leave the flag out")
		}
		if name := v.Tag.Get("check"); name != "" {
			check, ok := p.Checks[name]
			if !ok {
				return fmt.Errorf("the program has no check %q", name)
			}
			return check(x.String())
		}
	case reflect.Int, reflect.Int64:
		return checkRange(v.Tag, float64(x.Int()), strconv.FormatInt(x.Int(), 10), number)
	case reflect.Float64:
		return checkRange(v.Tag, x.Float(), strconv.FormatFloat(x.Float(), 'g', -1, 64), number)
	}
	return nil
}

func number(s string) (float64, error) { return strconv.ParseFloat(s, 64) }

func seconds(s string) (float64, error) {
	d, err := time.ParseDuration(s)
	return d.Seconds(), err
}

// checkRange says what is wrong with a number, shown as text.
func checkRange(t *kong.Tag, x float64, text string, parse func(string) (float64, error)) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("%s is no number", text)
	}
	if least := t.Get("least"); least != "" {
		if l, err := parse(least); err != nil {
			return fmt.Errorf("least %q: %w", least, err)
		} else if x < l {
			return fmt.Errorf("%s is too small: want %s or more", text, least)
		}
	} else if x <= 0 {
		return fmt.Errorf("%s is too small: want more than 0", text)
	}
	if most := t.Get("most"); most != "" {
		if m, err := parse(most); err != nil {
			return fmt.Errorf("most %q: %w", most, err)
		} else if x > m {
			return fmt.Errorf("%s is too large: want %s or less", text, most)
		}
	}
	return nil
}
