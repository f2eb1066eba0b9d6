//go:build !gtcp_noloop

package conn

import "syscall"

// canLoop says that ReadLoop works. The build tag gtcp_noloop is for tests: with it
// they run as on other systems.
const canLoop = true

// interruptLoop ends a ReadLoop for Close, and the connection for its peer.
func (k *core) interruptLoop() {
	t := k.tr()
	_ = t.raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
	_ = t.nc.SetReadDeadline(aLongTimeAgo)
}
