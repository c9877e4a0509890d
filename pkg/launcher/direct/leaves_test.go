package direct

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// leaf is a field of the specification that has a value and no fields of its own.
type leaf struct {
	path string // as in fields
	kind reflect.Kind
}

// otherSystems are objects that mean nothing on Linux.
var otherSystems = []string{"solaris", "windows", "vm", "zos", "freebsd"}

// leaves are all of the version of the specification that the shim is built with.
func leaves(t testing.TB) []leaf {
	t.Helper()
	all := leavesOf(t, reflect.TypeFor[specs.Spec](), "")
	if len(all) < 150 {
		t.Fatalf("there are only %d fields", len(all))
	}
	return all
}

func leavesOf(t testing.TB, kind reflect.Type, at string) []leaf {
	t.Helper()
	for _, system := range otherSystems {
		if at == system {
			return []leaf{{at, reflect.Struct}}
		}
	}
	switch kind.Kind() {
	case reflect.Pointer:
		return leavesOf(t, kind.Elem(), at)
	case reflect.Slice:
		return leavesOf(t, kind.Elem(), at+"[]")
	case reflect.Map:
		return leavesOf(t, kind.Elem(), child(at, "*"))
	case reflect.Struct:
		var all []leaf
		for i := range kind.NumField() {
			field := kind.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			switch {
			case name != "":
				all = append(all, leavesOf(t, field.Type, child(at, name))...)
			case field.Anonymous:
				all = append(all, leavesOf(t, field.Type, at)...)
			default:
				t.Fatalf("%s.%s has no name in JSON", kind, field.Name)
			}
		}
		return all
	case reflect.Chan, reflect.Func, reflect.Interface:
		t.Fatalf("%s is of the kind %s", at, kind.Kind())
	}
	return []leaf{{at, kind.Kind()}}
}

// value is one that is not none.
func (l leaf) value() any {
	switch l.kind {
	case reflect.String:
		return "x"
	case reflect.Bool:
		return true
	case reflect.Struct:
		return map[string]any{"x": 1}
	default:
		return 1
	}
}

// names are the steps to a leaf; those of arrays and of maps are "[]" and "*".
func names(path string) []string {
	return strings.Split(strings.ReplaceAll(path, "[]", ".[]"), ".")
}

// put returns a configuration with a value at a path: in new elements of arrays,
// and under the name "name" in maps.
func put(config any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	if path[0] == "[]" {
		array, _ := config.([]any)
		return append(array, put(nil, path[1:], value))
	}
	object, _ := config.(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	key := strings.Replace(path[0], "*", "name", 1)
	object[key] = put(object[key], path[1:], value)
	return object
}

// with is the least configuration and one value more.
func with(t testing.TB, path []string, value any) []byte {
	t.Helper()
	var config any
	check(t, json.Unmarshal([]byte(least), &config))
	return encode(t, put(config, path, value))
}
