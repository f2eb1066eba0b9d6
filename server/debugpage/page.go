package debugpage

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/server"
)

// Page shows the clients, pools, pipelines and servers of a program to its
// operators. It is an http.Handler. The zero value works and is read-only: add
// what it should show, and mount it where only operators can reach it. Its
// fields must not change once it is in use, and it must not be copied. Its
// methods may be called from many goroutines.
type Page struct {
	// Title names the program at the top of the page. Empty means the name of
	// its file.
	Title string
	// AllowChanges, if not nil, lets the page evict connections, drain and
	// resize pools. It is called for each request, and returns whether the
	// person behind it may do so. Nil means that the page is read-only, for
	// everybody. A change must be a POST from the page itself, so another
	// site cannot make a browser send one.
	AllowChanges func(*http.Request) bool
	// SlowCall is how long a call takes that is listed as slow, if it was
	// given the hooks of the page. Zero means 100 ms. Negative means that
	// none is listed.
	SlowCall time.Duration
	// MaxRows is how many rows of a table are shown at a time. Further ones
	// are on the next pages of the table. Zero and negative mean 100.
	MaxRows int
	// MaxEvents is how many kinds of errors, and how many slow calls of each
	// name, are remembered. Zero and negative mean 100.
	MaxEvents int
	// ErrorText returns the text that the page shows for an error. Use it to
	// remove what operators must not see. Nil means the error's own text,
	// up to 400 letters. Of errors that a handler or the application at the
	// other side has returned, nil shows only the type, because their texts
	// can hold data of a request.
	ErrorText func(error) string

	mu      sync.Mutex // guards sources; nothing of a user's runs under it
	sources []source

	events   events
	rates    rates
	requests atomic.Int32 // being served
	secret   sync.Once
	token    string // proves that a POST comes from the page; set by secret
}

var _ http.Handler = (*Page)(nil)

// source is something that is shown.
type source struct {
	kind, name string
	collect    func(*collector)
	pools      func() iter.Seq2[poolID, any] // what can be changed
}

// poolID says which pool, pipeline or server of the page an action is for.
type poolID struct{ kind, name, addr string }

// The kinds of sources.
const (
	kindClient   = "client"
	kindPool     = "pool"
	kindPipeline = "pipeline"
	kindServer   = "server"
	kindBalancer = "balancer"
	kindFacade   = "NewPoolConn"
)

// AddClient shows a client, with its servers and connections. It returns a
// function that ends that. It panics if another client of the page has the name.
func (p *Page) AddClient(name string, c *gtcp.Client) (remove func()) {
	return p.add(source{
		kind: kindClient, name: name,
		collect: func(t *collector) { t.client(name, c) },
		pools: func() iter.Seq2[poolID, any] {
			return func(yield func(poolID, any) bool) {
				for addr, of := range c.Pools() {
					if !yield(poolID{kindClient, name, addr}, of) {
						return
					}
				}
				for addr, of := range c.Pipelines() {
					if !yield(poolID{kindClient, name, addr}, of) {
						return
					}
				}
			}
		},
	})
}

// AddPool shows a pool that is not a client's. It returns a function that ends
// that. It panics if another pool of the page has the name.
func (p *Page) AddPool(name string, of interface {
	Stat() pool.Stat
	Conns() iter.Seq[pool.ConnStat]
}) (remove func()) {
	id := poolID{kindPool, name, ""}
	return p.add(source{
		kind: kindPool, name: name,
		collect: func(t *collector) { t.pool(id, of) },
		pools:   only(id, of),
	})
}

// AddPipeline shows a pipeline that is not a client's. It returns a function
// that ends that. It panics if another pipeline of the page has the name.
func (p *Page) AddPipeline(name string, of interface {
	Stat() pipeline.Stat
	Conns() iter.Seq[pipeline.ConnStat]
}) (remove func()) {
	id := poolID{kindPipeline, name, ""}
	return p.add(source{
		kind: kindPipeline, name: name,
		collect: func(t *collector) { t.pipeline(id, of) },
		pools:   only(id, of),
	})
}

// AddServer shows a server. It returns a function that ends that. It panics if
// another server of the page has the name.
func (p *Page) AddServer(name string, of interface {
	Stat() server.Stat
	Conns() iter.Seq[server.ConnStat]
}) (remove func()) {
	id := poolID{kindServer, name, ""}
	return p.add(source{
		kind: kindServer, name: name,
		collect: func(t *collector) { t.server(id, of) },
		pools:   only(id, of),
	})
}

// AddBalancer shows a balancer that is not a client's, with the health of its
// endpoints. It returns a function that ends that. It panics if another balancer of
// the page has the name.
func AddBalancer[T any](p *Page, name string, b *balance.Balancer[T]) (remove func()) {
	return p.add(source{
		kind: kindBalancer, name: name,
		collect: func(t *collector) {
			t.balancer(name, b.Stat(), func(yield func(balance.NodeStat) bool) {
				for n := range b.Nodes() {
					if !yield(n) {
						return
					}
				}
			})
		},
		pools: nothing,
	})
}

// nothing is the pools of a source that has none.
func nothing() iter.Seq2[poolID, any] { return func(func(poolID, any) bool) {} }

// AddNewPoolConn shows the pools behind gtcp.NewPoolConn. It returns a function
// that ends that. It panics if the page shows them already.
func (p *Page) AddNewPoolConn() (remove func()) {
	return p.add(source{
		kind: kindFacade,
		collect: func(t *collector) {
			for _, info := range gtcp.Pools() {
				t.poolOf(facadeID(info), info.Stat, info.Pool)
			}
		},
		pools: func() iter.Seq2[poolID, any] {
			return func(yield func(poolID, any) bool) {
				for _, info := range gtcp.Pools() {
					if !yield(facadeID(info), info.Pool) {
						return
					}
				}
			}
		},
	})
}

func facadeID(info gtcp.PoolInfo) poolID { return poolID{kindFacade, info.Service, info.Addr} }

// only is the pools of a source that is one itself.
func only(id poolID, of any) func() iter.Seq2[poolID, any] {
	return func() iter.Seq2[poolID, any] {
		return func(yield func(poolID, any) bool) { yield(id, of) }
	}
}

func (p *Page) add(s source) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	same := func(o source) bool { return o.kind == s.kind && o.name == s.name }
	if slices.ContainsFunc(p.sources, same) {
		panic(fmt.Sprintf("debugpage: a %s is called %q already", s.kind, s.name))
	}
	p.sources = append(p.sources, s)
	slices.SortFunc(p.sources, func(a, b source) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name)) })
	var once sync.Once
	return func() {
		once.Do(func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.sources = slices.DeleteFunc(p.sources, same)
		})
	}
}

// shownSources is a copy of what the page shows.
func (p *Page) shownSources() []source {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sources)
}

func (p *Page) title() string {
	if p.Title == "" {
		return filepath.Base(os.Args[0])
	}
	return p.Title
}

func (p *Page) slowCall() time.Duration {
	switch {
	case p.SlowCall < 0:
		return 1<<63 - 1
	case p.SlowCall == 0:
		return 100 * time.Millisecond
	}
	return p.SlowCall
}

func (p *Page) maxRows() int { return orDefault(p.MaxRows, 100) }

func (p *Page) maxEvents() int { return orDefault(p.MaxEvents, 100) }

func orDefault(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}

// proof is the token that a POST must have.
func (p *Page) proof() string {
	p.secret.Do(func() { p.token = rand.Text() })
	return p.token
}
