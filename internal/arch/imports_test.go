package arch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module  = "github.com/seed-99d6a01a/gtcp"
	puddle  = "github.com/jackc/puddle/v2"
	testify = "github.com/stretchr/testify/require"
	assert  = "github.com/stretchr/testify/assert"
	goleak  = "go.uber.org/goleak"
)

// rule says what one package may import besides the standard library without
// testing. Paths are relative to the module, "." is its root, outside ones are
// whole; a path that ends in /... stands for all below it.
type rule struct {
	pkg    string
	may    []string // in production
	tests  []string // in its tests besides, and besides inEveryTest and itself
	reason string
}

// inEveryTest is open to the tests of every package.
var inEveryTest = []string{testify, assert, goleak, "internal/memnet", "internal/faultproxy"}

var public = []string{".", "conn", "framing", "framing/envelope", "retry", "server", "pool", "pool/backend", "pool/puddlepool", "pool/slotpool", "pool/engine", "pool/pipeline", "pool/resolve", "pool/balance"}

var rules = []rule{
	{pkg: "conn", may: []string{"internal/sleep"}, reason: "the bottom: standard library, and what it does for the server alone"},
	{pkg: "internal/sleep", reason: "what conn does for the server alone"},
	{pkg: "framing", tests: []string{"conn"}, reason: "works on any byte stream"},
	{pkg: "framing/envelope", tests: []string{"conn", "framing"}, reason: "bytes before a payload: standard library only"},
	{pkg: "retry", reason: "sees only errors"},
	{pkg: "pool/backend", tests: []string{"pool/puddlepool"}, reason: "the contract and nothing else"},
	{pkg: "pool/engine", may: []string{"pool/backend"}, tests: []string{"pool/pooltest"}, reason: "what backends share"},
	{pkg: "pool/puddlepool", may: []string{"pool/backend", "pool/engine", puddle}, tests: []string{"pool/pooltest"},
		reason: "the only importer of puddle"},
	{pkg: "pool/slotpool", may: []string{"pool/backend", "pool/engine"}, tests: []string{"pool/pooltest"},
		reason: "a backend like any other"},
	{pkg: "pool/pooltest", may: []string{"pool/backend", "testing", "testing/synctest"}, tests: []string{"pool/puddlepool", "pool/slotpool", "pool/engine"},
		reason: "the public suite: the only production importer of testing, and testify does not reach its users"},
	{pkg: "pool", may: []string{"conn", "internal/contain", "internal/dialgate", "internal/lastcopy", "internal/signal", "pool/backend", "pool/puddlepool"}, tests: []string{"pool/slotpool", "pool/pooltest", "framing", "examples/custompool"},
		reason: "the frontend and its default backend"},
	{pkg: "pool/pipeline", may: []string{"conn", "framing", "framing/envelope", "internal/contain", "internal/dialgate", "internal/lastcopy"}, tests: []string{"server"}, reason: "its own connections, no pool"},
	{pkg: "pool/resolve", may: []string{"internal/contain", "internal/signal"}, reason: "where the servers are: it dials nothing"},
	{pkg: "pool/balance", may: []string{"internal/contain", "pool/resolve"}, reason: "which of them: it keeps any value for an endpoint"},
	{pkg: "server", may: []string{"conn", "framing", "framing/envelope", "internal/sleep"}, reason: "the accepting side"},
	{pkg: ".", may: public[1:], tests: []string{"pool/pooltest"}, reason: "everything but the suite"},
	{pkg: "server/debugpage", may: []string{".", "conn", "pool", "pool/pipeline", "pool/balance", "server"},
		tests: []string{"framing", "retry", "pool/backend", "pool/resolve", "examples/custompool"}, reason: "it shows what all others do, and none of them needs it"},
	{pkg: "examples/...", may: append([]string{"server/debugpage"}, public...), tests: []string{"pool/pooltest"}, reason: "what a user would import"},
	{pkg: "internal/contain", reason: "panics of users' functions: standard library only"},
	{pkg: "internal/dialgate", may: []string{"conn"}, reason: "what pool and pipeline share about dialing"},
	{pkg: "internal/lastcopy", reason: "what pool and pipeline share: settings kept once for many"},
	{pkg: "internal/signal", reason: "what pool and resolve share: a wakeup for many"},
	{pkg: "internal/chart", reason: "for nested modules: standard library only"},
	{pkg: "internal/memnet", reason: "for tests and nested modules"},
	{pkg: "internal/faultproxy", tests: []string{"internal/netlab"}, reason: "for tests and nested modules"},
	{pkg: "internal/netlab", reason: "for tests and nested modules"},
	{pkg: "internal/arch", reason: "tests only"},
}

