package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/pool"
)

// store is a client of the service: a pool of sessions that are logged in.
type store struct {
	sessions *pool.Pool
	secret   func() string // the current one
}

// newStore returns a client of the server at addr. It dials nothing yet.
func newStore(addr string, secret func() string) (*store, error) {
	s := &store{secret: secret}
	var err error
	s.sessions, err = pool.New(conn.Target{Address: addr}, pool.Config{
		MaxConns:     10,
		AfterConnect: s.login,
		Probe:        pool.Probe{After: 30 * time.Second, Func: ping},
		KeepAlive:    time.Minute,
		MaxLifetime:  time.Hour,
	})
	return s, err
}

// session is what the login of a connection has returned.
type session struct{ number string }

// login runs once for each connection, before any caller gets it. If it fails, the
// connection is closed, and that counts as a failed dial.
func (s *store) login(ctx context.Context, c *conn.Conn) (any, error) {
	var number string
	err := c.Do(ctx, func() (err error) {
		number, err = ask(c, "LOGIN "+s.secret())
		return err
	})
	return &session{number}, err
}

// ping is the probe: one request of the protocol that changes nothing.
func ping(ctx context.Context, c *conn.Conn) error {
	return c.Do(ctx, func() error {
		_, err := ask(c, "PING")
		return err
	})
}

// refusal is an error that the server has replied with. The session is still good.
type refusal struct{ text string }

func (r *refusal) Error() string { return "store: " + r.text }

// Kind tells metrics that the server has refused the request: see conn.KindOf.
func (r *refusal) Kind() string { return conn.KindApplication }

// ask is one request and its reply: a line each.
func ask(c *conn.Conn, request string) (string, error) {
	if _, err := c.Write([]byte(request + "\n")); err != nil {
		return "", err
	}
	line, err := c.ReadUntil(nil, []byte("\n"), 1<<10)
	if err != nil {
		return "", err
	}
	reply := strings.TrimSuffix(string(line), "\n")
	if text, failed := strings.CutPrefix(reply, "ERR "); failed {
		return "", &refusal{text}
	}
	return strings.TrimPrefix(reply, "OK "), nil
}

// get reads a key of a database. It returns the number of the session too.
func (s *store) get(ctx context.Context, database, key string) (value, number string, err error) {
	err = s.sessions.Do(ctx, func(c *pool.Conn) error {
		number = c.Session().(*session).number
		if _, err := ask(&c.Conn, "USE "+database); err != nil {
			return err
		}
		defer reset(c)
		value, err = ask(&c.Conn, "GET "+key)
		return err
	})
	return value, number, err
}

// reset undoes what a caller has done to the session, before the next one gets it.
// A session that cannot be reset is closed.
func reset(c *pool.Conn) {
	if c.Err() != nil {
		return // an operation has failed: Close will not keep the connection
	}
	if _, err := ask(&c.Conn, "RESET"); err != nil {
		c.EvictFor(err)
	}
}

// secretChanged closes the sessions that have logged in with the old secret: idle
// ones now, others when they are released.
func (s *store) secretChanged() { s.sessions.Clear() }

// notify sends a request whose reply nobody waits for. The connection must not be
// used again: its next caller would read that reply as its own.
func (s *store) notify(ctx context.Context, text string) error {
	return s.sessions.Do(ctx, func(c *pool.Conn) error {
		defer c.Evict()
		_, err := fmt.Fprintf(c, "LOG %s\n", text)
		return err
	})
}
