package pipeline_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
)

// The table of docs/wire.md: the start of a request and of its reply of each
// protocol, filled up to the length that it says, with the number they share. What the
// server sends on its own is no reply, although it may have the same number.
func TestProtocolsOfTheWireDocument(t *testing.T) {
	for _, c := range []struct {
		name           string
		format         framing.Format
		match          pipeline.Matcher
		request, reply string
		number         uint64
		own            string // a message that the server sends on its own
	}{
		{"DNS", framing.Format{}, pipeline.Number{Size: 2},
			"001d abcd 0100 0001", "002d abcd 8180 0001", 0xabcd, ""},
		{"Modbus/TCP", framing.Format{HeaderSize: 2, LengthOffset: 4, Strip: -1}, pipeline.Number{Size: 2},
			"0102 0000 0006 11 03 006b 0003", "0102 0000 0009 11 03 06", 0x0102, ""},
		{"Kafka", framing.Format{HeaderSize: 4}, pipeline.Number{Offset: 4, Size: 4, Reply: &pipeline.Number{Size: 4}},
			"00000014 0012 0003 00000007 0004", "0000000a 00000007 0000", 7, ""},
		{"ZooKeeper", framing.Format{HeaderSize: 4}, pipeline.Number{Size: 4},
			"0000000c 00000009 00000004", "00000010 00000009 0000", 9, ""},
		{"SMPP", framing.Format{HeaderSize: 4, LengthAdjust: -4, Strip: -1}, twoWay{pipeline.Number{Offset: 12, Size: 4}, 4, 0x80, 1<<31 - 1},
			"00000010 00000015 00000000 0000002a", "00000010 80000015 00000000 0000002a", 0x2a,
			"00000010 00000015 00000000 0000002a"},
		{"CMPP", framing.Format{HeaderSize: 4, LengthAdjust: -4, Strip: -1}, twoWay{pipeline.Number{Offset: 8, Size: 4}, 4, 0x80, 1<<32 - 1},
			"0000000c 00000008 0000002b", "0000000d 80000008 0000002b 00", 0x2b,
			"0000000c 00000008 0000002b"},
		{"Cassandra", framing.Format{HeaderSize: 4, LengthOffset: 5, Strip: -1}, twoWay{pipeline.Number{Offset: 2, Size: 2}, 0, 0x80, 1<<15 - 1},
			"04 00 0005 07 00000010", "84 00 0005 08 00000004", 5, ""},
		{"memcached", framing.Format{HeaderSize: 4, LengthOffset: 8, LengthAdjust: 12, Strip: -1}, pipeline.Number{Offset: 12, Size: 4},
			"80 00 0005 00 00 0000 00000005 deadbeef 0000000000000000 48656c6c6f",
			"81 00 0000 04 00 0000 00000009 deadbeef 0000000000000001", 0xdeadbeef, ""},
		{"Diameter", framing.Format{HeaderSize: 3, LengthOffset: 1, LengthAdjust: -4, Strip: -1}, twoWay{pipeline.Number{Offset: 12, Size: 4}, 4, 0, 1<<32 - 1},
			"01 000020 80 000118 00000000 00000bad 12345678", "01 000014 00 000118 00000000 00000bad", 0xbad,
			"01 000020 80 000118 00000000 00000bad 12345678"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, c.format.Writable())
			require.NoError(t, pipeline.Config{Match: c.match}.Validate())
			request, reply := firstFrame(t, c.format, c.request), firstFrame(t, c.format, c.reply)
			n, ok := c.match.Get(reply)
			require.True(t, ok)
			require.Equal(t, c.number, n)
			old, ok := c.match.Put(request, 1)
			require.True(t, ok)
			require.Equal(t, c.number, old)
			if c.own != "" {
				_, ok = c.match.Get(firstFrame(t, c.format, c.own))
				require.False(t, ok, "a request of the server")
			}
		})
	}
}

// firstFrame is what the Reader returns of a message that begins so.
func firstFrame(t *testing.T, f framing.Format, start string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(start, " ", ""))
	require.NoError(t, err)
	r := framing.NewReader(bytes.NewReader(append(b, make([]byte, 100)...)), f)
	frame, err := r.Next()
	require.NoError(t, err)
	return frame
}
