package puddlepool_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/pool/pooltest"
	"github.com/seed-99d6a01a/gtcp/pool/puddlepool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	pooltest.Run(t, puddlepool.Open[*pooltest.Resource])
}
