package server

import (
	"context"
	"errors"
)

// errorReply is the reply to a request whose handler returned err, or an
// error where there is none.
func (h *FrameHandler) errorReply(ctx context.Context, req []byte, err error) ([]byte, error) {
	switch {
	case errors.Is(err, ErrNoReply):
		return nil, ErrNoReply
	case err == errGone:
		return nil, errGone
	}
	if reply := h.errorPayload(ctx, req, err); reply != nil {
		return reply, nil
	}
	return nil, err
}

// errorPayload is what ErrorReply or ErrorReplyTo returns.
func (h *FrameHandler) errorPayload(ctx context.Context, req []byte, err error) []byte {
	switch {
	case h.ErrorReplyTo != nil:
		return h.ErrorReplyTo(ctx, req, err)
	case h.ErrorReply != nil:
		return h.ErrorReply(ctx, err)
	}
	return nil
}

// repliesToErrors reports whether there is a function for errorPayload.
func (h *FrameHandler) repliesToErrors() bool { return h.ErrorReply != nil || h.ErrorReplyTo != nil }
