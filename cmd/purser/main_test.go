package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"purser/bench"
)

// childVariable makes this test binary be the program instead: tests that kill
// a server need it in a process of its own.
const childVariable = "PURSER_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" || bench.IsChild() {
		if control := os.Getenv(diskVariable); control != "" {
			spoilDisk(control)
		}
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// TestExitCodes: what is wrong with the command line is told apart from what
// fails, before anything is opened or asked, and the reason is on standard error.
func TestExitCodes(t *testing.T) {
	const nowhere = "--admin=http://127.0.0.1:1" // a reserved port: nobody listens
	for args, want := range map[string]int{
		"version":                           0,
		"status --help":                     0,
		"status " + nowhere:                 exitFailed,
		"snapshot list " + nowhere:          exitFailed,
		"snapshot save " + nowhere:          exitFailed,
		"verify " + nowhere:                 exitFailed,
		"nonsense":                          exitUsage,
		"--nonsense":                        exitUsage,
		"version extra":                     exitUsage,
		"version --nonsense":                exitUsage,
		"status extra":                      exitUsage,
		"status --admin=::":                 exitUsage,
		"status -o yaml " + nowhere:         exitUsage,
		"snapshot nonsense":                 exitUsage,
		"snapshot list extra":               exitUsage,
		"snapshot save one":                 exitUsage,
		"snapshot download --out=x":         exitUsage,
		"snapshot download 1-2-3":           exitUsage,
		"snapshot inspect":                  exitUsage,
		"snapshot inspect -o yaml /":        exitUsage,
		"snapshot inspect --admin=x /":      exitUsage,
		"snapshot inspect /no/such/file":    exitFailed,
		"snapshot verify one two":           exitUsage,
		"snapshot verify /no/such/file":     exitFailed,
		"snapshot restore":                  exitUsage,
		"snapshot restore /no/such/file":    exitUsage,
		"snapshot save -o yaml " + nowhere:  exitUsage,
		"verify extra":                      exitUsage,
		"verify --deep=perhaps":             exitUsage,
		"bench nonsense":                    exitUsage,
		"bench run --batch=many":            exitUsage,
		"bench run --accounts=1.5":          exitUsage,
		"bench run --rate=fast":             exitUsage,
		"bench run --duplicates=101%":       exitUsage,
		"bench run --slo=p99":               exitUsage,
		"bench run --chaos=reboot@1s":       exitUsage,
		"bench run --target=nowhere":        exitUsage,
		"bench run --target=http://[::1]:1": exitFailed,
		"bench sweep --rates=x":             exitUsage,
		"bench sweep --rates=1 --steps=1":   exitUsage,
		"bench table --rows=none":           exitUsage,
		"bench report":                      exitUsage,
		"bench report /no/such/file":        exitFailed,
		"bench compare one":                 exitUsage,
		"bench compare --margin=2 / /":      exitUsage,
		"bench compare --target=x / /":      exitUsage,
		"bench compare /no/such /no/such":   exitFailed,
		"server extra":                      exitUsage,
		"server --shards=0":                 exitUsage,
		"server --shards=1025":              exitUsage,
		"server --shards=few":               exitUsage,
		"server --max-batch=10001":          exitUsage,
		"server --idempotency-retention=1":  exitUsage,
		"server --snapshot-bytes=0":         exitUsage,
		"server --api-listen=0.0.0.0:0":     exitUsage,
		"dev --no-such-flag":                exitUsage,
	} {
		got, said := runSaying(t, strings.Fields(args))
		if got != want || strings.HasPrefix(said, "purser: ") != (want != 0) {
			t.Errorf("purser %s: exit code %d, want %d; standard error %q", args, got, want, said)
		}
	}
}

// runSaying is run, with what it writes to standard error.
func runSaying(t *testing.T, args []string) (code int, said string) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = file
	code = run(t.Context(), args)
	os.Stderr = stderr
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return code, string(mustRead(t, file.Name()))
}
