// Package tutorial has the programs of docs/tutorial.md. Each step has those of its
// programs that it changes. Look at the page first: it says what each step adds. The
// test builds and runs the programs, and compares what they print with the page.
//
//	cd examples/tutorial && go test
package tutorial
