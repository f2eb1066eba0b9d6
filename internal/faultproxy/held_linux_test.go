package faultproxy_test

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-99d6a01a/gtcp/internal/faultproxy"
	"github.com/seed-99d6a01a/gtcp/internal/netlab"
)

// On a host with few ports the system soon comes to each of them, but not to one that is
// held, nor to that of a proxy which refuses.
func TestHeldPortIsGivenToNobody(t *testing.T) {
	if err := netlab.Available(); err != nil {
		t.Skip(err)
	}
	for name, hold := range map[string]func() (addr string, stop func() error, err error){
		"held": faultproxy.HeldAddr, "refused": faultproxy.RefusedAddr,
		"proxy": func() (string, func() error, error) {
			p, err := faultproxy.New("127.0.0.1:1", nil)
			if err != nil {
				return "", nil, err
			}
			return p.Addr(), p.Close, p.Refuse(true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			lab, err := netlab.New(1, "host")
			require.NoError(t, err)
			defer func() { require.NoError(t, lab.Close()) }()
			var addr string
			var during, after []string
			// No requirement fails in there: it runs on another goroutine.
			require.NoError(t, lab.Host("host").Do(func() error {
				if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40015"), 0o644); err != nil {
					return err
				}
				var stop func() error
				var err error
				if addr, stop, err = hold(); err != nil {
					return err
				}
				if during, err = allPorts(); err != nil {
					return err
				}
				if err := stop(); err != nil {
					return err
				}
				after, err = allPorts()
				return err
			}))
			require.Greater(t, len(during), 8)
			require.NotContains(t, during, addr)
			require.Contains(t, after, addr, "it was given back")
		})
	}
}

// allPorts listens until the system has no port left.
func allPorts() (addrs []string, err error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if errors.Is(err, syscall.EADDRINUSE) {
			return addrs, nil
		}
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
}
