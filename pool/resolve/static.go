package resolve

import (
	"context"
	"slices"
)

// Static is a set that never changes.
type Static []Endpoint

// Addrs returns the fixed set of TCP addresses, each with weight 1.
func Addrs(addrs ...string) Static {
	set := make(Static, len(addrs))
	for i, addr := range addrs {
		set[i].Addr = addr
	}
	return set
}

// Watch reports the set once and returns nil.
func (s Static) Watch(ctx context.Context, update func([]Endpoint, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	update(Normalize(s), nil)
	return nil
}

// Filter returns a resolver that reports the endpoints of r for which keep
// returns true. It passes on errors and Refresh. Where keep returns true for
// none, the set is empty.
func Filter(r Resolver, keep func(Endpoint) bool) Resolver { return &filter{r, keep} }

type filter struct {
	Resolver
	keep func(Endpoint) bool
}

func (f *filter) Refresh() { refresh(f.Resolver) }

func (f *filter) Watch(ctx context.Context, update func([]Endpoint, error)) error {
	return f.Resolver.Watch(ctx, func(set []Endpoint, err error) {
		if err != nil {
			update(nil, err)
			return
		}
		update(slices.DeleteFunc(slices.Clone(set), func(e Endpoint) bool { return !f.keep(e) }), nil)
	})
}
