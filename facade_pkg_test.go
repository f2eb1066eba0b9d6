package gtcp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp"
	"github.com/seed-99d6a01a/gtcp/conn"
)

func TestPkgOnTheWire(t *testing.T) {
	for size, header := range map[int]string{0: "\x00\x05", 1: "\x05", 2: "\x00\x05", 3: "\x00\x00\x05", 4: "\x00\x00\x00\x05"} {
		c, far := peer(t)
		option := gtcp.PkgOption{HeaderSize: size}
		require.NoError(t, c.SendPkg([]byte("hello"), option))
		sent := make([]byte, len(header)+5)
		_, err := io.ReadFull(far, sent)
		require.NoError(t, err)
		require.Equal(t, header+"hello", string(sent))
		_, err = far.Write(sent)
		require.NoError(t, err)
		got, err := c.RecvPkg(option)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	}
}

func TestPkgOfEverySize(t *testing.T) {
	addr := rawServer(t, echo)
	for header, sizes := range map[int][]int{
		1: {1, 254, 255},
		2: {1, 4093, 4094, 4095, 16383, 16384, 65535},
		3: {65536, 1 << 20},
		4: {3 << 20},
	} {
		c, err := gtcp.NewConn(addr)
		require.NoError(t, err)
		for _, size := range sizes {
			data := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
			got, err := c.SendRecvPkg(data, gtcp.PkgOption{HeaderSize: header})
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got), "header %d, size %d", header, size)
		}
		require.NoError(t, c.Close())
	}
}

func TestEmptyPkg(t *testing.T) {
	addr := rawServer(t, echo)
	c, err := gtcp.NewConn(addr)
	require.NoError(t, err)
	defer c.Close()
	for _, data := range [][]byte{nil, {}} {
		got, err := c.SendRecvPkgWithTimeout(data, hang())
		require.NoError(t, err)
		require.Nil(t, got)
	}
}

func TestPkgErrors(t *testing.T) {
	for _, test := range []struct {
		option gtcp.PkgOption
		size   int
		field  string
		says   string
	}{
		{gtcp.PkgOption{}, 65536, "data", "data too long, data size 65536 exceeds allowed max data size 65535"},
		{gtcp.PkgOption{HeaderSize: 1}, 256, "data", "data too long, data size 256 exceeds allowed max data size 255"},
		{gtcp.PkgOption{MaxDataSize: 4}, 5, "data", "data too long, data size 5 exceeds allowed max data size 4"},
		{gtcp.PkgOption{HeaderSize: 5}, 1, "HeaderSize", "package header size 5 definition exceeds max header size 4"},
		{gtcp.PkgOption{HeaderSize: -1}, 1, "HeaderSize", "package option HeaderSize is negative: -1"},
		{gtcp.PkgOption{MaxDataSize: -1}, 1, "MaxDataSize", "package option MaxDataSize is negative: -1"},
		{gtcp.PkgOption{HeaderSize: 1, MaxDataSize: 300}, 1, "MaxDataSize", "package data size 300 definition exceeds allowed max data size 255"},
		{gtcp.PkgOption{MaxDataSize: 1 << 16}, 1, "MaxDataSize", "package data size 65536 definition exceeds allowed max data size 65535"},
	} {
		c, _ := peer(t)
		for _, err := range []error{
			c.SendPkg(make([]byte, test.size), test.option),
			c.SendPkgWithTimeout(make([]byte, test.size), time.Second, test.option),
		} {
			var bad *gtcp.PkgError
			require.True(t, errors.As(err, &bad))
			require.Equal(t, test.field, bad.Field)
			require.Equal(t, conn.KindProtocol, conn.KindOf(err))
			require.EqualError(t, err, test.says)
		}
		if test.field != "data" {
			_, err := c.RecvPkg(test.option)
			require.EqualError(t, err, test.says)
			_, err = c.SendRecvPkg([]byte("x"), test.option)
			require.EqualError(t, err, test.says)
			_, err = c.SendRecvPkgWithTimeout([]byte("x"), time.Second, test.option)
			require.EqualError(t, err, test.says)
		}
	}
}

