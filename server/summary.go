package server

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// summary keeps hostile peers from filling the log: of each kind of event it logs
// the first in a second by itself and the number of the others once that second is
// over.
type summary struct {
	mu       sync.Mutex // guards the fields below; not held while a line is logged
	kinds    map[string]*summed
	flushing bool // flushLater has begun a goroutine

	wg sync.WaitGroup // of that goroutine; the watch waits for it when it ends
}

// sum logs what peers can cause as often as they like. It makes sure that a watch runs,
// which logs the number of what is left out. Call it with a session tracked.
func (s *Server) sum(level slog.Level, message string, args ...any) {
	s.watchFor(maxTick * ticksPerTimeout)
	s.summary.log(s.logger(), level, message, args...)
}

// summed is one kind of event.
type summed struct {
	level slog.Level
	until time.Time // when the second ends that the last line of its own began
	more  int       // events since that line
}

// log logs an event, or counts it.
func (s *summary) log(log *slog.Logger, level slog.Level, message string, args ...any) {
	now := time.Now()
	_ = s.flush(log, now)
	if !s.first(now, level, message) {
		return
	}
	log.Log(context.Background(), level, message, args...)
}

// first reports whether an event is the first of its kind in its second.
func (s *summary) first(now time.Time, level slog.Level, message string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[message]
	if k == nil {
		if s.kinds == nil {
			s.kinds = make(map[string]*summed)
		}
		k = &summed{level: level}
		s.kinds[message] = k
	}
	if now.Before(k.until) {
		k.more++
		return false
	}
	k.until = now.Add(time.Second)
	return true
}

// flush logs the numbers of the seconds that are over at now; all of them if now is
// the zero Time. It reports whether some are not over.
func (s *summary) flush(log *slog.Logger, now time.Time) (left bool) {
	lines, left := s.over(now)
	for _, l := range lines {
		log.Log(context.Background(), l.level, l.message+"; more of the same", "count", l.more)
	}
	return left
}

// flushLater is flush on a goroutine of its own, for the watch, which a slow Logger
// must not hold up.
func (s *summary) flushLater(log *slog.Logger, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flushing || len(s.kinds) == 0 {
		return
	}
	s.flushing = true
	s.wg.Go(func() {
		_ = s.flush(log, now)
		s.mu.Lock()
		s.flushing = false
		s.mu.Unlock()
	})
}

// line is the number of events of one kind.
type line struct {
	level   slog.Level
	message string
	more    int
}

// over takes the numbers of the seconds that are over at now. It reports whether
// some are not.
func (s *summary) over(now time.Time) (lines []line, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for message, k := range s.kinds {
		switch {
		case !now.IsZero() && now.Before(k.until):
			left = true
		case k.more > 0:
			lines = append(lines, line{k.level, message, k.more})
			k.more = 0
		default:
			delete(s.kinds, message)
		}
	}
	return lines, left
}
