// Package promised compares the errors that functions promise in their documentation
// with those that guests got in the tests of a package: each has to be seen, and what
// is seen has to be promised, or to be of the system call that the documentation names.
package promised

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Seen is what guests got: numbers of errors by the names of functions.
type Seen struct{ errnos sync.Map }

type pair struct {
	function string
	errno    int
}

// Add is for a call that gave an error. It may be called at any time.
func (s *Seen) Add(function string, errno int) { s.errnos.Store(pair{function, errno}, true) }

func (s *Seen) has(function string, errno int) bool {
	_, ok := s.errnos.Load(pair{function, errno})
	return ok
}

// Main runs the tests of the package in the working directory. If they were all of
// them, and nothing has failed, it compares. The errors are the constants of the file
// errnos, in their order. It returns the status to end with.
func (s *Seen) Main(m *testing.M, errnos string) int {
	status := m.Run()
	for _, chosen := range []string{"test.run", "test.skip", "test.fuzz", "test.list"} {
		if flag.Lookup(chosen).Value.String() != "" {
			return status
		}
	}
	if status != 0 || os.Geteuid() != 0 { // who is not root sees less
		return status
	}
	problems, err := s.compare(errnos)
	if err != nil {
		problems = []string{err.Error()}
	}
	for _, p := range problems {
		fmt.Println(p)
		status = 1
	}
	return status
}

// word may be the name of an error, and manual is a page about a system call.
var (
	word   = regexp.MustCompile(`\bE[A-Z0-9]+\b`)
	manual = regexp.MustCompile(`\([23]\)`)
)

func (s *Seen) compare(errnos string) (problems []string, err error) {
	names, err := constants(errnos)
	if err != nil {
		return nil, err
	}
	documentation, err := documented()
	if err != nil {
		return nil, err
	}
	if len(documentation) == 0 {
		problems = append(problems, "no function is documented")
	}
	for function, text := range documentation {
		promised := word.FindAllString(text, -1)
		for errno, name := range names[1:] {
			errno++
			switch is := slices.Contains(promised, name); {
			case is && !s.has(function, errno):
				problems = append(problems, fmt.Sprintf("%s promises %s, which no test has seen", function, name))
			case !is && s.has(function, errno) && !manual.MatchString(text):
				problems = append(problems, fmt.Sprintf("%s gave %s, which it does not promise", function, name))
			}
		}
	}
	slices.Sort(problems)
	return problems, nil
}

// constants are the names of a file's constants.
func constants(file string) (names []string, err error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		return nil, err
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if g, ok := n.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, spec := range g.Specs {
				names = append(names, spec.(*ast.ValueSpec).Names[0].Name)
			}
		}
		return true
	})
	return names, nil
}

// documented is what is said above each function that guests can import. Their names
// are next to those that they have in Go, in literals: {"fd_read", "iiii", fdRead} or
// {Name: "sock_open", Params: "iii", Call: sockOpen}. One with several versions has
// the texts of all.
func documented() (map[string]string, error) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		return nil, err
	}
	imported := map[string][]string{} // names in Go
	texts := map[string]string{}      // by these
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil {
					texts[n.Name.Name] = n.Doc.Text()
				}
			case *ast.CompositeLit:
				if name, function, ok := entry(n.Elts); ok {
					imported[name] = append(imported[name], function)
				}
			}
			return true
		})
	}
	documentation := map[string]string{}
	for name, functions := range imported {
		for _, f := range functions {
			documentation[name] += texts[f]
		}
	}
	return documentation, nil
}

// entry is a literal that says which function has which name.
func entry(elements []ast.Expr) (name, function string, ok bool) {
	if len(elements) != 3 {
		return "", "", false
	}
	value := func(i int) ast.Expr {
		if kv, ok := elements[i].(*ast.KeyValueExpr); ok {
			return kv.Value
		}
		return elements[i]
	}
	text, isText := value(0).(*ast.BasicLit)
	f, isName := value(2).(*ast.Ident)
	if !isText || !isName || text.Kind != token.STRING {
		return "", "", false
	}
	name, err := strconv.Unquote(text.Value)
	return name, f.Name, err == nil
}
