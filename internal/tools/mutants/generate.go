package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// mutant is one small change: the bytes of file from start to end become text.
type mutant struct {
	pkg, file  string
	function   string
	hash       string // of the function's text
	line       int
	counted    int    // the line by which the coverage knows it
	what       string // the change in words: old => new, or remove old
	nth        int    // counts equal changes of one function, from 1
	start, end int
	text       string // takes the place of the bytes, as a compile of its own needs it
	kind       kind
	alt        string // what runs in place of the node; text, where that is the same
}

// kind says how a mutant and its original stand side by side behind a switch.
type kind int

const (
	boolean   kind = iota // an expression of type bool
	valued                // an expression of another type
	statement             // a statement, which alt replaces
	clause                // the same where the syntax allows no block: in the head of a for
	removed               // a statement that goes
	returned              // a return, before which alt stands
)

// key names the mutant by its package, function and change, so that the name
// survives when lines move.
func (m mutant) key() string {
	s := m.pkg + " " + m.function + ": " + m.what
	if m.nth > 1 {
		s += " #" + strconv.Itoa(m.nth)
	}
	return s
}

// generator collects the mutants of one file.
type generator struct {
	pkg, file string
	src       string
	fset      *token.FileSet
	function  string
	hash      string
	results   *ast.FieldList // of the innermost function
	seen      map[string]int // counts equal changes over the whole package
	heads     []head
	clauses   map[ast.Node]bool // simple statements in the heads of others
	mutants   []mutant
}

// head is a case's expressions. They run whenever their switch does; the lines
// that count their coverage are those of its body.
type head struct{ from, to, line int }

// generate returns the mutants of one file, in the order of the text.
func generate(pkg, file string, src []byte, seen map[string]int) ([]mutant, error) {
	g := &generator{pkg: pkg, file: file, src: string(src), fset: token.NewFileSet(), seen: seen, clauses: map[ast.Node]bool{}}
	f, err := parser.ParseFile(g.fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		g.function = functionName(fn)
		sum := sha256.Sum256([]byte(g.text(fn)))
		g.hash = hex.EncodeToString(sum[:8])
		g.body(fn.Type, fn.Body)
	}
	return g.mutants, nil
}

func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}

// body mutates one function's statements; a function literal in it is visited
// with its own results.
func (g *generator) body(t *ast.FuncType, b *ast.BlockStmt) {
	outer := g.results
	g.results = t.Results
	defer func() { g.results = outer }()
	ast.Inspect(b, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			g.body(n.Type, n.Body)
			return false
		case *ast.SwitchStmt:
			g.clauses[n.Init] = true
			for _, c := range n.Body.List {
				g.heads = append(g.heads, head{g.at(c.Pos()), g.at(c.(*ast.CaseClause).Colon), g.fset.Position(n.Pos()).Line})
			}
		case *ast.BlockStmt:
			g.statements(n.List)
		case *ast.CaseClause:
			g.statements(n.Body)
		case *ast.CommClause:
			g.statements(n.Body)
		case *ast.IfStmt:
			g.condition(n.Cond)
			g.clauses[n.Init] = true
		case *ast.ForStmt:
			g.condition(n.Cond)
			g.clauses[n.Init], g.clauses[n.Post] = true, true
		case *ast.BinaryExpr:
			g.binary(n)
		case *ast.BasicLit:
			g.literal(n)
		case *ast.Ident:
			g.truth(n)
		case *ast.IncDecStmt:
			g.step(n)
		case *ast.AssignStmt:
			g.assign(n)
		case *ast.ReturnStmt:
			g.returned(n)
		}
		return true
	})
}

func (g *generator) text(n ast.Node) string { return g.src[g.at(n.Pos()):g.at(n.End())] }

func (g *generator) at(p token.Pos) int { return g.fset.Position(p).Offset }

// add records a change of n into text, named what.
func (g *generator) add(n ast.Node, k kind, text, what string) {
	what = strings.Join(strings.Fields(what), " ")
	id := g.function + ": " + what
	g.seen[id]++
	m := mutant{
		pkg: g.pkg, file: g.file, function: g.function, hash: g.hash, line: g.fset.Position(n.Pos()).Line,
		what: what, nth: g.seen[id], start: g.at(n.Pos()), end: g.at(n.End()),
		text: text, kind: k, alt: text,
	}
	if k == statement && g.clauses[n] {
		m.kind = clause
	}
	m.counted = m.line
	for _, h := range g.heads {
		if h.from <= m.start && m.start < h.to {
			m.counted = h.line
		}
	}
	g.mutants = append(g.mutants, m)
}

// replace records n => text as the change.
func (g *generator) replace(n ast.Node, k kind, text string) {
	g.add(n, k, text, g.text(n)+" => "+text)
}

