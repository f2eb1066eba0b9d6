package pooltest_test

import (
	"testing"

	"github.com/seed-99d6a01a/gtcp/pool/pooltest"
	"github.com/seed-99d6a01a/gtcp/pool/slotpool"
)

// In the tests of a backend of one's own this is all there is to write, with its
// Open in the place of slotpool's. Run it with -race. (It has no output to
// compare: it is compiled here, and run where it is a test.)
func ExampleRun() {
	_ = func(t *testing.T) { // func TestBackend(t *testing.T)
		pooltest.Run(t, slotpool.Open[*pooltest.Resource])
	}
}
