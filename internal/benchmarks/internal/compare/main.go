package compare

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Program runs comparisons one after another and prints each when it is done.
type Program struct {
	Settings Settings
	Short    bool // to try the program, not to learn from it
	// Ours are how the names of this module's candidates begin: charts draw them
	// in another colour than peers.
	Ours  []string
	only  *regexp.Regexp
	print func(Table) error
}

// Compare runs one comparison and prints its table.
func (p *Program) Compare(c Comparison) error {
	if p.only != nil && !p.only.MatchString(c.Title) {
		return nil
	}
	t, err := c.Run(p.Settings)
	if err != nil {
		return err
	}
	for i, r := range t.Rows {
		t.Rows[i].Ours = slices.ContainsFunc(p.Ours, func(prefix string) bool { return strings.HasPrefix(r.Name, prefix) })
	}
	return p.print(t)
}

// Main is the main function of a program of comparisons. Its flags change the
// settings: -rounds and -length, and -short for three rounds of a tenth of the
// length. With -run only the comparisons whose titles match are made. With -json the tables are a stream of JSON values, see [Tables].
// It ends the process, with 1 where run returns an error. Flags of the program's
// own must be defined before and may be read in run.
func Main(s Settings, run func(p *Program) error) {
	asJSON := flag.Bool("json", false, "print the tables, with each turn's figures, as JSON")
	flag.IntVar(&s.Rounds, "rounds", s.Rounds, "rounds; each gives every candidate one turn")
	flag.DurationVar(&s.Length, "length", s.Length, "about how long a turn takes")
	short := flag.Bool("short", false, "three rounds with a tenth of the length, to see that all works")
	only := flag.String("run", "", "make only the comparisons whose titles match this regular expression")
	flag.Parse()
	if *short {
		s = Settings{Rounds: min(s.Rounds, 3), Length: s.Length / 10}
	}
	p := &Program{Settings: s, Short: *short, print: printer(os.Stdout, *asJSON)}
	var err error
	if p.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintf(os.Stderr, "%s: -run: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(2)
	}
	if err = run(p); err != nil {
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

// Tables reads what a program prints with -json, each table when it is done.
// It stops at the first error.
func Tables(r io.Reader) iter.Seq2[Table, error] {
	return func(yield func(Table, error) bool) {
		for in := json.NewDecoder(r); ; {
			var t Table
			err := in.Decode(&t)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				err = fmt.Errorf("reading a table: %w", err)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}
