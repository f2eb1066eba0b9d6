package debugpage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/server"
	"github.com/seed-99d6a01a/gtcp/server/debugpage"
)

func Example() {
	page := &debugpage.Page{SlowCall: 50 * time.Millisecond}

	// A server, shown with its errors and slow requests.
	srv := &server.Server{
		Handler: server.Frames(framing.Format{}, func(_ context.Context, req []byte) ([]byte, error) { return req, nil }),
		Hooks:   page.Hooks("api"),
	}
	page.AddServer("api", srv)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	// A client, likewise. Its pool tells of dials and connections.
	client := gtcp.NewClient(l.Addr().String(), gtcp.ClientConfig{
		Hooks: page.Hooks("orders"),
		Pool:  pool.Config{Hooks: page.Hooks("orders")},
	})
	page.AddClient("orders", client)

	// The page, on a port that only operators reach; here a test server.
	operators := httptest.NewServer(page)

	if _, err := client.Call(context.Background(), []byte("ping")); err != nil {
		panic(err)
	}
	reply, err := http.Get(operators.URL + "?format=json&conns.filter=orders")
	if err != nil {
		panic(err)
	}
	var shown struct {
		Clients, Conns struct{ Rows []map[string]any }
	}
	err = json.NewDecoder(reply.Body).Decode(&shown)
	_ = reply.Body.Close()
	fmt.Println(err, shown.Clients.Rows[0]["name"], "calls:", shown.Clients.Rows[0]["calls"])
	fmt.Println("connection", shown.Conns.Rows[0]["id"], "is", shown.Conns.Rows[0]["state"])

	operators.Close()
	_ = client.Close()
	_ = srv.Close()
	<-served
	// Output:
	// <nil> orders calls: 1
	// connection 1 is idle
}

// A page that lets some people change something. Here it is everybody who reaches
// the port, so the port must be for operators only.
func ExamplePage_allowChanges() {
	page := &debugpage.Page{AllowChanges: func(r *http.Request) bool { return true }}
	page.AddNewPoolConn() // the pools behind gtcp.NewPoolConn

	mux := http.NewServeMux()
	mux.Handle("/debug/gtcp/", page)
	operators := &http.Server{Addr: "127.0.0.1:6060", Handler: mux}
	_ = operators // go operators.ListenAndServe()
}
