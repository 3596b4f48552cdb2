// Package imports holds the test that the packages depend on each other only in
// the directions that DESIGN.md draws.
package imports

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "purser"

// allowed lists, for each package, the packages of this module that it may
// import. A package that is not here does not belong in the tree.
var allowed = map[string][]string{
	"internal/ledger":            {},
	"internal/ledger/ledgertest": {"internal/ledger"},
	"internal/store":             {"internal/ledger", "internal/pace", "internal/planted"},
	"internal/crashfs":           {},
	"internal/eventloop":         {},
	"internal/imports":           {},
	"internal/pace":              {},
	"internal/chaos":             {"internal/chaos/clients", "internal/chaos/site"},
	"internal/chaos/clients":     {},
	"internal/chaos/site":        {},
	"internal/nodetls":           {"internal/planted"},
	"internal/peer":              {"internal/nodetls"},
	"internal/planted":           {},
	"wal":                        {"internal/planted"},
	"shard":                      {"internal/ledger", "internal/planted"},
	"engine":                     {"internal/ledger"},
	"transport":                  {"internal/eventloop", "internal/ledger", "internal/planted"},
	"raftfsm":                    {"internal/ledger", "internal/nodetls", "internal/pace", "internal/peer", "internal/planted", "internal/store", "shard", "wal"},
	"bench":                      {},
	"bench/compare":              {"bench"},
	"bench/report":               {"bench", "bench/compare"},
	"cmd/purser":                 {"bench", "bench/compare", "bench/report", "engine", "internal/ledger", "internal/nodetls", "raftfsm", "shard", "transport"},
}

// alsoInTests lists what only the tests of a package may import besides.
var alsoInTests = []string{"internal/crashfs", "internal/ledger/ledgertest"}

// confined lists the dependencies that only some packages may know.
var confined = map[string][]string{
	"github.com/hashicorp/raft":           {"raftfsm", "wal", "internal/peer"},
	"github.com/hashicorp/raft-boltdb/v2": {"raftfsm"},
	"go.etcd.io/bbolt":                    {"raftfsm"},
	"github.com/cockroachdb/pebble/v2":    {"internal/store", "internal/crashfs"},
	"github.com/valyala/fasthttp":         {"transport", "bench"},
	"github.com/spf13/cobra":              {"cmd/purser"},
}

func TestImportsPointDown(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); file != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "data" || nested(file)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		seen++
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		checkFile(t, filepath.ToSlash(rel), file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Fatal("found no Go files: the test looks in the wrong place")
	}
}

// nested reports whether dir is the root of a module of its own.
func nested(dir string) bool {
	found, _ := filepath.Glob(filepath.Join(dir, "go.mod"))
	return len(found) > 0 && dir != filepath.Join("..", "..")
}

func checkFile(t *testing.T, pkg, file string) {
	t.Helper()
	may, known := allowed[pkg]
	if !known {
		t.Errorf("%s: package %s is not in the list of packages", file, pkg)
		return
	}
	test := strings.HasSuffix(file, "_test.go")
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if own, ok := strings.CutPrefix(imported, module+"/"); ok {
			fine := own == pkg || slices.Contains(may, own) || test && slices.Contains(alsoInTests, own)
			if !fine {
				t.Errorf("%s: %s must not import %s", file, pkg, own)
			}
		}
		for dep, where := range confined {
			if imported == dep && !test && !slices.Contains(where, pkg) {
				t.Errorf("%s: only %s may import %s", file, strings.Join(where, ", "), dep)
			}
		}
		if pkg == "internal/ledger" && !test && strings.Contains(strings.Split(imported, "/")[0], ".") {
			t.Errorf("%s: the domain depends on nothing but the standard library, not on %s", file, path.Base(imported))
		}
	}
}
