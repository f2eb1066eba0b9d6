package server

import "syscall"

// lasting are the errors of accept that say that the listener is no good. They are
// Winsock's numbers: package syscall's own constants for these are invented on
// Windows and never come from a socket.
var lasting = []syscall.Errno{
	10009, // WSAEBADF
	10014, // WSAEFAULT
	10022, // WSAEINVAL
	10038, // WSAENOTSOCK
	10093, // WSANOTINITIALISED
}
