// Package pictures keeps the charts of a page beside it. A chart is drawn from
// the table that the page shows, so that the two cannot differ, and so that all
// charts can be drawn again without measuring again.
package pictures

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Cells returns the cells of the first table in a Markdown text, row by row. The
// first row is the head. It is nil if there is no table.
func Cells(text string) (rows [][]string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if rows != nil {
				return rows
			}
			continue
		}
		if strings.Trim(line, "|-: ") == "" && rows != nil {
			continue // the line below the head
		}
		var row []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			row = append(row, strings.TrimSpace(cell))
		}
		rows = append(rows, row)
	}
	return rows
}

// Folder is where the charts of a page are: beside it.
func Folder(page string) string { return filepath.Join(filepath.Dir(page), "charts") }

// Write writes the charts of a page, by file name, and removes those that it no
// longer has. Their names begin with the prefix.
func Write(page, prefix string, charts map[string][]byte) error {
	if err := os.MkdirAll(Folder(page), 0o755); err != nil {
		return err
	}
	old, err := Read(page, prefix)
	if err != nil {
		return err
	}
	var errs []error
	for name := range old {
		if charts[name] == nil {
			errs = append(errs, os.Remove(filepath.Join(Folder(page), name)))
		}
	}
	for name, svg := range charts {
		if !bytes.Equal(old[name], svg) {
			errs = append(errs, os.WriteFile(filepath.Join(Folder(page), name), svg, 0o644))
		}
	}
	return errors.Join(errs...)
}

// Read reads the charts of a page whose names begin with the prefix.
func Read(page, prefix string) (map[string][]byte, error) {
	files, err := filepath.Glob(filepath.Join(Folder(page), prefix+"*.svg"))
	if err != nil {
		return nil, err
	}
	charts := map[string][]byte{}
	for _, file := range files {
		if charts[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	return charts, nil
}
