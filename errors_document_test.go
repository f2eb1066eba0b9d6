package gtcp_test

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/conn"
	"github.com/seed-99d6a01a/gtcp/framing"
	"github.com/seed-99d6a01a/gtcp/framing/envelope"
	"github.com/seed-99d6a01a/gtcp/pool"
	"github.com/seed-99d6a01a/gtcp/pool/backend"
	"github.com/seed-99d6a01a/gtcp/pool/balance"
	"github.com/seed-99d6a01a/gtcp/pool/pipeline"
	"github.com/seed-99d6a01a/gtcp/pool/resolve"
	"github.com/seed-99d6a01a/gtcp/retry"
	"github.com/seed-99d6a01a/gtcp/server"
)

// sentinels are the errors to compare with; internal/arch holds the page against
// the exported names, so none can be missing there, and none here.
var sentinels = map[string]error{
	"io.EOF": io.EOF, "io.ErrUnexpectedEOF": io.ErrUnexpectedEOF, "net.ErrClosed": net.ErrClosed,
	"context.DeadlineExceeded": context.DeadlineExceeded, "context.Canceled": context.Canceled,
	"conn.ErrPeerClosed": conn.ErrPeerClosed, "conn.ErrUnread": conn.ErrUnread, "conn.ErrBusy": conn.ErrBusy,
	"conn.ErrMidMessage": conn.ErrMidMessage, "conn.ErrDeadlineSet": conn.ErrDeadlineSet, "conn.ErrUnfit": conn.ErrUnfit,
	"conn.ErrBufferFull": conn.ErrBufferFull, "conn.ErrEmptyDelimiter": conn.ErrEmptyDelimiter, "conn.ErrNegativeCount": conn.ErrNegativeCount,
	"framing.ErrMalformed": framing.ErrMalformed, "framing.ErrReadOnly": framing.ErrReadOnly, "envelope.ErrMalformed": envelope.ErrMalformed,
	"pool.ErrClosed": pool.ErrClosed, "pool.ErrTooManyWaiters": pool.ErrTooManyWaiters, "pool.ErrOverloaded": pool.ErrOverloaded,
	"backend.ErrClosed": backend.ErrClosed, "backend.ErrTooManyWaiters": backend.ErrTooManyWaiters,
	"backend.ErrOverloaded": backend.ErrOverloaded, "backend.ErrStale": backend.ErrStale,
	"pipeline.ErrCallTimeout": pipeline.ErrCallTimeout, "pipeline.ErrClosed": pipeline.ErrClosed, "pipeline.ErrTooManyWaiters": pipeline.ErrTooManyWaiters,
	"pipeline.ErrOverloaded": pipeline.ErrOverloaded, "pipeline.ErrUnsolicited": pipeline.ErrUnsolicited,
	"pipeline.ErrStalled": pipeline.ErrStalled, "pipeline.ErrNoHeartbeat": pipeline.ErrNoHeartbeat,
	"pipeline.ErrGoodbye": pipeline.ErrGoodbye, "pipeline.ErrNoNumber": pipeline.ErrNoNumber,
	"balance.ErrClosed": balance.ErrClosed, "balance.ErrNoEndpoints": balance.ErrNoEndpoints,
	"server.ErrServerClosed": server.ErrServerClosed, "server.ErrOverloaded": server.ErrOverloaded,
	"server.ErrNoReply": server.ErrNoReply, "server.ErrNoFrames": server.ErrNoFrames,
}

// TestErrorsDocument asks each error of docs/errors.md what the page says of it.
func TestErrorsDocument(t *testing.T) {
	page, err := os.ReadFile("docs/errors.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(page), "\n## Errors to compare with\n")
	require.True(t, ok)
	table, _, _ = strings.Cut(table, "\n## ")
	seen := map[string]bool{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			name = strings.Trim(name, " `")
			err, ok := sentinels[name]
			require.True(t, ok, "%s is not among the errors of this test", name)
			require.Equal(t, strings.TrimSpace(cells[2]), conn.KindOf(err), name)
			require.Equal(t, strings.TrimSpace(cells[3]) == "yes", retry.SafeToRetry(err), name)
			seen[name] = true
		}
	}
	for name := range sentinels {
		require.True(t, seen[name], "docs/errors.md has no row for %s", name)
	}
}

// TestSessionPoolDocumentHasEachReason holds the table of docs/session-pool.md.
func TestSessionPoolDocumentHasEachReason(t *testing.T) {
	page, err := os.ReadFile("docs/session-pool.md")
	require.NoError(t, err)
	for reason := range len(pool.Evictions{}) {
		if reason > 0 {
			require.Contains(t, string(page), "`, `"+pool.Reason(reason).String()+"` |")
		}
	}
}

// TestClientDocumentServers reads the servers of docs/client.md, and holds its table of
// states.
func TestClientDocumentServers(t *testing.T) {
	page, err := os.ReadFile("docs/client.md")
	require.NoError(t, err)
	_, text, ok := strings.Cut(string(page), "```json\n")
	require.True(t, ok)
	text, _, _ = strings.Cut(text, "```")
	set, err := resolve.ParseJSON([]byte(text))
	require.NoError(t, err)
	require.Equal(t, []resolve.Endpoint{{Addr: "10.0.0.1:80"}, {Addr: "10.0.0.2:80", Weight: 3, Zone: "eu-1", Priority: 1}}, set)
	for state := balance.State(0); state.String() != "unknown"; state++ {
		require.Contains(t, string(page), "\n| "+state.String()+" | ")
	}
}
