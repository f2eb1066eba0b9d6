// Package arch holds no code but its tests, which keep the house in order: who
// may import whom (imports_test.go, the table of docs/design.md) and how large
// things may grow (size_test.go), and that the tests the documents name exist
// (docs_test.go). A wrong arrow fails the build.
package arch
