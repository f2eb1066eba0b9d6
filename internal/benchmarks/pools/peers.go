package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"runtime"
	"time"

	fatih "github.com/fatih/pool"
	"github.com/gogf/gf/v2/container/gpool"
	"github.com/jackc/puddle/v2"
	silenceper "github.com/silenceper/pool"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/puddlepool"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// lender does n acquires, each with its release, and if yield is set lets others
// run between the two.
type lender interface{ run(n int, yield bool) }

// kind is a way to open a pool of at most so many connections.
type kind struct {
	name string
	open func(ctx context.Context, conns int) (lender, error)
}

// bareKinds are the pools without a frontend, the one they are compared with
// first.
var bareKinds = []kind{
	{"puddle", openPuddle},
	{"puddlepool", ours(puddlepool.Open[*conn])},
	{"slotpool", ours(slotpool.Open[*conn])},
	{"database/sql", openSQL},
	{"fatih", openFatih},
	{"silenceper", openSilenceper},
	{"gpool (gtcp)", openGpool},
}

// conn is what all pools keep: nothing that costs time.
type conn struct{ net.Conn }

func (*conn) Close() error { return nil }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func hold(yield bool) {
	if yield {
		runtime.Gosched()
	}
}

type bare struct {
	ctx context.Context
	b   backend.Backend[*conn]
}

func ours(open backend.OpenFunc[*conn]) func(context.Context, int) (lender, error) {
	return func(ctx context.Context, conns int) (lender, error) {
		b, err := open(backend.Factory[*conn]{
			New:   func(context.Context) (*conn, error) { return &conn{}, nil },
			Close: func(*conn) {},
		}, backend.Limits{Max: conns})
		return bare{ctx, b}, err
	}
}

func (p bare) run(n int, yield bool) {
	for range n {
		l, err := p.b.Acquire(p.ctx)
		must(err)
		hold(yield)
		must(p.b.Return(l, backend.Keep))
	}
}

type puddlePool struct {
	ctx context.Context
	p   *puddle.Pool[*conn]
}

func openPuddle(ctx context.Context, conns int) (lender, error) {
	p, err := puddle.NewPool(&puddle.Config[*conn]{
		Constructor: func(context.Context) (*conn, error) { return &conn{}, nil },
		Destructor:  func(*conn) {},
		MaxSize:     int32(conns),
	})
	for i := 0; err == nil && i < conns; i++ {
		err = p.CreateResource(ctx)
	}
	return puddlePool{ctx, p}, err
}

func (p puddlePool) run(n int, yield bool) {
	for range n {
		r, err := p.p.Acquire(p.ctx)
		must(err)
		hold(yield)
		r.Release()
	}
}

type sqlPool struct {
	ctx context.Context
	db  *sql.DB
}

func openSQL(ctx context.Context, conns int) (lender, error) {
	db := sql.OpenDB(connector{})
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return sqlPool{ctx, db}, nil
}

func (p sqlPool) run(n int, yield bool) {
	for range n {
		c, err := p.db.Conn(p.ctx)
		must(err)
		hold(yield)
		must(c.Close())
	}
}

type connector struct{}

func (connector) Connect(context.Context) (driver.Conn, error) { return sqlConn{}, nil }
func (connector) Driver() driver.Driver                        { return nil }

type sqlConn struct{}

var errUnused = errors.New("not used")

func (sqlConn) Prepare(string) (driver.Stmt, error) { return nil, errUnused }
func (sqlConn) Begin() (driver.Tx, error)           { return nil, errUnused }
func (sqlConn) Close() error                        { return nil }

type fatihPool struct{ p fatih.Pool }

func openFatih(_ context.Context, conns int) (lender, error) {
	p, err := fatih.NewChannelPool(conns, conns, func() (net.Conn, error) { return &conn{}, nil })
	return fatihPool{p}, err
}

func (p fatihPool) run(n int, yield bool) {
	for range n {
		c, err := p.p.Get()
		must(err)
		hold(yield)
		must(c.Close())
	}
}

type silenceperPool struct{ p silenceper.Pool }

func openSilenceper(_ context.Context, conns int) (lender, error) {
	p, err := silenceper.NewChannelPool(&silenceper.Config{
		InitialCap:  conns,
		MaxIdle:     conns,
		MaxCap:      conns,
		Factory:     func() (any, error) { return &conn{}, nil },
		Close:       func(any) error { return nil },
		IdleTimeout: 10 * time.Minute,
	})
	return silenceperPool{p}, err
}

func (p silenceperPool) run(n int, yield bool) {
	for range n {
		c, err := p.p.Get()
		must(err)
		hold(yield)
		must(p.p.Put(c))
	}
}

type gpoolPool struct{ p *gpool.Pool }

// openGpool opens what gtcp's pool is made of, with gtcp's lifetime.
func openGpool(context.Context, int) (lender, error) {
	return gpoolPool{gpool.New(10*time.Minute, func() (any, error) { return &conn{}, nil })}, nil
}

func (p gpoolPool) run(n int, yield bool) {
	for range n {
		c, err := p.p.Get()
		must(err)
		hold(yield)
		must(p.p.Put(c))
	}
}
