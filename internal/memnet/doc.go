// Package memnet is an in-memory network for tests: connections and listeners
// that behave as TCP does on loopback, without a kernel, so that they work
// inside a testing/synctest bubble. Every blocking call waits on a sync.Cond
// or a channel and is therefore durably blocked; no lock is held meanwhile.
//
// What is the same as TCP on Linux, and held by a test that runs one table of
// scenarios over both:
//
//   - a bounded buffer in each direction: a writer whose peer does not read
//     blocks, and its deadline tells how many bytes went out;
//   - what was written before a close, a half-close or a reset can still be
//     read, then io.EOF (bare) or ECONNRESET (once, then io.EOF);
//   - Close with bytes unread resets the connection;
//   - the first write after the peer's Close succeeds and the next is EPIPE;
//   - an expired deadline fails a Read even where bytes are there;
//   - errors are *net.OpError around net.ErrClosed, os.ErrDeadlineExceeded or
//     a system call's error;
//   - a connection is established before it is accepted, and closing the
//     listener resets those nobody accepted.
//
// It is for tests only; production packages may not import it.
package memnet
