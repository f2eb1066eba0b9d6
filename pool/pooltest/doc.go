// Package pooltest is the conformance suite for pool backends. If Run passes,
// a backend keeps the thirteen promises of package backend:
//
//	func TestBackend(t *testing.T) {
//		pooltest.Run(t, mypool.Open[*pooltest.Resource])
//	}
//
// The suite has four parts:
//
//   - locks: no lock is held while New, Close or a callback runs. It goes
//     first, in real time, and stops the suite if it fails, for the parts that
//     follow could only hang.
//   - promises: one subtest each, or several, in [testing/synctest] bubbles:
//     time is fake, so a wait of an hour takes microseconds and a duration can
//     be compared exactly.
//   - model: random operations one at a time, each outcome compared with what
//     a sequential model allows. A failure prints its seed; set
//     POOLTEST_SEED to see it again.
//   - stress: random operations all at once, in real time, for a quarter of a
//     second or what POOLTEST_STRESS says ("30s", "10m"). Each resource notices
//     a second owner. Run it under the race detector.
//
// What a backend declares is what is tested: late binding if it is a
// [backend.LateBinder], resizing if it is a [backend.Resizer]. An Open that
// fails with [errors.ErrUnsupported] has the subtest skipped.
//
// A bubble that makes no progress for two minutes, or what POOLTEST_STALL says,
// ends the process with a message.
//
// The suite must itself be run on the real thing. Its own test runs it on a
// score of backends that are each broken in one way, and fails if one passes.
package pooltest
