module github.com/seed-99d6a01a/gtcp/internal/conformance

go 1.25.0

replace github.com/seed-99d6a01a/gtcp => ../..

require (
	github.com/seed-99d6a01a/gtcp v0.0.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/net v0.54.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
