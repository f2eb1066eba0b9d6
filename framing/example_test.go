package framing_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/seed-99d6a01a/gtcp/framing"
)

func Example() {
	var stream bytes.Buffer

	w := framing.NewWriter(&stream, framing.Format{})
	for _, word := range []string{"hello", "", "world"} {
		if err := w.WriteFrame([]byte(word)); err != nil {
			fmt.Println(err)
		}
	}
	if err := w.Flush(); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%q\n", stream.Bytes())

	r := framing.NewReader(&stream, framing.Format{})
	for {
		frame, err := r.Next()
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("%q\n", frame)
	}
	// Output:
	// "\x00\x05hello\x00\x00\x00\x05world"
	// "hello"
	// ""
	// "world"
	// EOF
}

// PostgreSQL's messages start with a type; the length behind it counts itself
// but not the type. The whole message is kept, and the Writer fills the length
// in.
func ExampleFormat() {
	postgres := framing.Format{HeaderSize: 4, LengthOffset: 1, LengthAdjust: -4, Strip: -1}
	wire, err := postgres.Append(nil, []byte("Q\x00\x00\x00\x00select 1;\x00"))
	if err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%q\n", wire)

	r := framing.NewReader(bytes.NewReader(wire), postgres)
	message, err := r.Next()
	fmt.Printf("type %c, query %q, %v\n", message[0], message[5:], err)
	// Output:
	// "Q\x00\x00\x00\x0eselect 1;\x00"
	// type Q, query "select 1;\x00", <nil>
}

func ExampleFormat_Validate() {
	fmt.Println(framing.Format{HeaderSize: 1, MaxSize: 300}.Validate())
	// Output:
	// framing: Format.MaxSize: 300 is more than the 255 that the length field can encode
}

func ExampleFormat_Append() {
	wire, err := framing.Format{HeaderSize: framing.Varint}.Append(nil, make([]byte, 300))
	fmt.Printf("% x, %d bytes, %v\n", wire[:2], len(wire), err)

	_, err = framing.Format{HeaderSize: 1}.Append(nil, make([]byte, 300))
	fmt.Println(err)
	// Output:
	// ac 02, 302 bytes, <nil>
	// framing: frame of 300 bytes exceeds the limit of 255
}

// Memory is the caller's, so a loop allocates nothing.
func ExampleReader_ReadFrame() {
	r := framing.NewReader(strings.NewReader("\x00\x03one\x00\x03two\x00\x05thr"), framing.Format{})
	buf := make([]byte, 0, 64)
	for {
		frame, err := r.ReadFrame(buf[:0])
		fmt.Printf("%q %v\n", frame, err)
		if err != nil {
			break
		}
	}
	// Output:
	// "one" <nil>
	// "two" <nil>
	// "thr" unexpected EOF
}

func ExampleReader_Stream() {
	r := framing.NewReader(strings.NewReader("\x00\x0bhello world\x00\x04next"), framing.Format{})
	body, size, err := r.Stream()
	if err != nil {
		fmt.Println(err)
		return
	}
	word, err := io.ReadAll(io.LimitReader(body, 5))
	fmt.Printf("%d bytes, the first %q, %v\n", size, word, err)

	frame, err := r.Next() // drops what is left of the stream
	fmt.Printf("%q %v\n", frame, err)
	// Output:
	// 11 bytes, the first "hello", <nil>
	// "next" <nil>
}

// An oversize frame costs neither memory nor the connection.
func ExampleSizeError() {
	r := framing.NewReader(strings.NewReader("\x00\x0bhello world\x00\x04next"), framing.Format{MaxSize: 5, SkipOversize: true})
	_, err := r.Next()
	var over *framing.SizeError
	if errors.As(err, &over) {
		fmt.Println(over.Size, "over", over.Limit)
	}
	frame, err := r.Next()
	fmt.Printf("%q %v\n", frame, err)
	// Output:
	// 11 over 5
	// "next" <nil>
}

// A server answers every request that has arrived before it writes.
func ExampleReader_Buffered() {
	requests := strings.NewReader("\x00\x01a\x00\x01b\x00\x01c")
	var answers bytes.Buffer

	r := framing.NewReader(requests, framing.Format{})
	w := framing.NewWriter(&answers, framing.Format{})
	for {
		request, err := r.Next()
		if err != nil {
			break
		}
		if err := w.WriteFrame(bytes.ToUpper(request)); err != nil {
			return
		}
		if r.Buffered() {
			continue
		}
		fmt.Println("flush", w.Buffered(), "bytes")
		if err := w.Flush(); err != nil {
			return
		}
	}
	fmt.Printf("%q\n", answers.Bytes())
	// Output:
	// flush 9 bytes
	// "\x00\x01A\x00\x01B\x00\x01C"
}

func ExampleWriter() {
	var stream bytes.Buffer
	w := framing.NewWriter(&stream, framing.Format{HeaderSize: 4})
	fmt.Println(w.WriteFrame([]byte("small")), w.Buffered(), stream.Len())
	fmt.Println(w.WriteFrame(make([]byte, 1<<20)), w.Buffered(), stream.Len())
	// Output:
	// <nil> 9 0
	// <nil> 0 1048589
}

// A loop over the frames of a stream. io.EOF, bare, is its orderly end.
func ExampleReader() {
	stream := strings.NewReader("\x00\x03one\x00\x03two")
	r := framing.NewReader(stream, framing.Format{})
	for {
		frame, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", frame) // frame is valid until the next call
	}
	// Output:
	// one
	// two
}

// A payload that the caller sends itself, for example from a file, needs only
// the header in front of it.
func ExampleFormat_AppendHeader() {
	format := framing.Format{HeaderSize: 4}
	header, err := format.AppendHeader(nil, 1<<20)
	fmt.Printf("% x %v\n", header, err)
	// Output: 00 10 00 00 <nil>
}

// The frames of a stream of varints, as protobuf's delimited messages are.
func ExampleFormat_varint() {
	format := framing.Format{HeaderSize: framing.Varint, MaxSize: 1 << 20}
	var stream bytes.Buffer
	w := framing.NewWriter(&stream, format)
	if err := errors.Join(w.WriteFrame([]byte("message")), w.Flush()); err != nil {
		fmt.Println(err)
		return
	}
	message, err := framing.NewReader(&stream, format).Next()
	fmt.Printf("%s %v\n", message, err)
	// Output: message <nil>
}
