package server

import (
	"os"
	"sync"
	"syscall"
)

const canPoll = true // there is a poller

// poller watches sockets for which no goroutine waits. It has one epoll descriptor,
// which the runtime's own poller watches, so that no thread waits for it.
type poller struct {
	file *os.File // the epoll descriptor
	raw  syscall.RawConn
	done chan struct{} // closed when run has returned

	mu   sync.Mutex // guards byFD
	byFD []*session // whose socket has that descriptor

	spareMu sync.Mutex // guards spare; held while that is in use
	spare   int        // a descriptor that is good for nothing but to be closed; -1 if there is none
}

// Events of epoll(7), of which package syscall has some with an unfit type.
const (
	epollEdge    = 1 << 31 // EPOLLET
	epollOneShot = 1 << 30 // EPOLLONESHOT

	watchedOnce = syscall.EPOLLIN | syscall.EPOLLRDHUP | epollOneShot
)

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // so that NewFile hands it to the runtime
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("setnonblock", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{}), spare: -1}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, err
	}
	p.takeSpare()
	go p.run()
	return p, nil
}

// close ends the poller and waits for its goroutine.
func (p *poller) close() {
	_ = p.file.Close()
	<-p.done
	if p.spare >= 0 {
		_ = syscall.Close(p.spare)
	}
}

// run tells sessions of their events.
func (p *poller) run() {
	defer close(p.done)
	events := make([]syscall.EpollEvent, 128)
	_ = p.raw.Read(func(fd uintptr) bool {
		for {
			n, err := syscall.EpollWait(int(fd), events, 0)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				return true
			}
			for _, e := range events[:n] {
				if s := p.find(e.Fd, e.Pad); s != nil {
					s.polled()
				}
			}
			if n < len(events) {
				return false // the runtime tells of what has come since
			}
		}
	})
}

// find returns the session an event is for, nil if that has ended: its descriptor may
// have another owner by now.
func (p *poller) find(fd, id int32) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(fd) >= len(p.byFD) || p.byFD[fd] == nil || int32(p.byFD[fd].id) != id {
		return nil
	}
	return p.byFD[fd]
}

// watchEnd has s told, as long as it is connected, of the end of its peer's stream.
func (p *poller) watchEnd(s *session) bool { return p.watch(s, syscall.EPOLLRDHUP|epollEdge) }

// watchAll has s told once of whatever happens next, or has happened and is unread.
func (p *poller) watchAll(s *session) bool {
	return p.watch(s, watchedOnce)
}

// watch replaces what s is told of. It fails where the system is short of something,
// and once the socket is closed.
func (p *poller) watch(s *session, events uint32) (ok bool) {
	raw := rawOf(s.socket())
	if raw == nil {
		return false
	}
	err := raw.Control(func(fd uintptr) { ok = p.watchAt(s, int(fd), events) })
	return ok && err == nil
}

func (p *poller) watchAt(s *session, fd int, events uint32) bool {
	p.remember(s, fd)
	event := syscall.EpollEvent{Events: events, Fd: int32(fd), Pad: int32(s.id)}
	return p.control(syscall.EPOLL_CTL_MOD, fd, &event) == nil ||
		p.control(syscall.EPOLL_CTL_ADD, fd, &event) == nil
}

// watchAllAt is watchAll for a descriptor that is not, or not yet, that of the socket
// of s. If it fails, s is told of what it was told before.
func (p *poller) watchAllAt(s *session, fd int) bool {
	p.mu.Lock()
	before := s.fd
	p.mu.Unlock()
	if p.watchAt(s, fd, watchedOnce) {
		return true
	}
	p.forgetAt(s, fd)
	p.mu.Lock()
	s.fd = before
	p.mu.Unlock()
	return false
}

// forgetAt has s told of nothing at fd any more. The system would not forget fd by
// itself, since another descriptor of the same socket stays open.
func (p *poller) forgetAt(s *session, fd int) {
	_ = p.control(syscall.EPOLL_CTL_DEL, fd, new(syscall.EpollEvent))
	p.mu.Lock()
	defer p.mu.Unlock()
	if fd < len(p.byFD) && p.byFD[fd] == s {
		p.byFD[fd] = nil
	}
}

// withSpare calls f with one descriptor more than there was before.
func (p *poller) withSpare(f func()) {
	p.spareMu.Lock()
	defer p.spareMu.Unlock()
	if p.spare >= 0 {
		_ = syscall.Close(p.spare)
		p.spare = -1
	}
	f()
	p.takeSpare()
}

// takeSpare keeps a descriptor for withSpare, if the process has one.
func (p *poller) takeSpare() {
	if p.spare < 0 {
		if fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err == nil {
			p.spare = fd
		}
	}
}

func (p *poller) control(op, fd int, event *syscall.EpollEvent) (err error) {
	if rawErr := p.raw.Control(func(epoll uintptr) {
		err = syscall.EpollCtl(int(epoll), op, fd, event)
	}); rawErr != nil {
		return rawErr
	}
	return err
}

func (p *poller) remember(s *session, fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.fd = int32(fd)
	if fd >= len(p.byFD) {
		p.byFD = append(p.byFD, make([]*session, fd+1-len(p.byFD))...)
	}
	p.byFD[fd] = s
}

// forget has s told of nothing any more. The system forgets its socket by itself.
func (p *poller) forget(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(s.fd) < len(p.byFD) && p.byFD[s.fd] == s {
		p.byFD[s.fd] = nil
	}
}
