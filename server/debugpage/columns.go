package debugpage

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How a row is marked that an operator should look at.
const (
	markWarn = "warn"
	markBad  = "bad"
)

// begin makes the tables, without rows.
func (c *collector) begin() {
	c.clients = table{
		key: "clients", head: "name", title: "Clients", order: "name",
		about: "Each client, with the calls that were made since it was made.",
		columns: []column{
			{"name", "Name", letters}, {"addr", "Address", letters}, {"mode", "Connections", letters},
			{"servers", "Servers available", digits}, {"calls", "Calls", digits}, {"callRate", "Calls/s", digits},
			{"failed", "Failed", digits}, {"failRate", "Failed/s", digits}, {"kinds", "Failed by kind", prose},
			{"retries", "Retries", digits}, {"hedges", "Hedges", digits}, {"resolveError", "Last error of the resolver", prose},
		},
	}
	c.endpoints = table{
		key: "endpoints", head: "addr", title: "Servers of clients", order: "client",
		about: "The servers of each client with a resolver, and whether they get calls.",
		columns: []column{
			{"client", "Client", letters}, {"addr", "Address", letters}, {"state", "State", letters}, {"since", "For", digits},
			{"inFlight", "In flight", digits}, {"latency", "Latency", digits}, {"succeeded", "Succeeded", digits}, {"failed", "Failed", digits}, {"refused", "Refused", digits},
			{"open", "Connections", digits}, {"zone", "Zone", letters}, {"priority", "Priority", digits}, {"weight", "Weight", digits},
		},
	}
	c.pools = table{
		key: "pools", head: "name", title: "Pools", order: "name",
		about: "Each pool. A connection is idle, or one caller uses it.",
		columns: append(owner(), []column{
			{"open", "Open", digits}, {"idle", "Idle", digits}, {"used", "In use", digits}, {"limit", "Limit", digits},
			{"waiting", "Waiting", digits}, {"oldestWait", "Longest wait now", digits}, {"gets", "Check\u00adouts", digits}, {"getRate", "Check\u00adouts/s", digits},
			{"hold", "Checkout takes", digits}, {"wait", "Average wait", digits}, {"failed", "Failed check\u00adouts", digits}, {"canceled", "", digits},
			{"dials", "Dials", digits}, {"dialErrors", "Failed dials", digits}, {"dialing", "Dialing", prose}, {"suspended", "", letters}, {"dialError", "", letters},
			{"ended", "Connections ended, by reason", prose},
		}...),
	}
	c.pipelines = table{
		key: "pipelines", head: "name", title: "Pipelines", order: "name",
		about: "Each pipeline. Its calls share a few connections.",
		columns: append(owner(), []column{
			{"open", "Open", digits}, {"inFlight", "In flight", digits}, {"abandoned", "Abandoned", digits}, {"waiting", "Waiting", digits},
			{"calls", "Calls", digits}, {"callRate", "Calls/s", digits}, {"replies", "Replies", digits},
			{"failed", "Failed", digits}, {"timeouts", "Timed out", digits}, {"canceled", "Canceled", digits}, {"late", "Late replies", digits},
			{"perWrite", "Calls per write", digits}, {"dials", "Dials", digits}, {"dialErrors", "Failed dials", digits},
			{"dialing", "Dialing", prose}, {"suspended", "", letters}, {"dialError", "", letters}, {"ended", "Connections ended, by reason", letters},
		}...),
	}
	c.servers = table{
		key: "servers", head: "name", title: "Servers", order: "name",
		about: "Each server of this program.",
		columns: []column{
			{"name", "Name", letters}, {"listeners", "Listeners", digits}, {"open", "Open", digits}, {"active", "Active", digits}, {"idle", "Idle", digits},
			{"inProgress", "Requests in progress", digits}, {"limiter", "Limit of requests", digits}, {"requests", "Requests", digits}, {"requestRate", "Requests/s", digits},
			{"accepted", "Accepted", digits}, {"refused", "Connections refused", digits}, {"overloaded", "Requests refused", digits},
			{"oversize", "Too large", digits}, {"panics", "Panics", digits}, {"handshakes", "Failed handshakes", digits}, {"acceptErrors", "Accept errors", digits},
			{"readTimeouts", "Read timeouts", digits}, {"writeTimeouts", "Write timeouts", digits}, {"idleTimeouts", "Idle timeouts", digits},
		},
	}
	c.beginRows()
}

