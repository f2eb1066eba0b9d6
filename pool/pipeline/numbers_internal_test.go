package pipeline

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
)

// Which numbers have been a call's tells a late reply from a push.
func TestNumbersThatWereHandedOut(t *testing.T) {
	known := func(table *numbers) (all []uint64) {
		for n := range uint64(13) {
			if table.handedOut(n) {
				all = append(all, n)
			}
		}
		return all
	}
	table := &numbers{max: 10}
	require.Empty(t, known(table))
	var calls []*call
	take := func() *call {
		c := &call{}
		table.put(c, table.next())
		calls = append(calls, c)
		return c
	}
	for range 3 {
		take()
	}
	require.Equal(t, []uint64{1, 2, 3}, known(table))
	for range 6 {
		take()
	}
	require.Equal(t, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9}, known(table))
	last := take()
	require.EqualValues(t, 10, last.number)
	require.Equal(t, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, known(table))
	require.Equal(t, 10, table.taken)
	for _, c := range calls {
		require.Same(t, c, table.find(c.number))
		require.Nil(t, table.find(c.number+uint64(len(table.slots))), "another number in the same place")
		table.free(c)
		require.Nil(t, table.find(c.number))
	}
	require.Zero(t, table.taken)
	require.EqualValues(t, 1, take().number)
	require.Equal(t, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, known(table))

	// The last number need not have been used to begin again.
	busy := &numbers{max: 3}
	two, three := &call{}, &call{}
	busy.next()
	busy.put(three, 3)
	busy.wrapped, busy.last = false, 1
	busy.put(two, busy.next())
	require.EqualValues(t, 2, two.number)
	require.False(t, busy.handedOut(3))
	one := &call{}
	busy.put(one, busy.next())
	require.EqualValues(t, 1, one.number)
	require.True(t, busy.handedOut(3))
}

// A call is refused if its reply would come later than the deadline, with a margin, at
// the pace of those before it; those out of turn do not count.
func TestTooLate(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		load, outOfTurn int
		each            time.Duration
		late            int64
		left            time.Duration
		want            bool
	}{
		"no crowd":                  {7, 0, ms, 0, 1, false},
		"a crowd":                   {8, 0, ms, 0, 1, true},
		"just too late":             {8, 0, ms, 0, 9*ms + 9*ms/4 - 1, true},
		"just in time":              {8, 0, ms, 0, 9*ms + 9*ms/4, false},
		"soon":                      {8, 0, 100 * time.Microsecond, 0, 1, false},
		"not so soon":               {9, 0, 100 * time.Microsecond, 0, 1, true},
		"after late ones":           {8, 0, ms, mostLate, 27*ms - 1, true},
		"after late ones, in time":  {8, 0, ms, mostLate, 27 * ms, false},
		"out of turn, too late":     {10, 2, ms, 0, 9*ms + 9*ms/4 - 1, true},
		"out of turn, in time":      {10, 2, ms, 0, 9*ms + 9*ms/4, false},
		"out of turn, no crowd":     {10, 3, ms, 0, 1, false},
		"out of turn, after late":   {10, 2, ms, mostLate, 27*ms - 1, true},
		"out of turn, late in time": {10, 2, ms, mostLate, 27 * ms, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sharedConn{p: &Pipeline{cfg: &Config{CallTimeout: c.left}}, overtaken: uint64(c.outOfTurn)}
			for i := range c.load {
				s.queue.push(&call{start: uint64(i)})
			}
			s.load.Store(int32(c.load))
			s.pace.each.Store(int64(c.each))
			s.pace.late.Store(c.late)
			require.Equal(t, c.want, s.tooLate(context.Background(), dueUnset))
			require.False(t, s.tooLate(context.Background(), dueNever))
		})
	}
	var p pace
	p.missed()
	require.EqualValues(t, 1, p.late.Load())
}

// The time between two calls is no pace of the replies, although a call whose reply is
// overdue waits all the while.
func TestPaceBesideAnOvertakenCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan net.Conn, 1)
		p, err := New(conn.Target{Dial: pipes(ends)}, framing.Format{}, Config{
			Match: Number{Size: 2}, MaxLifetime: -1, StallTimeout: -1,
		})
		require.NoError(t, err)
		ended := make(chan error, 8)
		call := func() {
			go func() {
				_, err := p.Call(context.Background(), []byte("__request"))
				ended <- err
			}()
		}
		call()
		there := <-ends
		frames := framing.NewReader(there, framing.Format{})
		reply := func() {
			frame, err := frames.Next()
			require.NoError(t, err)
			b, err := framing.Format{}.Append(nil, frame)
			require.NoError(t, err)
			synctest.Wait()
			_, err = there.Write(b)
			require.NoError(t, err)
			require.NoError(t, <-ended)
		}
		synctest.Wait()
		call() // there is no reply to this one
		reply()
		_, err = frames.Next()
		require.NoError(t, err)
		for range 6 {
			call()
			reply()
			time.Sleep(time.Minute)
		}
		require.Less(t, time.Duration(p.all()[0].pace.each.Load()), time.Second)
		require.NoError(t, p.Close())
		require.Error(t, <-ended)
		require.NoError(t, there.Close())
	})
}
