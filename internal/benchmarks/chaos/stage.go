//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/netlab"
)

// available says what is missing to play, or nil.
func available() error { return netlab.Available() }

const (
	warmUp  = 1500 * time.Millisecond
	clients = "clients"
	first   = "one"
	second  = "two"
	// firstOf keeps the numbers of the kinds apart.
	firstOf = 1 << 32
)

// stage is the network of one case, with what runs in it.
type stage struct {
	ctx     context.Context
	lab     *netlab.Lab
	names   *netlab.Names
	here    *netlab.Host // where the clients are
	servers map[string]*process
	clients map[string]*process

	mu       sync.Mutex // guards: executed
	executed map[uint64]int
	readers  sync.WaitGroup
}

// process is a part of the stage.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out bytes.Buffer // a client's report
	err bytes.Buffer
}

// play puts a case on the stage, with one client of each kind named.
func play(ctx context.Context, c scenario, kinds []string) (o outcome, err error) {
	s, err := newStage(ctx)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, host := range []string{first, second} {
		if err := s.startServer(host); err != nil {
			return o, err
		}
	}
	for i, name := range kinds {
		if err := s.startClient(c, name, uint64(i+1)*firstOf); err != nil {
			return o, err
		}
	}
	s.wait(warmUp)
	begun := time.Now()
	mended := begun
	for _, step := range c.steps {
		s.wait(time.Until(begun.Add(step.at)))
		if err := step.do(s); err != nil {
			return o, err
		}
		mended = time.Now()
	}
	if c.stays {
		mended = begun
	}
	s.wait(c.after)
	return s.judge(c, kinds, begun, mended)
}

func newStage(ctx context.Context) (*stage, error) {
	lab, err := netlab.New(1, clients, first, second)
	if err != nil {
		return nil, err
	}
	s := &stage{ctx: ctx, lab: lab, here: lab.Host(clients), servers: map[string]*process{}, clients: map[string]*process{},
		executed: map[uint64]int{}}
	socket, err := s.here.ListenPacket("udp", "127.0.0.1:53")
	if err == nil {
		s.names = netlab.ServeNames(socket)
		s.move(first)
		err = errors.Join(
			s.here.File("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1\n"),
			s.here.File("hosts", "127.0.0.1 localhost\n"),
			s.here.File("nsswitch.conf", "hosts: files dns\n"))
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) close() error {
	for _, p := range s.clients {
		_ = p.cmd.Process.Kill() // it may have ended
	}
	for host := range s.servers {
		s.kill(host)
	}
	s.readers.Wait()
	var err error
	if s.names != nil {
		err = s.names.Close()
	}
	return errors.Join(err, s.lab.Close())
}

func (s *stage) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

// move makes the server's name lead to these hosts.
func (s *stage) move(hosts ...string) {
	var addrs []netip.Addr
	for _, h := range hosts {
		addrs = append(addrs, s.lab.Host(h).Addr)
	}
	s.names.Set(target, addrs...)
}

func (s *stage) command(host *netlab.Host, role string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: host.Command(s.ctx, self)}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role, "GODEBUG=netdns=go")
	p.cmd.Stderr = &p.err
	p.in, err = p.cmd.StdinPipe()
	return p, err
}

// startServer starts the server of a host and waits until it serves.
func (s *stage) startServer(host string) error {
	p, err := s.command(s.lab.Host(host), roleServer)
	if err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	s.servers[host] = p
	s.readers.Go(func() { s.countExecutions(out) })
	for range 1000 { // until its last port is open
		var c net.Conn
		err = s.lab.Host(host).Do(func() (err error) {
			c, err = net.DialTimeout("tcp4", "127.0.0.1:"+grpcPort, time.Second)
			return err
		})
		if err == nil {
			return c.Close()
		}
		time.Sleep(2 * time.Millisecond)
	}
	return fmt.Errorf("server %s: %w: %s", host, err, p.err.String())
}

func (s *stage) countExecutions(out io.Reader) {
	number := make([]byte, numberSize)
	for {
		if _, err := io.ReadFull(out, number); err != nil {
			return
		}
		s.mu.Lock()
		s.executed[binary.BigEndian.Uint64(number)]++
		s.mu.Unlock()
	}
}

// kill ends a server as kill -9 does.
func (s *stage) kill(host string) {
	if p := s.servers[host]; p != nil {
		_ = p.cmd.Process.Kill() // also if it is stopped
		_ = p.cmd.Wait()
		delete(s.servers, host)
	}
}

func (s *stage) signal(host string, sig syscall.Signal) error {
	return s.servers[host].cmd.Process.Signal(sig)
}

func (s *stage) startClient(c scenario, name string, number uint64) error {
	p, err := s.command(s.here, roleClient)
	if err != nil {
		return err
	}
	p.cmd.Stdout = &p.out
	if err := p.cmd.Start(); err != nil {
		return err
	}
	s.clients[name] = p
	l := c.load
	l.Kind, l.First = name, number
	if l.Callers == 0 {
		l.Callers = 20
	}
	if l.Rate == 0 {
		l.Rate = 200
	}
	if l.Timeout == 0 && !c.endless {
		l.Timeout = time.Second
	}
	return json.NewEncoder(p.in).Encode(l)
}

// tell gives each client a command.
func (s *stage) tell(command string) error {
	var err error
	for _, p := range s.clients {
		_, e := io.WriteString(p.in, command+"\n")
		err = errors.Join(err, e)
	}
	return err
}

// breaks sets the fault of both ways between the clients and the first host.
func (s *stage) breaks(f netlab.Fault) error {
	s.lab.BreakBoth(s.here, s.lab.Host(first), f)
	return nil
}

// judge ends the clients and says what came of each.
func (s *stage) judge(c scenario, kinds []string, begun, mended time.Time) (o outcome, err error) {
	ended := time.Now()
	for _, p := range s.clients {
		err = errors.Join(err, p.in.Close())
	}
	o = outcome{scenario: c, results: map[string]result{}}
	for _, name := range kinds {
		p := s.clients[name]
		if e := p.cmd.Wait(); e != nil {
			return o, errors.Join(err, fmt.Errorf("client %s: %w: %s", name, e, p.err.String()))
		}
		delete(s.clients, name)
		var r report
		if e := json.Unmarshal(p.out.Bytes(), &r); e != nil {
			return o, errors.Join(err, fmt.Errorf("client %s: %w: %s", name, e, p.out.String()))
		}
		slices.Sort(r.OK)
		number := uint64(slices.Index(kinds, name)+1) * firstOf
		o.results[name] = measure(r, begun, mended, ended, s.doubles(number))
	}
	return o, err
}

// doubles counts the requests of a kind that were executed more than once.
func (s *stage) doubles(number uint64) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for request, times := range s.executed {
		if request/firstOf == number/firstOf && times > 1 {
			n++
		}
	}
	return n
}
