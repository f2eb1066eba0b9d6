package pipeline

import "time"

// CallHook is told of every call's end, on the caller's goroutine. It costs
// two readings of the clock a call.
type CallHook interface {
	AfterCall(took time.Duration, err error)
}

// DialHook is told of every dial's end.
type DialHook interface {
	AfterDial(address string, took time.Duration, err error)
}

// EndHook is told of every connection's end: the cause is what [Error] has
// for the calls it was fatal to.
type EndHook interface {
	AfterEnd(address string, cause error)
}

// hooks are the interfaces that Config.Hook implements, nil where it does not.
type hooks struct {
	call CallHook
	dial DialHook
	end  EndHook
}

func newHooks(h any) hooks {
	var hs hooks
	hs.call, _ = h.(CallHook)
	hs.dial, _ = h.(DialHook)
	hs.end, _ = h.(EndHook)
	return hs
}
