//go:build !linux

package memnet_test

import (
	"net"
	"testing"
)

func tcpClosed(*testing.T, *net.TCPConn) bool { return true }
