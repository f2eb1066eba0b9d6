module github.com/seed-99d6a01a/gtcp/internal/conformance

go 1.25.0

replace github.com/seed-99d6a01a/gtcp => ../..

require (
	github.com/miekg/dns v1.1.73
	github.com/seed-99d6a01a/gtcp v0.0.0
	github.com/simonvetter/modbus v1.6.4
	github.com/stretchr/testify v1.12.1
	github.com/twmb/franz-go/pkg/kfake v0.0.0-20250729165834-29dc44e616cd
	golang.org/x/net v0.57.0
)

require (
	github.com/goburrow/serial v0.1.0 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/klauspost/compress v1.18.0 // indirect
	github.com/pierrec/lz4/v4 v4.1.22 // indirect
	github.com/twmb/franz-go v1.19.1 // indirect
	github.com/twmb/franz-go/pkg/kmsg v1.11.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.54.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)
