package debugpage

import (
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// action is something that the page can do to one thing.
type action struct {
	do    string // evict, close, drain or resize
	label string
	on    string // what it is done to, for those who do not see the row
	id    poolID
	conn  uint64 // the number of the connection
	max   int    // the bound of a pool, for resize
}

// What can be done, as the form says it.
const (
	doEvict  = "evict"
	doClose  = "close"
	doDrain  = "drain"
	doResize = "resize"
)

// What pools, pipelines and servers can do, as far as they can.
type (
	evicter interface{ EvictConn(id uint64) bool }
	closer  interface{ CloseConn(id uint64) bool }
	clearer interface{ Clear() }
	resizer interface{ Resize(max int) error }
	sized   interface {
		Stat() pool.Stat
		resizer
	}
	piped interface {
		Conns() iter.Seq[pipeline.ConnStat]
		evicter
	}
)

// actions are what the page can do to what a row is about.
func (r *row) actions() (all []action) {
	on := strings.TrimSpace(fmt.Sprintf("%s %s %s", r.id.kind, r.id.name, r.id.addr))
	if r.conn != 0 {
		a := action{on: fmt.Sprintf("connection %d of %s", r.conn, on), id: r.id, conn: r.conn}
		switch r.of.(type) {
		case evicter:
			a.do, a.label = doEvict, "Evict"
		case closer:
			a.do, a.label = doClose, "Close"
		default:
			return nil
		}
		return []action{a}
	}
	switch r.of.(type) {
	case clearer, piped:
		all = append(all, action{do: doDrain, label: "Drain", on: on, id: r.id})
	}
	if p, ok := r.of.(sized); ok {
		all = append(all, action{do: doResize, label: "Resize", on: on, id: r.id, max: p.Stat().MaxConns})
	}
	return all
}

// maxForm is how large a POST may be.
const maxForm = 16 << 10

// mayChange reports whether the person behind a request may change anything.
func (p *Page) mayChange(r *http.Request) bool { return p.AllowChanges != nil && p.AllowChanges(r) }

// refused says why a POST is not obeyed.
type refused struct {
	code int
	why  string
}

// change obeys a POST. It returns the query of the page to go back to.
func (p *Page) change(w http.ResponseWriter, r *http.Request) (back string, no *refused) {
	if p.AllowChanges == nil {
		return "", &refused{http.StatusForbidden, "This page is read-only: AllowChanges is not set."}
	}
	if !p.AllowChanges(r) {
		return "", &refused{http.StatusForbidden, "You may not change anything here: AllowChanges says no."}
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return "", &refused{http.StatusForbidden, "The request comes from another site."}
	}
	if rebound(r) {
		return "", &refused{http.StatusForbidden, "The host of the request is a name, but it came over the loopback interface: " +
			"open the page as localhost or by address. A proxy on this machine must set the host so."}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return "", &refused{http.StatusBadRequest, "The form cannot be read."}
	}
	f := r.PostForm
	if !sameToken(f.Get("token"), p.proof()) {
		return "", &refused{http.StatusForbidden, "The form is not from this page, or the program was restarted. Load the page again."}
	}
	of := p.find(poolID{f.Get("kind"), f.Get("name"), f.Get("addr")})
	if of == nil {
		return "", &refused{http.StatusNotFound, "There is no such pool, pipeline or server any more."}
	}
	if no := perform(of, f); no != nil {
		return "", no
	}
	known, _ := url.ParseQuery(f.Get("back"))
	query := knownParams(known, tableKeys())
	query.Set("done", f.Get("do"))
	return "?" + query.Encode(), nil
}

// rebound reports whether a request may come from another site whose name was made
// to mean this machine (DNS rebinding): a browser takes such a page for the same
// origin, so that its scripts can read the token. They cannot choose the host.
func rebound(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil || !local.IP.IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host != "localhost" && net.ParseIP(strings.Trim(host, "[]")) == nil
}

// find returns what an action is for, nil if the page does not show it.
func (p *Page) find(id poolID) any {
	for _, s := range p.shownSources() {
		if s.kind != id.kind || s.kind != kindFacade && s.name != id.name {
			continue
		}
		for known, of := range s.pools() {
			if known == id {
				return of
			}
		}
	}
	return nil
}

// perform does what the form says.
func perform(of any, f url.Values) *refused {
	switch do := f.Get("do"); do {
	case doEvict, doClose:
		number, err := strconv.ParseUint(f.Get("conn"), 10, 64)
		if err != nil {
			return &refused{http.StatusBadRequest, "That is not the number of a connection."}
		}
		if !endConn(of, do, number) {
			return &refused{http.StatusNotFound, "There is no such connection any more."}
		}
		return nil
	case doDrain:
		return drain(of)
	case doResize:
		return resize(of, f.Get("max"))
	}
	return &refused{http.StatusBadRequest, "The page cannot do that."}
}

func endConn(of any, do string, number uint64) bool {
	if e, ok := of.(evicter); ok && do == doEvict {
		return e.EvictConn(number)
	}
	if c, ok := of.(closer); ok && do == doClose {
		return c.CloseConn(number)
	}
	return false
}

func drain(of any) *refused {
	switch of := of.(type) {
	case clearer:
		of.Clear()
	case piped:
		for c := range of.Conns() {
			of.EvictConn(c.ID)
		}
	default:
		return &refused{http.StatusBadRequest, "This cannot be drained."}
	}
	return nil
}

func resize(of any, to string) *refused {
	r, ok := of.(resizer)
	max, err := strconv.Atoi(to)
	if !ok || err != nil || max < 1 {
		return &refused{http.StatusBadRequest, "The limit of a pool must be a number, 1 or more."}
	}
	err = r.Resize(max)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return &refused{http.StatusConflict, "The backend of this pool cannot be resized."}
	case err != nil:
		return &refused{http.StatusConflict, clean(err.Error(), maxText)}
	}
	return nil
}
