package signal_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/internal/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSendWakesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s signal.Signal
		s.Send() // nobody waits
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { <-s.Next() })
		}
		synctest.Wait()
		s.Send()
		wg.Wait()
		next := s.Next()
		require.Equal(t, next, s.Next(), "one channel for all who wait")
		select {
		case <-next:
			t.Fatal("a Send is over for those who ask after it")
		default:
		}
		s.Send()
		<-next
	})
}