// third are the only modules that production code may reach, however far away.
var third = []string{puddle, "golang.org/x/sync"}

// listed is what go list says of a package.
type listed struct {
	ImportPath                         string
	Standard                           bool
	Imports, TestImports, XTestImports []string
}

func TestImports(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			pkgs := goList(t, goos, "./...")
			require.NotEmpty(t, pkgs)
			require.Empty(t, violations(rules, pkgs))
			require.Empty(t, strangers(goList(t, goos, "-deps", "./...")))
		})
	}
}

func goList(t *testing.T, goos string, args ...string) (pkgs []listed) {
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e",
		"-json=ImportPath,Standard,Imports,TestImports,XTestImports"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0", "GOFLAGS=")
	out, err := cmd.Output()
	require.NoError(t, err)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		require.NoError(t, err)
		pkgs = append(pkgs, p)
	}
}

// violations names each import that no rule allows, and each package without
// a rule.
func violations(rules []rule, pkgs []listed) (found []string) {
	for _, p := range pkgs {
		name := relative(p.ImportPath)
		i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, name) })
		if i < 0 {
			found = append(found, name+": no rule for this package; add it to docs/design.md and here")
			continue
		}
		r := rules[i]
		for _, imp := range p.Imports {
			if !allowed(r.may, imp) {
				found = append(found, fmt.Sprintf("%s imports %s (%s)", name, relative(imp), r.reason))
			}
		}
		inTests := slices.Concat(r.may, r.tests, inEveryTest, []string{name, "testing/..."})
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			if !allowed(inTests, imp) {
				found = append(found, fmt.Sprintf("tests of %s import %s (%s)", name, relative(imp), r.reason))
			}
		}
	}
	return found
}

// strangers names the packages of modules that production may not depend on.
func strangers(deps []listed) (found []string) {
	for _, d := range deps {
		known := slices.ContainsFunc(append(third, module), func(m string) bool { return matches(m+"/...", d.ImportPath) })
		if !d.Standard && !known {
			found = append(found, d.ImportPath)
		}
	}
	return found
}

func allowed(may []string, imp string) bool {
	if !strings.Contains(strings.Split(imp, "/")[0], ".") && !matches("testing/...", imp) {
		return true // standard library
	}
	name := relative(imp)
	return slices.ContainsFunc(may, func(m string) bool { return matches(m, name) })
}

// matches takes a/... for a and all below it.
func matches(pattern, name string) bool {
	tree, ok := strings.CutSuffix(pattern, "/...")
	if !ok {
		return pattern == name
	}
	return name == tree || strings.HasPrefix(name, tree+"/")
}

