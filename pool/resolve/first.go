package resolve

import (
	"context"
	"errors"
	"sync"

	"github.com/seed-99d6a01a/gtcp/internal/contain"
)

// First returns a resolver that uses the first of several resolvers that has a
// set, in the order of the arguments. For example: a registry, then a file with
// its last contents, then a fixed list. A resolver is not used while it has
// reported only errors or its set is empty. A resolver that has a set keeps its
// place when it fails later: its last set stays in use. All of them are watched
// all the time.
func First(resolvers ...Resolver) Resolver { return first(resolvers) }

type first []Resolver

// report is what the resolver of that index said.
type report struct {
	index int
	set   []Endpoint
	err   error
}

// heard is the state of one resolver of a first.
type heard struct {
	set  []Endpoint
	err  error
	said bool // it has reported a set or an error
	ok   bool // it has reported a set
}

func (f first) Refresh() {
	for _, r := range f {
		refresh(r)
	}
}

func (f first) Watch(ctx context.Context, update func([]Endpoint, error)) error {
	if len(f) == 0 {
		return &ConfigError{Field: "First", Problem: "has no resolver"}
	}
	inner, cancel := context.WithCancel(ctx)
	reports := make(chan report)
	var watchers sync.WaitGroup
	for i, r := range f {
		watchers.Go(func() {
			send := func(set []Endpoint, err error) {
				select {
				case reports <- report{i, set, err}:
				case <-inner.Done():
				}
			}
			var err error
			if panicked := contain.Call("Watch of a resolver", func() { err = r.Watch(inner, send) }); panicked != nil {
				err = panicked
			}
			if err != nil && inner.Err() == nil {
				send(nil, err)
			}
		})
	}
	ended := make(chan struct{})
	go func() { watchers.Wait(); close(ended) }()
	defer func() { cancel(); <-ended }()

	merge := merging{heard: make([]heard, len(f))}
	for {
		select {
		case r := <-reports:
			merge.take(r, update)
		case <-ended:
			return merge.end(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// merging is the state of one Watch of a first.
type merging struct {
	heard    []heard
	known    []Endpoint // reported last
	reported bool
}

// take notes a report and passes on what follows from it.
func (m *merging) take(r report, update func([]Endpoint, error)) {
	h := &m.heard[r.index]
	h.said, h.err = true, r.err
	if r.err == nil {
		h.ok, h.set = true, Normalize(r.set)
	}
	use := m.choose()
	switch {
	case use >= 0 && (!m.reported || !equal(m.known, m.heard[use].set)):
		m.known, m.reported = m.heard[use].set, true
		update(m.known, nil)
	case r.err != nil && (use == r.index || use < 0 && m.allSaid()):
		update(nil, m.errors())
	case use == r.index && r.err == nil:
		update(m.known, nil) // it works again
	}
}

// choose returns the index of the resolver to use, or -1 while there is none.
func (m *merging) choose() int {
	empty := -1
	for i, h := range m.heard {
		switch {
		case !h.said:
			return -1 // its set may come yet
		case len(h.set) > 0:
			return i
		case h.ok && empty < 0:
			empty = i
		}
	}
	return empty
}

func (m *merging) allSaid() bool {
	for _, h := range m.heard {
		if !h.said {
			return false
		}
	}
	return true
}

func (m *merging) errors() error {
	var all []error
	for _, h := range m.heard {
		all = append(all, h.err)
	}
	return errors.Join(all...)
}

// end is what Watch returns after all watchers have returned.
func (m *merging) end(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return m.errors()
}
