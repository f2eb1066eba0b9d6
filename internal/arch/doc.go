// Package arch holds no code but its tests, which keep the house in order: who
// may import whom (imports_test.go, the table of docs/design.md) and how large
// things may grow (size_test.go), and that in the documents the tests named exist
// (docs_test.go), the links lead somewhere (links_test.go), the Go code compiles
// (snippets_test.go) and the words are ours (words_test.go). Tests fail only on their
// own goroutine (goroutines_test.go). A wrong arrow fails the build.
package arch
