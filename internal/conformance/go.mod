module github.com/seed-99d6a01a/gtcp/internal/conformance

go 1.25.0

replace github.com/seed-99d6a01a/gtcp => ../..

require github.com/seed-99d6a01a/gtcp v0.0.0

require (
	github.com/stretchr/testify v1.12.1 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	golang.org/x/net v0.54.0 // indirect
)
