//go:build !linux || gtcp_noloop

package conn

import (
	"errors"
	"net"
)

const canSleep = false

func (s *sleeper) begin(*transport) bool  { return false }
func (s *sleeper) end() (net.Conn, error) { return nil, errors.ErrUnsupported }
func (s *sleeper) close() error           { return nil }
