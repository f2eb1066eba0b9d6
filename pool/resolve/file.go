package resolve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-99d6a01a/gtcp/internal/signal"
)

// File reads the servers from a file, and again whenever the file changes.
// Replace the file atomically: write another one and rename it. A file that is
// missing, or that is cut off because it was written in place, is an error, so
// the last set stays. Use a pointer to a File, and do not change its fields
// once it is in use.
type File struct {
	// Path is the file.
	Path string
	// Interval is the time between two checks of the file. A check is
	// one system call if the file has not changed. Zero means 1 second;
	// negative means a lookup only after Refresh or after a failure.
	Interval time.Duration
	// MaxSize bounds the file, in bytes. Zero means 16 MiB.
	MaxSize int64
	// Parse turns the contents into a set. Nil means [ParseJSON].
	Parse func([]byte) ([]Endpoint, error)

	asked signal.Signal
}

// settled is how old a change must be for the file's time to be trusted: within
// it a second change may not have moved the clock of the file system.
const settled = 2 * time.Second

// Refresh requests a check of the file now.
func (f *File) Refresh() { f.asked.Send() }

// Validate returns a *ConfigError that names the first field that cannot be
// used, or nil.
func (f *File) Validate() error {
	switch {
	case f.Path == "":
		return &ConfigError{Field: "File.Path", Problem: "is empty"}
	case f.MaxSize < 0:
		return &ConfigError{Field: "File.MaxSize", Problem: "is negative"}
	}
	return nil
}

// Watch reports the set in the file.
func (f *File) Watch(ctx context.Context, update func([]Endpoint, error)) error {
	if err := f.Validate(); err != nil {
		return err
	}
	s := newSchedule(f.Interval, 10*time.Millisecond, 0)
	if f.Interval == 0 {
		s.interval = time.Second
	}
	r := reader{file: f}
	return poll(ctx, s, &f.asked, func(context.Context) ([]Endpoint, error) {
		set, err := r.look()
		if err != nil {
			r.seen = nil
			return nil, &Error{"file", f.Path, err}
		}
		return set, nil
	}, update)
}

// reader is what one Watch knows of its file.
type reader struct {
	file *File
	seen os.FileInfo // of the file that set was read from; nil: read again
	set  []Endpoint
}

func (r *reader) look() ([]Endpoint, error) {
	info, err := os.Stat(r.file.Path)
	if err != nil {
		return nil, err
	}
	if r.seen != nil && os.SameFile(r.seen, info) && r.seen.Size() == info.Size() && r.seen.ModTime().Equal(info.ModTime()) {
		return r.set, nil
	}
	data, err := r.file.read()
	if err != nil {
		return nil, err
	}
	parse := r.file.Parse
	if parse == nil {
		parse = ParseJSON
	}
	if r.set, err = parse(data); err != nil {
		return nil, err
	}
	r.seen = nil
	if time.Since(info.ModTime()).Abs() > settled {
		r.seen = info
	}
	return r.set, nil
}

func (f *File) read() ([]byte, error) {
	most := f.MaxSize
	if most == 0 {
		most = 16 << 20
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("file has more than %d bytes", most)
	}
	return data, err
}

// ParseJSON reads a set from JSON: an array in which each element is an address
// or an object with the fields of [Endpoint] in lower case.
//
//	["10.0.0.1:80", {"addr": "10.0.0.2:80", "weight": 3, "zone": "eu-1"}]
//
// A field that Endpoint does not have, an element without an address, and
// anything after the array are errors.
func ParseJSON(data []byte) ([]Endpoint, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	var elements []json.RawMessage
	if err := dec.Decode(&elements); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the array")
	}
	set := make([]Endpoint, len(elements))
	for i, element := range elements {
		if err := parseElement(element, &set[i]); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return set, nil
}

func parseElement(element json.RawMessage, e *Endpoint) error {
	if bytes.HasPrefix(element, []byte(`"`)) {
		if err := json.Unmarshal(element, &e.Addr); err != nil {
			return err
		}
	} else {
		dec := json.NewDecoder(bytes.NewReader(element))
		dec.DisallowUnknownFields()
		if err := dec.Decode(e); err != nil {
			return err
		}
	}
	if e.Addr == "" {
		return errors.New("no addr")
	}
	return nil
}
