package server

import "syscall"

// systemPassing holds Winsock's numbers: package syscall's own constants for
// these are invented on Windows and never come from a socket.
var systemPassing = []syscall.Errno{
	10004, // WSAEINTR
	10024, // WSAEMFILE
	10050, // WSAENETDOWN
	10053, // WSAECONNABORTED
	10054, // WSAECONNRESET
	10055, // WSAENOBUFS
}
