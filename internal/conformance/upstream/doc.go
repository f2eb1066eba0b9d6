// Package upstream holds the facade against the package it stands in for:
// GoFrame's net/gtcp at the version named in Version. The upstream module is
// downloaded when the tests run and is never part of this repository.
package upstream

// Module and Version say which upstream the facade is compared with, and
// Package is the package inside it.
const (
	Module  = "github.com/gogf/gf/v2"
	Version = "v2.10.2"
	Package = Module + "/net/gtcp"
)

// Facade is the import path that takes the place of Package.
const Facade = "github.com/seed-99d6a01a/gtcp"
