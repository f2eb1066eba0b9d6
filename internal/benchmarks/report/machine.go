package main

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine is where and when the tables were measured.
type machine struct {
	Date, Go, OS, CPU, Kernel, Load, Commit string
	CPUs                                    int
}

func thisMachine() machine {
	return machine{
		Date:   time.Now().UTC().Format(time.DateOnly),
		Go:     strings.TrimPrefix(runtime.Version(), "go"),
		OS:     runtime.GOOS + "/" + runtime.GOARCH,
		CPU:    field("/proc/cpuinfo", "model name"),
		CPUs:   runtime.GOMAXPROCS(0),
		Kernel: line("/proc/sys/kernel/osrelease"),
		Load:   load(),
		Commit: commit(),
	}
}

// line is the first line of a file, or "unknown": these are notes for a reader,
// not worth failing for.
func line(file string) string {
	b, _ := os.ReadFile(file)
	first, _, _ := strings.Cut(string(b), "\n")
	return orUnknown(first)
}

// field is the value in the first line "name : value" of a file.
func field(file, name string) string {
	b, _ := os.ReadFile(file)
	for l := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(key) == name {
			return orUnknown(value)
		}
	}
	return "unknown"
}

// load is the load average of the last minute.
func load() string {
	minute, _, _ := strings.Cut(line("/proc/loadavg"), " ")
	return minute
}

// commit is the commit that is checked out, and whether Go files differ from it.
func commit() string {
	head, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	changed, err := exec.Command("git", "status", "--porcelain", "--", ":/*.go").Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(head)) + " with changes"
	}
	return strings.TrimSpace(string(head))
}

func orUnknown(s string) string {
	if s = strings.TrimSpace(s); s == "" {
		return "unknown"
	}
	return s
}
