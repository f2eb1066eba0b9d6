package netlab

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// The numbers of the kernel that package syscall does not have on each
// architecture.
const (
	tunSetIff     = 0x400454ca // TUNSETIFF
	iffTUN        = 0x1
	iffNoPI       = 0x1000
	cloneNewnet   = 0x40000000
	deviceNameLen = 16
)

var setnsNumber = map[string]uintptr{"amd64": 308, "arm64": 268, "386": 346, "riscv64": 268}[runtime.GOARCH]

// inNamespace calls f on a thread in the network namespace. The sockets and
// devices that f makes belong to it for ever; goroutines that f starts do not.
func inNamespace(name string, f func() error) error {
	ns, err := os.Open("/run/netns/" + name)
	if err != nil {
		return err
	}
	defer ns.Close()
	done := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, so that no other
		// one runs in the namespace.
		runtime.LockOSThread()
		if _, _, errno := syscall.Syscall(setnsNumber, ns.Fd(), cloneNewnet, 0); errno != 0 {
			done <- fmt.Errorf("setns %s: %w", name, errno)
			return
		}
		done <- f()
	}()
	return <-done
}

// openTUN makes the device in the namespace. Each read of the file is a packet
// that the namespace sends, each write one that it gets.
func openTUN(namespace, device string) (f *os.File, err error) {
	err = inNamespace(namespace, func() error {
		fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("/dev/net/tun: %w", err)
		}
		var request struct {
			name  [deviceNameLen]byte
			flags uint16
			_     [22]byte
		}
		copy(request.name[:deviceNameLen-1], device)
		request.flags = iffTUN | iffNoPI
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tunSetIff, uintptr(unsafe.Pointer(&request))); errno != 0 {
			_ = syscall.Close(fd)
			return fmt.Errorf("TUNSETIFF: %w", errno)
		}
		f = os.NewFile(uintptr(fd), "tun "+namespace)
		return nil
	})
	return f, err
}