// beginRows makes the tables of connections and events.
func (c *collector) beginRows() {
	c.conns = table{
		key: "conns", head: "name", title: "Connections", order: "name",
		about: "Each open connection of all the above.",
		columns: []column{
			{"kind", "Of", letters}, {"name", "Name", letters}, {"id", "Number", digits}, {"remote", "Remote address", letters}, {"local", "Local address", letters},
			{"state", "State", letters}, {"age", "Age", digits}, {"idle", "Idle for", digits}, {"expires", "Expires in", digits}, {"uses", "Uses", digits},
			{"inFlight", "In flight", digits}, {"read", "Received", digits}, {"written", "Sent", digits},
		},
	}
	c.failures = table{
		key: "errors", head: "name", title: "Recent errors", order: "last",
		about: "Errors that the hooks of this page have seen. Those of one kind at one address count as one; the text is the last one's.",
		columns: []column{
			{"last", "Last, ago", digits}, {"count", "Count", digits}, {"name", "Name", letters}, {"what", "What failed", letters}, {"addr", "Address", letters},
			{"kind", "Kind", letters}, {"text", "Error", prose}, {"took", "Took", digits}, {"note", "Note", letters}, {"first", "First, ago", digits},
		},
	}
	c.slow = table{
		key: "slow", head: "name", title: "Slow calls", order: "end",
		about: "The last calls and requests that took " + duration(c.page.slowCall()) + " or longer, and where their time went.",
		columns: []column{
			{"end", "Ended, ago", digits}, {"name", "Name", letters}, {"what", "What", letters}, {"addr", "Address", letters}, {"took", "Took", digits},
			{"phases", "Phases", prose}, {"attempts", "Attempts", digits}, {"out", "Sent", digits}, {"in", "Received", digits}, {"kind", "Outcome", letters},
		},
	}
	if c.page.SlowCall < 0 {
		c.slow.about = "SlowCall is negative: no call is listed."
	}
}

// owner are the columns that say whose a pool is.
func owner() []column {
	return []column{{"kind", "Of", letters}, {"name", "Name", letters}, {"addr", "Address", letters}}
}

// events makes the tables of what the hooks have seen.
func (c *collector) events() {
	failures, slow := c.page.events.snapshot()
	for _, f := range failures {
		c.failures.add(c.failureRow(f))
	}
	for _, s := range slow {
		outcome := s.kind
		if outcome == "" {
			outcome = "success"
		}
		c.slow.add(row{cells: []cell{
			since(c.now, s.end), text(clean(s.source, maxName)), text(s.what), text(clean(s.addr, maxName)), took(s.took),
			phases(s.phases[:], s.took), few(s.attempts), size(s.out), size(s.in), text(clean(outcome, maxName)),
		}})
	}
}

func (c *collector) failureRow(f failure) row {
	return row{cells: []cell{
		since(c.now, f.last), count(f.count), text(clean(f.source, maxName)), text(f.what), text(clean(f.addr, maxName)),
		text(clean(f.kind, maxName)), text(c.page.errorText(f.what, f.err)), took(f.took), text(clean(f.note, maxName)), since(c.now, f.first),
	}}
}

// phases is a cell with the parts of a time. Those of less than a hundredth are in
// JSON only.
func phases(all []phase, total time.Duration) cell {
	var parts []string
	values := map[string]float64{}
	for _, p := range all {
		if p.name != "" && p.took > 0 {
			if p.took >= total/100 {
				parts = append(parts, p.name+" "+duration(p.took))
			}
			values[p.name] = p.took.Seconds()
		}
	}
	if len(parts) == 0 {
		return cell{said: none, value: values}
	}
	return cell{said: strings.Join(parts, " · "), value: values}
}

// kindTally lists counts by their names, the largest first.
func kindTally(names []string, counts map[string]uint64) cell {
	slices.Sort(names)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	return tally(len(names), func(i int) string { return names[i] }, func(i int) uint64 { return counts[names[i]] })
}

// number is a cell with a number that may be negative.
func number(n int) cell { return cell{said: strconv.Itoa(n), value: n, order: float64(n)} }

// average is the mean of n times.
func average(sum time.Duration, n uint64) time.Duration {
	if n == 0 {
		return 0
	}
	return sum / time.Duration(n)
}
