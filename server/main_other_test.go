//go:build !unix

package server_test

import "testing"

func TestMain(m *testing.M) { verifyMain(m) }
