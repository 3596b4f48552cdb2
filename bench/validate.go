package bench

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Validate returns every fault of c joined, or nil. Unset fields are judged by
// their defaults.
func (c Config) Validate() error {
	c = c.withDefaults()
	var f faults
	for _, address := range append(c.Targets, c.Admins...) {
		_, err := hostPort(address)
		f.add(err)
	}
	f.check(c.Connections >= 1 && c.Connections <= maxConnections, "connections %d: not 1 to %d", c.Connections, maxConnections)
	f.check(c.Threads >= 1 && c.Threads <= c.Connections, "threads %d: not 1 to the number of connections", c.Threads)
	f.check(c.Duration >= 0 && c.Warmup >= 0 && c.Patience > 0, "duration, warmup and patience must not be negative")
	f.check(c.Requests >= 0, "requests %d: negative", c.Requests)
	f.check(c.Requests == 0 || (c.Duration == 0 && c.Warmup == 0), "requests excludes duration and warmup")
	f.check(c.Syncs >= 1, "syncs %d: less than 1", c.Syncs)
	f.check(c.Batch >= 1 && c.Batch <= maxBatch, "batch %d: not 1 to %d", c.Batch, maxBatch)
	f.check(c.Rate >= 0 && c.Rate <= 1e8, "rate %v: not 0 to 100 million", c.Rate)
	f.check(c.Arrivals == arrivalsPoisson || c.Arrivals == arrivalsConstant, "arrivals %q: neither poisson nor constant", c.Arrivals)
	f.check(c.Duplicates >= 0 && c.Duplicates < 1, "duplicates %v: not a share from 0 to below 1", c.Duplicates)
	f.check(plain(c.KeyPrefix, "._:-") && len(c.KeyPrefix) <= maxPrefix,
		"key prefix %q: want up to %d letters, digits and . _ : -", c.KeyPrefix, maxPrefix)

	mix, err := parseMix(c.Mix)
	f.add(err)
	f.check(c.Batch == 1 || err != nil || mix.only(pay), "a batch has payments only, not the mix %q", c.Mix)
	_, err = parseObjectives(c.SLO)
	f.add(err)
	events, err := parseChaos(c.Chaos)
	f.add(err)
	for _, e := range events {
		f.check(c.Requests > 0 || e.at < c.Warmup+c.Duration, "chaos %s is after the end of the run", e)
	}
	c.validateAccounts(&f)
	return errors.Join(f...)
}

func (c Config) validateAccounts(f *faults) {
	f.check(c.Accounts >= 1, "accounts %d: less than 1", c.Accounts)
	f.check(c.Hot >= 0 && c.Hot <= c.Accounts, "hot %d: not 0 to the number of accounts", c.Hot)
	f.check(c.HotPercent >= 0 && c.HotPercent <= 100, "hot percent %v: not 0 to 100", c.HotPercent)
	f.check(c.Hot > 0 || c.HotPercent == 0, "hot percent without hot accounts")
	_, err := parseSkew(c.Skew)
	f.add(err)
	f.check(c.Amount >= 1, "amount %d: less than 1", c.Amount)
	f.check(c.Fund >= 1, "fund %d: less than 1", c.Fund)
	f.check(plain(c.Currency, ""), "currency %q: want letters and digits", c.Currency)
	for _, id := range []string{c.Source, c.Destination} {
		f.check(plain(strings.Replace(id, numberMark, "", 1), "._:-"),
			"account %q: want letters, digits, . _ : - and one %s", id, numberMark)
	}
	f.check(c.Source != c.Destination || (strings.Contains(c.Source, numberMark) && c.Accounts > 1),
		"source and destination are the same account %q", c.Source)
	f.check(strings.Contains(c.Source+c.Destination, numberMark) || c.Accounts == 1,
		"accounts %d, but neither source nor destination has %s", c.Accounts, numberMark)
	f.check(!c.Verify || !newPattern(c.Source, 1).world(), "verify: the source must be an account, not %s", c.Source)
}

// faults collects errors.
type faults []error

func (f *faults) add(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

func (f *faults) check(ok bool, format string, args ...any) {
	if !ok {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

// hostPort returns the host:port of a base URL.
func hostPort(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("address: %w", err)
	}
	if u.Scheme != "http" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("address %q: want http://host:port", base)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// addresses returns the host:port of every target.
func (c Config) addresses() ([]string, error) {
	hosts := make([]string, len(c.Targets))
	for i, target := range c.Targets {
		host, err := hostPort(target)
		if err != nil {
			return nil, err
		}
		hosts[i] = host
	}
	return hosts, nil
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
