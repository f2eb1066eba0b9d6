package compare

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A Program runs comparisons one after another and prints each when it is done.
type Program struct {
	Settings Settings
	print    func(Table) error
}

// Compare runs one comparison and prints its table.
func (p *Program) Compare(c Comparison) error {
	t, err := c.Run(p.Settings)
	if err != nil {
		return err
	}
	return p.print(t)
}

// Main is the main function of a program of comparisons. Its flags change the
// settings; -json prints the tables as a stream of JSON values for the report.
// It ends the process, with 1 where run returns an error. Flags of the program's
// own must be defined before and may be read in run.
func Main(s Settings, run func(p *Program) error) {
	asJSON := flag.Bool("json", false, "print the tables, with each turn's figures, as JSON")
	flag.IntVar(&s.Rounds, "rounds", s.Rounds, "rounds; each gives every candidate one turn")
	flag.DurationVar(&s.Length, "length", s.Length, "about how long a turn takes")
	flag.Parse()
	p := &Program{Settings: s, print: printer(os.Stdout, *asJSON)}
	if err := run(p); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
	os.Exit(0)
}

func printer(w io.Writer, asJSON bool) func(Table) error {
	if asJSON {
		out := json.NewEncoder(w)
		return func(t Table) error { return out.Encode(t) }
	}
	return func(t Table) error {
		_, err := fmt.Fprintln(w, t.Text())
		return err
	}
}

// ReadTables reads what a program printed with -json.
func ReadTables(r io.Reader) ([]Table, error) {
	var tables []Table
	for in := json.NewDecoder(r); ; {
		var t Table
		if err := in.Decode(&t); errors.Is(err, io.EOF) {
			return tables, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading a table: %w", err)
		}
		tables = append(tables, t)
	}
}
