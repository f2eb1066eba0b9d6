// Package debugpage shows the clients, pools, pipelines and servers of a program
// on a page for its operators, as HTML, as JSON and as an expvar.
//
// Make a [Page], add what it should show, and mount it:
//
//	page := &debugpage.Page{}
//	page.AddClient("orders", client)
//	page.AddServer("api", srv)
//	http.Handle("/debug/gtcp/", page)
//
// The page has a table of each: clients, the servers of a client with their
// health, pools, pipelines, servers, and every connection. Tables can be sorted
// and filtered. With [Page.Hooks] it also lists recent errors, those of one kind
// at one address as one, and the last slow calls with where their time went.
// Without, it costs nothing while nobody looks.
//
// # Who may see it
//
// The page shows names, addresses, counts and the texts of errors. It shows no
// payload and nothing of a request. Still it is for operators only: mount it on
// a port that only they reach, such as one on 127.0.0.1, or behind your own
// authentication:
//
//	mux := http.NewServeMux()
//	mux.Handle("/debug/gtcp/", authenticated(page))
//	go http.ListenAndServe("127.0.0.1:6060", mux)
//
// It is read-only unless [Page.AllowChanges] is set. Then it can evict a
// connection, close a connection of a server, drain a pool or a pipeline, and
// resize a pool. It cannot stop anything for good.
//
// # Many connections
//
// A table shows [Page.MaxRows] rows at a time, and reads at most 100,000. What
// the hooks remember is bounded by [Page.MaxEvents]. A request is read within 5
// seconds, and four are served at a time.
package debugpage
