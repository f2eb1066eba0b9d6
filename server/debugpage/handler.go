package debugpage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// atOnce is how many requests are served at a time. Each can take the
	// memory of all rows.
	atOnce = 4
	// collectWithin and writeWithin bound the time of a request.
	collectWithin = 5 * time.Second
	writeWithin   = 15 * time.Second
)

var (
	//go:embed page.html
	pageSource string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string

	pageTemplate = template.Must(template.New("page").Parse(pageSource))
	pagePolicy   = "default-src 'none'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; img-src data:; " +
		"style-src " + hashOf(pageStyle) + "; script-src " + hashOf(pageScript)
)

// hashOf allows one inline style or script, as a content security policy says it.
func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func sameToken(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// tableKeys are the keys of all tables.
func tableKeys() []string {
	return []string{"clients", "endpoints", "pools", "pipelines", "servers", "conns", "errors", "slow"}
}

// ServeHTTP serves the page. With ?format=json, or a header Accept that has
// application/json and not text/html, it serves the same tables as JSON. It
// serves four requests at a time; others get status 503.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Vary", "Accept")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin)) // where it can be had
	if p.requests.Add(1) > atOnce {
		p.requests.Add(-1)
		h.Set("Retry-After", "1")
		http.Error(w, "Too many requests for this page at once.", http.StatusServiceUnavailable)
		return
	}
	defer p.requests.Add(-1)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		p.get(w, r)
	case http.MethodPost:
		back, no := p.change(w, r)
		if no != nil {
			http.Error(w, no.why, no.code)
			return
		}
		h.Set("Location", back) // relative: the handler does not know where it is mounted
		w.WriteHeader(http.StatusSeeOther)
	default:
		h.Set("Allow", "GET, HEAD, POST")
		http.Error(w, "This page knows GET and POST only.", http.StatusMethodNotAllowed)
	}
}

func (p *Page) get(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), collectWithin)
	defer cancel()
	c, err := p.collect(ctx)
	if err != nil {
		http.Error(w, "It took too long to read the figures.", http.StatusServiceUnavailable)
		return
	}
	q := r.URL.Query()
	var out bytes.Buffer
	if wantsJSON(r, q) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		err = c.json(&out, knownParams(q, tableKeys()))
	} else {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		err = pageTemplate.Execute(&out, c.view(q, p.mayChange(r)))
	}
	if err != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		http.Error(w, "The page cannot be made: "+clean(err.Error(), maxText), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	_, _ = out.WriteTo(w)
}

func wantsJSON(r *http.Request, q url.Values) bool {
	if format := q.Get("format"); format != "" {
		return format == "json"
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// String returns the page as JSON, as expvar.Var asks for it, with the first rows
// of each table:
//
//	expvar.Publish("gtcp", page)
func (p *Page) String() string {
	ctx, cancel := context.WithTimeout(context.Background(), collectWithin)
	defer cancel()
	c, err := p.collect(ctx)
	var out bytes.Buffer
	if err != nil || c.json(&out, nil) != nil {
		return "null"
	}
	return strings.TrimSpace(out.String())
}

// jsonTable is a table in JSON.
type jsonTable struct {
	Total   int              `json:"total"`   // rows
	Matched int              `json:"matched"` // by the filter
	Page    int              `json:"page"`
	Pages   int              `json:"pages"`
	Rows    []map[string]any `json:"rows"`
}

// json writes the tables. Times and durations are in seconds.
func (c *collector) json(out *bytes.Buffer, q url.Values) error {
	doc := map[string]any{"time": c.now.UTC().Format(time.RFC3339Nano)}
	for _, t := range c.all() {
		s := t.show(q, c.page.maxRows())
		rows := make([]map[string]any, len(s.part))
		for i, r := range s.part {
			rows[i] = make(map[string]any, len(r.cells))
			for k, of := range r.cells {
				rows[i][t.columns[k].key] = of.json()
			}
		}
		doc[t.key] = jsonTable{Total: len(t.rows) + t.unread, Matched: len(s.matched), Page: s.page, Pages: s.pages, Rows: rows}
	}
	e := json.NewEncoder(out)
	e.SetIndent("", " ")
	return e.Encode(doc)
}
