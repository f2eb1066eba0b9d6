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

func (*poller) watchAllAt(*session, int) bool { return false }
func (*poller) forgetAt(*session, int)        {}
func (*poller) withSpare(func())              {}
