package lastcopy_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-99d6a01a/gtcp/internal/lastcopy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type settings struct {
	n    int
	text []byte
	f    func()
}

func TestOf(t *testing.T) {
	var l lastcopy.Last[settings]
	one := l.Of(settings{n: 1, text: []byte("x")})
	require.Equal(t, settings{n: 1, text: []byte("x")}, *one)
	require.Same(t, one, l.Of(settings{n: 1, text: []byte("x")}), "equal settings share a copy")
	two := l.Of(settings{n: 1, text: []byte("y")})
	require.Equal(t, settings{n: 1, text: []byte("y")}, *two)
	require.Equal(t, settings{n: 1, text: []byte("x")}, *one, "others have their own")
	require.NotSame(t, one, l.Of(*one), "it remembers the last only")
	f := settings{f: func() {}}
	require.NotSame(t, l.Of(f), l.Of(f), "functions are never equal")
}
