package arch_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Commands stand in blocks of sh, in lines indented by four spaces, and between
// backquotes.
var (
	shellBlock    = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	indentedBlock = regexp.MustCompile(`(?m)(?:^    (?:go|cd|make) .*\n)+`)
	inlineCommand = regexp.MustCompile("`((?:go (?:run|test|build|doc)|make|cd) [^`\n]+)`")
)

// TestCommandsOfDocumentsExist holds the commands that documents tell a reader to
// run: the folders, the targets of make and the flags exist. TestTutorial runs those
// of docs/tutorial.md.
func TestCommandsOfDocumentsExist(t *testing.T) {
	commands := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".md" || e.Name() == "tutorial.md" || e.Name() == "CHANGELOG.md" {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		entered := "" // where the reader is after a cd further up
		for _, block := range commandBlocks(string(text)) {
			commands++
			faults, folder := unknownCommands("", block)
			if len(faults) > 0 && entered != "" {
				faults, folder = unknownCommands(entered, block)
			}
			require.Empty(t, faults, path)
			entered = folder
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, commands, 20)
}

func TestUnknownCommandsAreSeen(t *testing.T) {
	for block, want := range map[string][]string{
		"make test\nmake help    # and more":            nil,
		"make tea":                                      {"make tea: no such target"},
		"go run ./examples/echo -n 3":                   nil,
		"go run ./examples/ecco":                        {"go run ./examples/ecco: no program in examples/ecco"},
		"go run ./examples/echo -m 3":                   {"go run ./examples/echo -m 3: examples/echo has no flag -m"},
		"cd internal/arch\ngo test .":                   nil,
		"cd internal/arc && go test ./...":              {"cd internal/arc: no such folder"},
		"go doc github.com/seed-99d6a01a/gtcp/pool":     nil,
		"go doc github.com/seed-99d6a01a/gtcp/pond":     {"go doc github.com/seed-99d6a01a/gtcp/pond: no such package"},
		"POOLTEST_STRESS=1m go test -race ./pool/nosuc": {"go test -race ./pool/nosuc: no program in pool/nosuc"},
	} {
		got, _ := unknownCommands("", block)
		require.Equal(t, want, got, block)
	}
	require.Equal(t, []string{"make a\n", "    go test .\n    cd b\n", "go run ./c"},
		commandBlocks("```sh\nmake a\n```\n\n    go test .\n    cd b\n\nSee `go run ./c` and `go`."))
}

func commandBlocks(text string) (blocks []string) {
	for _, match := range shellBlock.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, match[1])
	}
	text = shellBlock.ReplaceAllString(text, "")
	blocks = append(blocks, indentedBlock.FindAllString(text, -1)...)
	for _, match := range inlineCommand.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, match[1])
	}
	return blocks
}

// unknownCommands says what is wrong with the commands of a block, which begins in a
// folder of the repository, and in which one it ends.
func unknownCommands(folder, block string) (found []string, end string) {
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(line, " #")
		for command := range strings.SplitSeq(line, "&&") {
			words := strings.Fields(command)
			for len(words) > 0 && strings.Contains(words[0], "=") {
				words = words[1:] // of the environment
			}
			if len(words) < 2 {
				continue
			}
			if words[0] == "cd" {
				folder = filepath.Join(folder, words[1])
			}
			if fault := fault(folder, words); fault != "" {
				found = append(found, strings.Join(words, " ")+": "+fault)
			}
		}
	}
	return found, folder
}

func fault(folder string, words []string) string {
	switch words[0] {
	case "cd":
		if info, err := os.Stat(filepath.Join(root, folder)); err != nil || !info.IsDir() {
			return "no such folder"
		}
	case "make":
		makefile, _ := os.ReadFile(filepath.Join(root, "Makefile"))
		if !strings.Contains(string(makefile), "\n"+words[1]+":") {
			return "no such target"
		}
	case "go":
		return goFault(folder, words[1:])
	}
	return ""
}

// goFault looks at a go command: its packages exist, and a program that it runs has
// the flags.
func goFault(folder string, words []string) string {
	if words[0] == "doc" {
		pkg, ours := strings.CutPrefix(words[len(words)-1], module)
		if _, err := os.Stat(filepath.Join(root, pkg)); ours && err != nil {
			return "no such package"
		}
		return ""
	}
	program := ""
	for _, word := range words[1:] {
		name, isFlag := strings.CutPrefix(word, "-")
		switch {
		case word == "./PACKAGE": // the reader's choice
		case word == "." || strings.HasPrefix(word, "./"):
			at := filepath.Join(folder, strings.TrimSuffix(word, "..."))
			sources, _ := filepath.Glob(filepath.Join(root, at, "*.go"))
			if len(sources) == 0 && !strings.HasSuffix(word, "...") {
				return "no program in " + at
			}
			program = at
		case isFlag && words[0] == "run" && program != "":
			name, _, _ = strings.Cut(name, "=")
			if !hasFlag(program, name) {
				return fmt.Sprintf("%s has no flag -%s", program, name)
			}
		}
	}
	return ""
}

// hasFlag reports whether a source of the program defines the flag, or one of the
// packages that the programs beside it share.
func hasFlag(folder, name string) bool {
	sources, _ := filepath.Glob(filepath.Join(root, folder, "*.go"))
	shared, _ := filepath.Glob(filepath.Join(root, folder, "..", "internal", "*", "*.go"))
	for _, source := range append(sources, shared...) {
		text, _ := os.ReadFile(source)
		if strings.Contains(string(text), `"`+name+`"`) {
			return true
		}
	}
	return false
}

// drawn are the pictures that no make target makes, and what holds them.
var drawn = map[string]string{
	"layers.svg": "TestThePictureOfTheLayersHasEachPackage",
}

// TestPicturesOfDocumentsAreMade holds that each picture is a chart that make bench,
// make chaos or examples/load draws, whose tests compare it with its page, a
// screenshot of a test, or has a test of its own.
func TestPicturesOfDocumentsAreMade(t *testing.T) {
	image := regexp.MustCompile(`!\[([^\]]*)\]\(([^)]+)\)`)
	made := regexp.MustCompile(`^charts/(bench|chaos|load)-[a-z0-9-]+\.svg$|\.png$`)
	pictures := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, match := range image.FindAllStringSubmatch(string(text), -1) {
			pictures++
			name := strings.TrimPrefix(match[2], "docs/")
			require.NotEmpty(t, match[1], "%s: %s has no text for those who do not see it", path, name)
			require.True(t, drawn[name] != "" || made.MatchString(name), "%s: what makes %s?", path, name)
		}
		return err
	})
	require.NoError(t, err)
	require.Greater(t, pictures, 5)
}

func TestThePictureOfTheLayersHasEachPackage(t *testing.T) {
	picture, err := os.ReadFile(filepath.Join(root, "docs", "layers.svg"))
	require.NoError(t, err)
	var boxes []string
	for _, match := range regexp.MustCompile(`<text x="\d+" y="\d+">([^<]+)</text>`).FindAllStringSubmatch(string(picture), -1) {
		boxes = append(boxes, strings.Split(match[1], ", ")...)
	}
	require.ElementsMatch(t, []string{
		"your program", "gtcp.Client", "gtcp", "the facade", "server", "retry", "pool/pipeline", "pool/balance", "pool/resolve", "pool", "framing", "conn",
	}, boxes)
	for _, box := range boxes {
		if strings.HasPrefix(box, "gtcp") || strings.Contains(box, " ") {
			continue
		}
		sources, err := filepath.Glob(filepath.Join(root, box, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, sources, "%s is no package", box)
	}
}