func relative(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// A rule that lets everything pass would pass every tree; these must not.
func TestWrongArrowsAreSeen(t *testing.T) {
	in := func(pkg string, imports ...string) listed { return listed{ImportPath: pkg, Imports: imports} }
	m := module + "/"
	for _, c := range []struct {
		pkg  listed
		want string // what the violation must begin with; empty: none
	}{
		{in(m+"conn", "net", "crypto/tls", "unsafe"), ""},
		{in(m+"conn", m+"framing"), "conn imports framing"},
		{in(m+"conn", m+"pool"), "conn imports pool"},
		{in(m+"conn", puddle), "conn imports " + puddle},
		{in(m+"conn", "golang.org/x/sys/unix"), "conn imports golang.org/x/sys/unix"},
		{in(m+"conn", m+"internal/memnet"), "conn imports internal/memnet"},
		{in(m+"conn", "testing"), "conn imports testing"},
		{in(m+"framing", m+"conn"), "framing imports conn"},
		{in(m+"framing", m+"framing/envelope"), "framing imports framing/envelope"},
		{in(m+"framing/envelope", m+"framing"), "framing/envelope imports framing"},
		{in(m+"retry", m+"conn"), "retry imports conn"},
		{in(m+"retry", module), "retry imports ."},
		{in(m+"pool/backend", m+"pool"), "pool/backend imports pool"},
		{in(m+"pool/puddlepool", puddle, m+"pool/backend"), ""},
		{in(m+"pool/puddlepool", m+"pool"), "pool/puddlepool imports pool"},
		{in(m+"pool/slotpool", puddle), "pool/slotpool imports " + puddle},
		{in(m+"pool/slotpool", m+"pool/engine"), ""},
		{in(m+"pool", puddle), "pool imports " + puddle},
		{in(m+"pool", m+"pool/slotpool"), "pool imports pool/slotpool"},
		{in(m+"pool", m+"retry"), "pool imports retry"},
		{in(m+"pool/pooltest", "testing", "testing/synctest", m+"pool/backend"), ""},
		{in(m+"pool/pooltest", testify), "pool/pooltest imports " + testify},
		{in(m+"pool/pipeline", m+"pool"), "pool/pipeline imports pool"},
		{in(m+"pool/resolve", m+"pool"), "pool/resolve imports pool"},
		{in(m+"pool/resolve", "go.etcd.io/etcd/client/v3"), "pool/resolve imports go.etcd.io"},
		{in(m+"pool/balance", m+"pool/resolve"), ""},
		{in(m+"pool/balance", m+"conn"), "pool/balance imports conn"},
		{in(m+"server", m+"pool"), "server imports pool"},
		{in(m+"server", m+"internal/faultproxy"), "server imports internal/faultproxy"},
		{in(module, m+"pool/pooltest"), ". imports pool/pooltest"},
		{in(m+"server/debugpage", module, m+"pool", "net/http", "html/template"), ""},
		{in(m+"server/debugpage", "expvar", m+"retry"), "server/debugpage imports retry"},
		{in(m+"server", m+"server/debugpage"), "server imports server/debugpage"},
		{in(module, m+"conn", m+"pool/pipeline", m+"retry"), ""},
		{in(module, goleak), ". imports " + goleak},
		{in(module, "testing/iotest"), ". imports testing/iotest"},
		{in(m + "poolside"), "poolside: no rule"},
		{in(m + "helpers"), "helpers: no rule"},
		{listed{ImportPath: m + "conn", XTestImports: []string{m + "conn", "testing/synctest", testify, m + "internal/memnet"}}, ""},
		{listed{ImportPath: m + "conn", XTestImports: []string{m + "server"}}, "tests of conn import server"},
		{listed{ImportPath: m + "retry", TestImports: []string{"github.com/cenkalti/backoff/v5"}}, "tests of retry import github.com/cenkalti"},
		{listed{ImportPath: m + "pool", TestImports: []string{puddle}}, "tests of pool import " + puddle},
	} {
		got := violations(rules, []listed{c.pkg})
		if c.want == "" {
			require.Empty(t, got)
			continue
		}
		require.Len(t, got, 1, "%+v", c.pkg)
		require.True(t, strings.HasPrefix(got[0], c.want), got[0])
	}
	require.Equal(t, []string{"golang.org/x/net/nettest"}, strangers([]listed{
		{ImportPath: "net", Standard: true}, {ImportPath: module}, {ImportPath: m + "conn"}, {ImportPath: puddle},
		{ImportPath: "golang.org/x/sync/semaphore"}, {ImportPath: "golang.org/x/net/nettest"},
	}))
}
