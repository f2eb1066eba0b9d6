//go:build !linux

package server

import "errors"

const canPoll = false

// poller does not exist here: an idle connection keeps its goroutine.
type poller struct{}

func newPoller() (*poller, error) { return nil, errors.ErrUnsupported }

func (*poller) close()                 {}
func (*poller) watchEnd(*session) bool { return false }
func (*poller) watchAll(*session) bool { return false }
func (*poller) forget(*session)        {}
