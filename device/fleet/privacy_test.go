package fleet

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("update", false, "write the table of subjects into PRIVACY.md")

// PRIVACY.md lists every subject and every field that can leave a board.
func TestPrivacyListsEverySubject(t *testing.T) {
	const file, begin, end = "../PRIVACY.md", "-update -->\n", "<!-- end -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	want := rows(t)
	if *rewrite {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if table != want {
		t.Errorf("%s does not say what the table does: go test ./device/fleet -run Privacy -update\n%s", file, want)
	}
}

// rows is the table of subjects as PRIVACY.md has it.
func rows(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| `mien.SITE.BOARD.` | is sent if | is kept | fields |\n| --- | --- | --- | --- |\n")
	for _, s := range Subjects {
		kept, when := "not", "`fleet.servers`"
		if s.Stream != "" {
			i := slices.IndexFunc(Streams, func(x Stream) bool { return x.Name == s.Stream })
			kept = fmt.Sprintf("%g days", Streams[i].Age.Hours()/24)
		}
		if s.On != "" {
			when = "`" + s.On + "`"
		}
		name := "`" + s.Name + "`"
		if s.Down {
			name += " (to the board)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, when, kept, strings.Join(fields(t, s.Body), ", "))
	}
	return b.String()
}

// fields are the members of the JSON of a type, found by writing it with all of
// them filled.
func fields(t *testing.T, body any) (all []string) {
	t.Helper()
	for _, flag := range []bool{true, false} {
		v := reflect.New(reflect.TypeOf(body)).Elem()
		fill(v, flag)
		b, err := json.Marshal(v.Interface())
		if err != nil {
			t.Fatal(err)
		}
		var x any
		if err := json.Unmarshal(b, &x); err != nil {
			t.Fatal(err)
		}
		walk(x, "", &all)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// anyName stands for what is a name of the user's or the model's own.
const anyName = "*"

func fill(v reflect.Value, flag bool) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Unix(1, 0)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), flag)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), flag)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), flag)
	case reflect.Map:
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(k, flag)
		fill(e, flag)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(k, e)
	case reflect.String:
		v.SetString(anyName)
	case reflect.Bool:
		v.SetBool(flag)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(1)
	}
}

func walk(x any, path string, all *[]string) {
	switch x := x.(type) {
	case map[string]any:
		for k, v := range x {
			walk(v, strings.TrimPrefix(path+"."+k, "."), all)
		}
	case []any:
		if len(x) > 0 {
			if _, object := x[0].(map[string]any); object {
				walk(x[0], path, all)
				return
			}
		}
		*all = append(*all, path)
	default:
		*all = append(*all, path)
	}
}
