module github.com/seed-99d6a01a/gtcp/examples/listeners

go 1.25

replace github.com/seed-99d6a01a/gtcp => ../..

require (
	github.com/cloudflare/tableflip v1.2.3
	github.com/coreos/go-systemd/v22 v22.5.0
	github.com/pires/go-proxyproto v0.8.1
	github.com/seed-99d6a01a/gtcp v0.0.0
	github.com/stretchr/testify v1.12.1
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
