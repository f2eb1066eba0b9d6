module github.com/seed-99d6a01a/gtcp/examples/load

go 1.26.0

replace github.com/seed-99d6a01a/gtcp => ../..

require (
	github.com/HdrHistogram/hdrhistogram-go v1.2.0
	github.com/seed-99d6a01a/gtcp v0.0.0
	github.com/stretchr/testify v1.12.1
	go.uber.org/goleak v1.3.0
)

require (
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sync v0.1.0 // indirect
)
