package framing

import "strings"

// headSize is how many bytes of a frame are enough to tell what they look like.
const headSize = 8

// Hint is for the text of an error: it says what the bytes of an incomplete or
// oversize frame look like, if they look like another protocol: TLS, HTTP or text.
// That is so if one side has TLS and the other has not, if the address is that of
// another service, or if the two sides have different Formats. Otherwise it returns
// "". Call it after an error; it does no I/O. A frame of the right protocol can
// look like text too, so do not decide anything by it.
func (r *Reader) Hint() string {
	if r.src == nil {
		return ""
	}
	if r.open {
		return hint(r.head[:r.headed])
	}
	r.look()
	head := r.win[:min(len(r.win), headSize)]
	if !r.alone() {
		r.forget()
	}
	return hint(head)
}

// noteHead keeps the first bytes of the frame at the front of the window.
func (r *Reader) noteHead() {
	if len(r.win) >= headSize { // nearly always
		r.head, r.headed = [headSize]byte(r.win), headSize
		return
	}
	r.headed = copy(r.head[:], r.win)
}

// hint makes the sentence of the first bytes of a frame.
func hint(head []byte) string {
	what := looksLike(head)
	if what == "" {
		return ""
	}
	return "the bytes look like " + what + ": check the address, TLS and the Format of both sides"
}

// httpBegins are the first bytes of HTTP's requests and replies.
var httpBegins = []string{"HTTP/", "GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "PRI * "}

func looksLike(head []byte) string {
	if len(head) < 2 {
		return ""
	}
	if head[0] >= 0x14 && head[0] <= 0x17 && head[1] == 3 && (len(head) == 2 || head[2] <= 4) {
		return "TLS" // a record: its type, and its version
	}
	for _, begin := range httpBegins {
		if strings.HasPrefix(string(head), begin[:min(len(begin), headSize)]) {
			return "HTTP"
		}
	}
	for _, c := range head {
		if (c < ' ' || c > '~') && c != '\t' && c != '\r' && c != '\n' {
			return ""
		}
	}
	return "text"
}
