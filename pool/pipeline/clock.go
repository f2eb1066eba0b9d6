package pipeline

import "time"

// stamp is a moment by both clocks: the monotonic one, which stops while the
// machine is suspended, and the wall clock, which somebody may set.
type stamp struct {
	mono time.Duration // since the process's first stamp
	wall time.Time
}

var epoch = time.Now()

func now() stamp {
	t := time.Now()
	return stamp{t.Sub(epoch), t.Round(0)}
}

// age is how long ago an earlier moment was, by the clock that says more. A
// wall clock that was set back says less than the other.
func (t stamp) age(earlier stamp) time.Duration {
	return max(t.mono-earlier.mono, t.wall.Sub(earlier.wall))
}

// since is how long ago t was by the monotonic clock.
func (t stamp) since() time.Duration { return time.Since(epoch) - t.mono }

// jumped reports whether the machine seems to have been suspended since an
// earlier moment.
func (t stamp) jumped(earlier stamp) bool {
	return t.wall.Sub(earlier.wall)-(t.mono-earlier.mono) > time.Second
}
