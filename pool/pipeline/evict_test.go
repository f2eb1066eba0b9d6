package pipeline_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/stretchr/testify/require"
)

func TestEvictConn(t *testing.T) {
	inBubble(t, pipeline.Config{}, func(b *bubble) {
		require.False(b, b.EvictConn(1), "there is none yet")
		first := b.exchange()
		require.True(b, b.EvictConn(1))
		synctest.Wait()
		require.Empty(b, slices.Collect(b.Conns()), "nothing in flight: it is closed")
		_, err := first.frames.Next()
		require.Error(b, err)
		require.False(b, b.EvictConn(1), "it has ended")

		o := b.call(bg, "slow")
		second := b.accept()
		second.asked("slow")
		require.True(b, b.EvictConn(2))
		require.True(b, b.EvictConn(2), "again")
		next := b.call(bg, "next")
		third := b.accept()
		third.asked("next")
		third.reply("reply 3")
		next.replied("reply 3")
		o.pending()
		second.reply("reply 2")
		o.replied("reply 2")
		_, err = second.frames.Next()
		require.Error(b, err)
		require.Equal(b, pipeline.Ends{pipeline.Evicted: 2}, b.Stat().Ends)
		all := slices.Collect(b.Conns())
		require.Len(b, all, 1)
		require.EqualValues(b, 3, all[0].ID)
	})
}
