package engine_test

import (
	"testing"

	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/engine"
	"github.com/seed-99d6a01a/gtcp/pool/pooltest"
)

// What an example shows will be copied, so it is proved like any other store.
func TestStoreOfTheExample(t *testing.T) {
	pooltest.Run(t, func(f backend.Factory[*pooltest.Resource], l backend.Limits) (backend.Backend[*pooltest.Resource], error) {
		return engine.Open(f, l, &line[*pooltest.Resource]{})
	})
}
