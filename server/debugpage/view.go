package debugpage

import (
	"html/template"
	"net/url"
	"strconv"
	"strings"
)

// The types below are what page.html shows.
type (
	pageView struct {
		Program  string
		Time     string
		Style    template.CSS
		Script   template.JS
		Changes  bool
		Token    string
		Back     string
		Done     string
		Figures  []figureView
		Tables   []tableView
		JSONLink string
	}
	figureView struct {
		Name, Value, Mark string
	}
	tableView struct {
		Key, Title, About string
		Filter            string
		Kept              []param // the parameters of the other tables
		Count             string
		Note              string
		Columns           []columnView
		Rows              []rowView
		Actions           bool
		Page, Pages       int
		Prev, Next        string
	}
	param      struct{ Name, Value string }
	columnView struct {
		Key, Title, Link, Sort, Arrow, Class string
	}
	rowView struct {
		Mark    string
		Cells   []cellView
		Actions []actionView
	}
	cellView struct {
		Title, Text, Class string
		Head               bool
	}
	actionView struct {
		Do, Label, On, Kind, Name, Addr string
		Conn                            uint64
		Max                             int
		Resize                          bool
	}
)

// classes are the looks in page.css.
var classes = [...]string{letters: "", prose: "prose", digits: "num"}

// doneText says what a POST has done.
var doneText = map[string]string{
	doEvict:  "The connection gets no new calls and is closed when it is free.",
	doClose:  "The connection was closed.",
	doDrain:  "The connections are closed, those in use when they are free.",
	doResize: "The pool has a new limit.",
}

// view is the whole page, for a reader with this query.
func (c *collector) view(q url.Values, changes bool) pageView {
	known := knownParams(q, tableKeys())
	v := pageView{
		Program: clean(c.page.title(), maxName),
		Time:    c.now.Format("15:04:05"),
		Style:   template.CSS(pageStyle), Script: template.JS(pageScript),
		Changes: changes, Back: known.Encode(), Done: doneText[q.Get("done")],
		Figures: c.figures(),
	}
	if changes {
		v.Token = c.page.proof()
	}
	asJSON := url.Values{"format": {"json"}}
	for k, of := range known {
		asJSON[k] = of
	}
	v.JSONLink = "?" + asJSON.Encode()
	for _, t := range c.all() {
		v.Tables = append(v.Tables, t.view(known, c.page.maxRows(), changes))
	}
	return v
}

// figures are the page in a line.
func (c *collector) figures() []figureView {
	s := &c.summary
	marked := func(name string, n int, mark string) figureView {
		f := figureView{Name: name, Value: grouped(uint64(n))}
		if n > 0 {
			f.Mark = mark
		}
		return f
	}
	return []figureView{
		{Name: "Calls/s", Value: perSecond(s.calls).text()},
		{Name: "Requests/s", Value: perSecond(s.requests).text()},
		marked("Connections", s.conns, ""),
		marked("In use", s.inUse, ""),
		marked("Callers waiting", s.waiting, markWarn),
		marked("Dials suspended", s.suspended, markBad),
		marked("Servers ejected", s.ejected, markBad),
	}
}

func (t *table) view(q url.Values, max int, changes bool) tableView {
	s := t.show(q, max)
	v := tableView{
		Key: t.key, Title: t.title, About: t.about, Filter: s.filter, Page: s.page, Pages: s.pages,
		Count: grouped(uint64(len(t.rows) + t.unread)),
	}
	for k, of := range q {
		if k != t.key+"."+filterParam && k != t.key+"."+pageParam {
			v.Kept = append(v.Kept, param{k, of[0]})
		}
	}
	switch {
	case s.filter != "":
		v.Note = grouped(uint64(len(s.matched))) + " of " + grouped(uint64(len(t.rows))) + " match the filter."
	case t.unread > 0:
		v.Note = "Only the first " + grouped(uint64(len(t.rows))) + " were read."
	}
	if s.page > 1 {
		v.Prev = s.link(q, pageParam, strconv.Itoa(s.page-1))
	}
	if s.page < s.pages {
		v.Next = s.link(q, pageParam, strconv.Itoa(s.page+1))
	}
	for _, c := range t.columns {
		if c.title == "" {
			continue
		}
		of := columnView{Key: c.key, Title: c.title, Class: classes[c.as], Link: s.link(q, sortParam, s.next(c))}
		switch s.sorted {
		case c.key:
			of.Sort, of.Arrow = "ascending", "▲"
		case "-" + c.key:
			of.Sort, of.Arrow = "descending", "▼"
		}
		v.Columns = append(v.Columns, of)
	}
	for _, r := range s.part {
		row := t.rowView(r, changes)
		v.Rows = append(v.Rows, row)
		v.Actions = v.Actions || len(row.Actions) > 0
	}
	return v
}

func (t *table) rowView(r row, changes bool) rowView {
	v := rowView{Mark: r.mark}
	for i, c := range r.cells {
		of := t.columns[i]
		if of.title == "" {
			continue
		}
		class := classes[of.as]
		said := c.text()
		if said == "" || said == none {
			class += " empty"
		}
		v.Cells = append(v.Cells, cellView{Title: of.title, Text: said, Class: strings.TrimSpace(class), Head: of.key == t.head})
	}
	if !changes {
		return v
	}
	for _, a := range r.actions() {
		v.Actions = append(v.Actions, actionView{
			Do: a.do, Label: a.label, On: clean(a.on, maxName), Kind: a.id.kind, Name: a.id.name, Addr: a.id.addr,
			Conn: a.conn, Max: a.max, Resize: a.do == doResize,
		})
	}
	return v
}
