//go:build !linux

package netlab

import "errors"

// Available returns an error: a Lab needs Linux.
func Available() error { return errors.New("netlab: needs Linux") }