func TestPkgCutByTheEndAtEveryOffset(t *testing.T) {
	for _, size := range []int{8, 6000} {
		data := bytes.Repeat([]byte("x"), size)
		wire := append(binary.BigEndian.AppendUint32(nil, uint32(size)), data...)
		for _, cut := range []int{0, 1, 2, 3, 4, 5, 8, 11, size / 2, size + 3} {
			c, far := peer(t)
			_, err := far.Write(wire[:min(cut, len(wire)-1)])
			require.NoError(t, err)
			require.NoError(t, far.Close())
			got, err := c.RecvPkg(gtcp.PkgOption{HeaderSize: 4})
			require.Equal(t, io.EOF, err)
			require.Equal(t, max(0, min(cut, len(wire)-1)-4), len(got), "cut at %d", cut)
			if cut < 4 {
				require.Nil(t, got)
			}
			_, err = c.RecvPkg(gtcp.PkgOption{HeaderSize: 4})
			require.Equal(t, io.EOF, err)
		}
	}
}

func TestPollingWithTimeouts(t *testing.T) {
	c, far := peer(t)
	wire := append([]byte{0x13, 0x88}, bytes.Repeat([]byte("x"), 5000)...)
	next := make(chan byte)
	go func() {
		for i := range next {
			n := min(len(wire), 1+int(i))
			_, _ = far.Write(wire[:n])
			wire = wire[n:]
		}
	}()
	defer close(next)
	// Every attempt but the last meets a package cut elsewhere.
	for i := range 20 {
		next <- byte(i)
		got, err := c.RecvPkgWithTimeout(2 * time.Millisecond)
		timeout, ok := err.(net.Error)
		require.True(t, ok)
		require.True(t, timeout.Timeout())
		require.Nil(t, got)
	}
	go func() {
		for i := 0; i < 5000; i += 250 {
			next <- 249
		}
	}()
	got, err := c.RecvPkgWithTimeout(hang())
	require.NoError(t, err)
	require.Len(t, got, 5000)
}

// A package that a timeout cut is finished in the format it was begun in, and
// the next one may have another.
func TestPkgOptionsChangeBetweenPackages(t *testing.T) {
	c, far := peer(t)
	_, err := far.Write([]byte{0, 0, 0x20, 0})
	require.NoError(t, err)
	_, err = c.RecvPkgWithTimeout(10*time.Millisecond, gtcp.PkgOption{HeaderSize: 4})
	require.Error(t, err)
	_, err = far.Write(append(make([]byte, 0x2000), "\x02ab\x00\x03cdeFrest"...))
	require.NoError(t, err)
	got, err := c.RecvPkg()
	require.NoError(t, err)
	require.Len(t, got, 0x2000)
	got, err = c.RecvPkg(gtcp.PkgOption{HeaderSize: 1})
	require.NoError(t, err)
	require.Equal(t, "ab", string(got))
	got, err = c.RecvPkg(gtcp.PkgOption{})
	require.NoError(t, err)
	require.Equal(t, "cde", string(got))
	first, err := c.Recv(1)
	require.NoError(t, err)
	require.Equal(t, "F", string(first), "other reads begin behind the last package")
	rest := make([]byte, 4)
	_, err = io.ReadFull(c, rest)
	require.NoError(t, err)
	require.Equal(t, "rest", string(rest))
}

func TestPkgResultsAreTheCallers(t *testing.T) {
	c, far := peer(t)
	_, err := far.Write([]byte("\x00\x03one\x00\x03two\x00\x03six"))
	require.NoError(t, err)
	var got [][]byte
	for range 3 {
		data, err := c.RecvPkg()
		require.NoError(t, err)
		got = append(got, data)
	}
	require.Equal(t, "one two six", string(bytes.Join(got, []byte(" "))))
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	addr := rawServer(t, echo)
	data := make([]byte, 64)
	call := func() {
		c, err := gtcp.NewPoolConn(addr)
		if err == nil {
			_, err = c.SendRecvPkg(data)
		}
		if err == nil {
			err = c.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
	for range 200 {
		call() // handles come in chunks that grow
	}
	require.LessOrEqual(t, testing.AllocsPerRun(1000, call), 2.0)

	c, err := gtcp.NewConn(addr)
	require.NoError(t, err)
	defer c.Close()
	large := make([]byte, 65535)
	for _, data := range [][]byte{data, large} {
		require.LessOrEqual(t, testing.AllocsPerRun(200, func() {
			if _, err := c.SendRecvPkg(data); err != nil {
				t.Error(err)
			}
		}), 1.0)
	}
}
