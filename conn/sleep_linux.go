//go:build !gtcp_noloop

package conn

import (
	"net"
	"os"
	"syscall"
)

// canSleep says that a connection can do with its descriptor alone.
const canSleep = true

// begin duplicates the descriptor of t, and has the watcher wait at the duplicate
// instead. The socket is put into blocking mode, so that os.NewFile in end leaves it
// alone.
func (s *sleeper) begin(t *transport) (ok bool) {
	old, errno := 0, syscall.EBADF
	_ = t.raw.Control(func(fd uintptr) { // if it fails, errno says so
		var dup uintptr
		old = int(fd)
		dup, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
		s.fd = int32(dup)
	})
	if errno != 0 {
		return false
	}
	if !s.watcher.Watch(int(s.fd)) {
		_ = syscall.Close(int(s.fd))
		return false
	}
	s.watcher.Forget(old)
	_ = syscall.SetNonblock(int(s.fd), false)
	return true
}

// end makes the net.Conn. net.FileConn duplicates the descriptor once more, and turns
// on what package net turns on for every new TCP connection. The options of the socket
// must stay what they were.
func (s *sleeper) end() (net.Conn, error) {
	if s.file == nil {
		s.file = os.NewFile(uintptr(s.fd), "sleeping connection")
	}
	var was tcpOptions
	if s.unix == nil {
		was = getOptions(int(s.fd))
	}
	nc, err := net.FileConn(s.file)
	if err != nil {
		return nil, err
	}
	s.watcher.Forget(int(s.fd))
	if s.unix == nil {
		was.restore(int(s.fd))
	}
	_ = s.file.Close()
	return nc, nil
}

// close closes the connection without waking it.
func (s *sleeper) close() error {
	if s.file != nil {
		return s.file.Close()
	}
	return os.NewSyscallError("close", syscall.Close(int(s.fd)))
}

// tcpOptions are the options that net.FileConn sets.
type tcpOptions [5]int

var tcpOptionNames = [len(tcpOptions{})]struct{ level, name int }{
	{syscall.IPPROTO_TCP, syscall.TCP_NODELAY},
	{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
	{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
	{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL},
	{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
}

// fileConnSets is what net.FileConn sets them to.
var fileConnSets = tcpOptions{1, 1, 15, 15, 9}

func getOptions(fd int) (o tcpOptions) {
	for i, n := range tcpOptionNames {
		o[i], _ = syscall.GetsockoptInt(fd, n.level, n.name)
	}
	return o
}

// restore sets those that net.FileConn has changed.
func (o tcpOptions) restore(fd int) {
	if o == fileConnSets {
		return
	}
	now := getOptions(fd)
	for i, n := range tcpOptionNames {
		if o[i] != now[i] {
			_ = syscall.SetsockoptInt(fd, n.level, n.name, o[i])
		}
	}
}
