package framing_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/stretchr/testify/require"
)

// TestWireDocument checks the rows "payload | header | on the wire" of the
// specification.
func TestWireDocument(t *testing.T) {
	doc, err := os.ReadFile("../docs/wire.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(doc), "## Bytes")
	require.True(t, found)
	rows := regexp.MustCompile("(?m)^\\| (.+) \\| (\\d) \\| `(.+)` \\|$").FindAllStringSubmatch(table, -1)
	require.Len(t, rows, 6)
	for _, row := range rows {
		header, err := strconv.Atoi(row[2])
		require.NoError(t, err)
		var wire []byte
		for _, p := range payloadsOf(row[1]) {
			wire, err = framing.Format{HeaderSize: header}.Append(wire, p)
			require.NoError(t, err)
		}
		front, back, cut := strings.Cut(row[3], " … ")
		if !cut {
			require.Equal(t, plainHex(front), hex.EncodeToString(wire))
			continue
		}
		require.True(t, strings.HasPrefix(hex.EncodeToString(wire), plainHex(front)))
		require.True(t, strings.HasSuffix(hex.EncodeToString(wire), plainHex(back)))
	}
}

func plainHex(s string) string { return strings.ReplaceAll(s, " ", "") }

// payloadsOf reads a payload as the document writes it.
func payloadsOf(s string) [][]byte {
	if s == "empty" {
		return [][]byte{nil}
	}
	if count, unit, ok := strings.Cut(s, " × "); ok {
		n, _ := strconv.Atoi(count)
		b, _ := hex.DecodeString(strings.Trim(unit, "`"))
		return [][]byte{bytes.Repeat(b, n)}
	}
	var payloads [][]byte
	for _, p := range strings.Split(s, ", then ") {
		payloads = append(payloads, []byte(strings.Trim(p, "`")))
	}
	return payloads
}