// statements removes each statement that can go alone. It stays in the text,
// behind if false, so that what it uses counts as used.
func (g *generator) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt, *ast.GoStmt:
		case *ast.BranchStmt:
			if s.Tok == token.GOTO || s.Tok == token.FALLTHROUGH {
				continue
			}
		case *ast.ReturnStmt:
			if len(s.Results) > 0 || list[len(list)-1] != s {
				continue
			}
		default:
			continue
		}
		g.add(s, removed, "if false { "+g.text(s)+" }", "remove "+firstLine(g.text(s)))
	}
}

// firstLine keeps the name of a removed statement short.
func firstLine(s string) string {
	line, rest, _ := strings.Cut(s, "\n")
	if rest != "" {
		line += " …"
	}
	return line
}

func (g *generator) condition(c ast.Expr) {
	if c == nil {
		return
	}
	if b, ok := c.(*ast.BinaryExpr); ok && opposite[b.Op] != 0 {
		return // its operator is turned around
	}
	g.add(c, boolean, "!("+g.text(c)+")", "if "+g.text(c)+" => if not")
}

var opposite = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL,
	token.LSS: token.GEQ, token.GEQ: token.LSS, token.GTR: token.LEQ, token.LEQ: token.GTR,
}

var boundary = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
}

var arithmetic = map[token.Token]token.Token{
	token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL, token.REM: token.MUL,
	token.AND: token.OR, token.OR: token.AND, token.SHL: token.SHR, token.SHR: token.SHL,
	token.ADD_ASSIGN: token.SUB_ASSIGN, token.SUB_ASSIGN: token.ADD_ASSIGN,
	token.OR_ASSIGN: token.AND_ASSIGN, token.AND_ASSIGN: token.OR_ASSIGN,
}

func (g *generator) binary(b *ast.BinaryExpr) {
	x, y := g.text(b.X), g.text(b.Y)
	for _, table := range []map[token.Token]token.Token{opposite, boundary} {
		if op, ok := table[b.Op]; ok {
			g.replace(b, boolean, x+" "+op.String()+" "+y)
		}
	}
	if op, ok := arithmetic[b.Op]; ok {
		g.replace(b, valued, x+" "+op.String()+" "+y)
	}
	switch b.Op {
	case token.LAND:
		g.add(b, boolean, "(true || "+x+") && "+y, g.text(b)+" => "+y)
		g.add(b, boolean, x+" && (true || "+y+")", g.text(b)+" => "+x)
	case token.LOR:
		g.add(b, boolean, "(false && ("+x+")) || "+y, g.text(b)+" => "+y)
		g.add(b, boolean, x+" || (false && "+y+")", g.text(b)+" => "+x)
	}
}

func (g *generator) literal(l *ast.BasicLit) {
	if l.Kind != token.INT {
		return
	}
	v, err := strconv.ParseInt(l.Value, 0, 64)
	if err != nil {
		return
	}
	g.add(l, valued, strconv.FormatInt(v+1, 10), "in "+g.lineOf(l)+": "+l.Value+" => "+strconv.FormatInt(v+1, 10))
	if v == 1 {
		g.add(l, valued, "0", "in "+g.lineOf(l)+": "+l.Value+" => 0")
	}
}

// lineOf is the line of text around a node, without its indent and comment.
func (g *generator) lineOf(n ast.Node) string {
	at := g.at(n.Pos())
	begin := strings.LastIndexByte(g.src[:at], '\n') + 1
	line, _, _ := strings.Cut(g.src[begin:], "\n")
	line, _, _ = strings.Cut(line, " // ")
	return strings.TrimSpace(line)
}

func (g *generator) truth(i *ast.Ident) {
	other := map[string]string{"true": "false", "false": "true"}[i.Name]
	if other != "" {
		g.add(i, boolean, other, "in "+g.lineOf(i)+": "+i.Name+" => "+other)
	}
}

func (g *generator) step(s *ast.IncDecStmt) {
	other := "--"
	if s.Tok == token.DEC {
		other = "++"
	}
	g.replace(s, statement, g.text(s.X)+other)
}

func (g *generator) assign(s *ast.AssignStmt) {
	if op, ok := arithmetic[s.Tok]; ok && len(s.Lhs) == 1 {
		g.replace(s, statement, fmt.Sprintf("%s %s %s", g.text(s.Lhs[0]), op, g.text(s.Rhs[0])))
	}
}

// returned drops the error of a return.
func (g *generator) returned(s *ast.ReturnStmt) {
	if g.results == nil || len(s.Results) == 0 || len(s.Results) != g.results.NumFields() {
		return
	}
	last := s.Results[len(s.Results)-1]
	kind := g.text(g.results.List[len(g.results.List)-1].Type)
	if id, ok := last.(*ast.Ident); kind != "error" || ok && id.Name == "nil" {
		return
	}
	list := make([]string, len(s.Results))
	for i, r := range s.Results {
		list[i] = g.text(r)
	}
	list[len(list)-1] = "nil"
	dropped := "return " + strings.Join(list, ", ")
	g.add(s, returned, "if true { "+dropped+" }; "+g.text(s), g.text(s)+" => "+dropped)
	g.mutants[len(g.mutants)-1].alt = dropped
}
