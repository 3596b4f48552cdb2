package bench

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const (
	maxConnections = 99_999 // five digits of every idempotency key
	maxBatch       = 10_000 // the highest limit a server can be started with
	maxPrefix      = 200    // leaves room for the numbers in a key of 255 bytes
	fundedPayments = 1_000_000_000
)

// Config says what load to put on which server. The zero value of a field is
// its default.
type Config struct {
	// Target is the base URL of a node. Default http://127.0.0.1:8080.
	Target string `json:"target"`
	// Connections is the number of TCP connections, each with one request in
	// flight. Default 256.
	Connections int `json:"connections"`
	// Threads is the number of workers that share the connections. Default:
	// half of the CPUs, at least one, because the server needs the rest.
	Threads int `json:"threads"`
	// Duration is the measured time, after Warmup. Default 10s, unless Requests
	// is set.
	Duration time.Duration `json:"duration_ns"`
	// Warmup is the time before measuring starts. Default 0.
	Warmup time.Duration `json:"warmup_ns"`
	// Requests ends the run after this many HTTP requests instead of after
	// Duration. Default 0: by duration.
	Requests int `json:"requests"`
	// Accounts is the number of accounts behind each numbered pattern. Default 1.
	Accounts int `json:"accounts"`
	// Hot is the share (0 to 1) of payments whose source is account 0; the
	// others are spread evenly over all accounts. Default 0.
	Hot float64 `json:"hot"`
	// Source is the account id that pays; "{n}" in it stands for the account's
	// number, padded with zeros to equal width. Default bench-{n}.
	Source string `json:"source"`
	// Destination is the account id that is paid, with the same "{n}". When it
	// equals Source, a payment never has the same account on both sides.
	// Default world:<Currency>.
	Destination string `json:"destination"`
	// Amount is the amount of each payment in minor units. Default 1.
	Amount int64 `json:"amount"`
	// Fund is what Setup pays to every source account, in minor units.
	// Default: enough for a billion payments.
	Fund int64 `json:"fund"`
	// Currency of all accounts. Default USD.
	Currency string `json:"currency"`
	// Batch is the number of payments per request: 1 sends single payments,
	// more sends batches. Default 1.
	Batch int `json:"batch"`
	// KeyPrefix starts every idempotency key; connection and request number
	// follow. Two runs with one prefix replay each other's payments. Default:
	// taken from the clock and the process id.
	KeyPrefix string `json:"key_prefix"`
	// Seed fixes which accounts the n-th request of each connection names.
	// Default 0, a seed like any other.
	Seed uint64 `json:"seed"`
	// Patience is how long a request is pursued, by waiting, reconnecting and
	// sending it again, before its outcome is given up as unresolved and its
	// connection as lost. Default 10s.
	Patience time.Duration `json:"patience_ns"`
	// Dir is where Ceiling writes the file for its fdatasync loop: a directory
	// on the disk that the server uses. Default: the temporary directory.
	Dir string `json:"dir"`
	// InProcess serves the ceiling's empty handler from this process instead of
	// a process of its own. It costs the comparison its fairness: a server does
	// not share a Go runtime with its clients.
	InProcess bool `json:"in_process"`
}

// withDefaults returns c with every unset field at its default.
func (c Config) withDefaults() Config {
	setDefault(&c.Target, "http://127.0.0.1:8080")
	setDefault(&c.Connections, 256)
	setDefault(&c.Threads, min(max(1, runtime.NumCPU()/2), max(1, c.Connections)))
	if c.Requests == 0 {
		setDefault(&c.Duration, 10*time.Second)
	}
	setDefault(&c.Accounts, 1)
	setDefault(&c.Source, "bench-{n}")
	setDefault(&c.Currency, "USD")
	setDefault(&c.Destination, "world:"+c.Currency)
	setDefault(&c.Amount, 1)
	if c.Amount > 0 && c.Fund == 0 {
		c.Fund = math.MaxInt64 / 4
		if c.Amount < c.Fund/fundedPayments {
			c.Fund = c.Amount * fundedPayments
		}
	}
	setDefault(&c.Batch, 1)
	if c.KeyPrefix == "" {
		c.KeyPrefix = fmt.Sprintf("bench-%s-%d", strconv.FormatInt(time.Now().UnixNano(), 36), os.Getpid())
	}
	setDefault(&c.Patience, 10*time.Second)
	setDefault(&c.Dir, os.TempDir())
	return c
}

func setDefault[T comparable](field *T, value T) {
	var unset T
	if *field == unset {
		*field = value
	}
}

// Validate returns every fault of c joined, or nil. Unset fields are judged by
// their defaults.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if _, err := c.address(); err != nil {
		faults = append(faults, err)
	}
	check(c.Connections >= 1 && c.Connections <= maxConnections, "connections %d: not 1 to %d", c.Connections, maxConnections)
	check(c.Threads >= 1 && c.Threads <= c.Connections, "threads %d: not 1 to the number of connections", c.Threads)
	check(c.Duration >= 0 && c.Warmup >= 0 && c.Patience > 0, "duration, warmup and patience must not be negative")
	check(c.Requests >= 0, "requests %d: negative", c.Requests)
	check(c.Requests == 0 || (c.Duration == 0 && c.Warmup == 0), "requests excludes duration and warmup")
	check(c.Accounts >= 1, "accounts %d: less than 1", c.Accounts)
	check(c.Hot >= 0 && c.Hot <= 1, "hot %v: not between 0 and 1", c.Hot)
	check(c.Amount >= 1, "amount %d: less than 1", c.Amount)
	check(c.Fund >= 1, "fund %d: less than 1", c.Fund)
	check(c.Batch >= 1 && c.Batch <= maxBatch, "batch %d: not 1 to %d", c.Batch, maxBatch)
	check(plain(c.KeyPrefix, "._:-") && len(c.KeyPrefix) <= maxPrefix,
		"key prefix %q: want up to %d letters, digits and . _ : -", c.KeyPrefix, maxPrefix)
	check(plain(c.Currency, ""), "currency %q: want letters and digits", c.Currency)
	for _, id := range []string{c.Source, c.Destination} {
		check(plain(strings.Replace(id, numberMark, "", 1), "._:-"),
			"account %q: want letters, digits, . _ : - and one %s", id, numberMark)
	}
	same := c.Source == c.Destination
	check(!same || (strings.Contains(c.Source, numberMark) && c.Accounts > 1),
		"source and destination are the same account %q", c.Source)
	check(strings.Contains(c.Source+c.Destination, numberMark) || c.Accounts == 1,
		"accounts %d, but neither source nor destination has %s", c.Accounts, numberMark)
	return errors.Join(faults...)
}

// address returns the host:port of Target.
func (c Config) address() (string, error) {
	u, err := url.Parse(c.Target)
	if err != nil {
		return "", fmt.Errorf("target: %w", err)
	}
	if u.Scheme != "http" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("target %q: want http://host:port", c.Target)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// plain reports whether s is a non-empty run of ASCII letters, digits and the
// extra bytes: such text needs no escaping in a path, a header or JSON.
func plain(s, extra string) bool {
	for i := range len(s) {
		b := s[i]
		alphanumeric := b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
		if !alphanumeric && strings.IndexByte(extra, b) < 0 {
			return false
		}
	}
	return s != ""
}
