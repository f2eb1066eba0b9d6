package custompool_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/examples/custompool"
	"github.com/seed-99d6a01a/gtcp/pool/pooltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	pooltest.Run(t, custompool.Open[*pooltest.Resource])
}
