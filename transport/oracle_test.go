package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"unicode/utf8"

	"purser/internal/ledger"
)

// The oracle decides on bodies by another route than the decoder: encoding/json
// for the syntax, a tree that keeps what encoding/json would forget, and the
// contract's rules as regular expressions.

type field struct {
	name  string
	value any
}

// A tree node is a fields, a []any, or what json.Decoder.Token returns.
type fields []field

// parseTree returns what src says, or an error where it is not strict JSON.
func parseTree(src []byte) (any, error) {
	switch {
	case !utf8.Valid(src):
		return nil, fmt.Errorf("not UTF-8")
	case !json.Valid(src):
		return nil, fmt.Errorf("not JSON")
	case loneSurrogate(src):
		return nil, fmt.Errorf("a surrogate alone")
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	return parseNode(d)
}

func parseNode(d *json.Decoder) (any, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('{'):
		f := fields{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := parseNode(d)
			if err != nil {
				return nil, err
			}
			f = append(f, field{name.(string), v})
		}
		_, err = d.Token()
		return f, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := parseNode(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return tok, nil
}

// loneSurrogate looks at the escapes of valid JSON.
func loneSurrogate(src []byte) bool {
	unit := func(at int) (uint64, bool) {
		if at+6 > len(src) || src[at] != '\\' || src[at+1] != 'u' {
			return 0, false
		}
		v, err := strconv.ParseUint(string(src[at+2:at+6]), 16, 16)
		return v, err == nil
	}
	for i := 0; i < len(src); i++ {
		if src[i] != '\\' {
			continue
		}
		v, ok := unit(i)
		switch {
		case !ok:
			i++
		case v >= 0xDC00 && v <= 0xDFFF:
			return true
		case v >= 0xD800 && v <= 0xDBFF:
			if low, ok := unit(i + 6); !ok || low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 11
		default:
			i += 5
		}
	}
	return false
}

// depth is how deep values nest below v; v itself counts 1.
func depth(v any) int {
	most := 0
	switch v := v.(type) {
	case fields:
		for _, f := range v {
			most = max(most, depth(f.value))
		}
	case []any:
		for _, e := range v {
			most = max(most, depth(e))
		}
	}
	return most + 1
}

// known turns an object into a map, if its fields are among names and differ.
func known(v any, names ...string) (map[string]any, bool) {
	list, ok := v.(fields)
	m := map[string]any{}
	for _, f := range list {
		allowed := false
		for _, n := range names {
			allowed = allowed || n == f.name
		}
		if _, twice := m[f.name]; twice || !allowed {
			return nil, false
		}
		m[f.name] = f.value
	}
	return m, ok
}

var (
	oracleID       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)
	oracleWorld    = regexp.MustCompile(`^world:[A-Z][A-Z0-9]{2,11}$`)
	oracleIsWorld  = regexp.MustCompile(`^world:`)
	oracleCurrency = regexp.MustCompile(`^[A-Z][A-Z0-9]{2,11}$`)
	oracleDigits   = regexp.MustCompile(`^[0-9]+$`)
	oracleKey      = regexp.MustCompile(`^[!-~]{1,255}$`)
)

// rules reads typed fields of one object; the first broken rule clears ok.
type rules struct {
	m  map[string]any
	ok bool
}

func (r *rules) has(name string) bool { _, ok := r.m[name]; return ok }

func (r *rules) str(name string, rule func(string) bool) []byte {
	s, ok := r.m[name].(string)
	r.ok = r.ok && ok && rule(s)
	return []byte(s)
}

func (r *rules) number(name string, text bool, least, most int64) int64 {
	var digits string
	switch v := r.m[name].(type) {
	case json.Number:
		digits = string(v)
	case string:
		r.ok = r.ok && text
		digits = v
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	r.ok = r.ok && oracleDigits.MatchString(digits) && err == nil && v >= least && v <= most
	return v
}

func (r *rules) bool(name string) bool {
	v, ok := r.m[name].(bool)
	r.ok = r.ok && ok
	return v
}

func (r *rules) metadata(name string) ledger.Metadata {
	list, ok := r.m[name].(fields)
	seen := map[string]bool{}
	var pairs []ledger.Pair
	for _, f := range list {
		v, str := f.value.(string)
		ok = ok && str && !seen[f.name] && len(f.name) >= 1 && len(f.name) <= 40 && len(v) <= 200
		seen[f.name] = true
		pairs = append(pairs, ledger.Pair{Key: []byte(f.name), Value: []byte(v)})
	}
	r.ok = r.ok && ok && len(list) <= 16
	return ledger.AppendMetadata(nil, pairs)
}

func oracleAccountID(s string) bool {
	return oracleID.MatchString(s) && (!oracleIsWorld.MatchString(s) || oracleWorld.MatchString(s))
}

const oracleMost = 9223372036854775807

// oraclePayment returns the command that a payment is, and whether it is one.
func oraclePayment(v any, keyed bool) (ledger.Command, bool) {
	names := []string{"source", "destination", "amount", "currency", "capture", "expires_in",
		"reference", "metadata", "conditions"}
	if keyed {
		names = append(names, "idempotency_key")
	}
	m, ok := known(v, names...)
	r := &rules{m, ok}
	c := ledger.Command{Kind: ledger.Pay, ExpiresIn: 604800}
	if keyed {
		c.Key = r.str("idempotency_key", oracleKey.MatchString)
	}
	c.Source = r.str("source", oracleAccountID)
	c.Amount = r.number("amount", true, 1, oracleMost)
	currency := r.str("currency", oracleCurrency.MatchString)
	copy(c.Currency[:], currency)
	c.Destination = append([]byte("world:"), currency...)
	if r.has("destination") {
		c.Destination = r.str("destination", oracleAccountID)
	}
	if r.has("capture") && !r.bool("capture") {
		c.Kind = ledger.Authorize
	}
	if r.has("expires_in") {
		c.ExpiresIn = r.number("expires_in", false, 1, 2592000)
	}
	if r.has("reference") {
		c.Reference = r.str("reference", func(s string) bool { return len(s) <= 255 })
	}
	if r.has("metadata") {
		c.Metadata = r.metadata("metadata")
	}
	if r.has("conditions") {
		m, ok := known(m["conditions"], "source_version", "min_available_after")
		in := &rules{m, ok}
		if in.has("source_version") {
			c.SourceVersion = ledger.Optional{Set: true, Value: in.number("source_version", false, 0, oracleMost)}
		}
		if in.has("min_available_after") {
			c.MinAvailableAfter = ledger.Optional{Set: true, Value: in.number("min_available_after", true, 0, oracleMost)}
		}
		r.ok = r.ok && in.ok
	}
	return c, r.ok
}

// oracleAccount returns the command that a PUT's body is, and whether it is one.
func oracleAccount(v any) (ledger.Command, bool) {
	m, ok := known(v, "currency", "overdraft_limit", "metadata")
	r := &rules{m, ok}
	c := ledger.Command{Kind: ledger.CreateAccount}
	copy(c.Currency[:], r.str("currency", oracleCurrency.MatchString))
	r.limit(&c)
	if r.has("metadata") {
		c.Metadata = r.metadata("metadata")
	}
	return c, r.ok
}

func (r *rules) limit(c *ledger.Command) {
	switch {
	case !r.has("overdraft_limit"):
	case r.m["overdraft_limit"] == "unlimited":
		c.Unlimited = true
	default:
		c.Limit = r.number("overdraft_limit", true, 0, oracleMost)
	}
}

// oraclePatch returns the command that a PATCH's body is, and whether it is one.
func oraclePatch(v any) (ledger.Command, bool) {
	m, ok := known(v, "overdraft_limit", "status", "metadata")
	r := &rules{m, ok}
	c := ledger.Command{Kind: ledger.UpdateAccount}
	if r.has("overdraft_limit") {
		c.Sets |= ledger.SetsLimit
	}
	r.limit(&c)
	if r.has("status") {
		c.Sets |= ledger.SetsStatus
		c.Status = map[string]ledger.Status{
			"active": ledger.Active, "frozen": ledger.Frozen, "closed": ledger.Closed,
		}[string(r.str("status", regexp.MustCompile(`^(active|frozen|closed)$`).MatchString))]
	}
	if r.has("metadata") {
		c.Sets |= ledger.SetsMetadata
		c.Metadata = r.metadata("metadata")
	}
	return c, r.ok
}

// oracleCapture and the two after it are the bodies of the commands on a payment.
func oracleCapture(v any) (ledger.Command, bool) {
	m, ok := known(v, "amount", "final")
	r := &rules{m, ok}
	c := ledger.Command{Final: true}
	if r.has("amount") {
		c.Amount = r.number("amount", true, 1, oracleMost)
	}
	if r.has("final") {
		c.Final = r.bool("final")
	}
	return c, r.ok
}

func oracleRefund(v any) (ledger.Command, bool) {
	m, ok := known(v, "amount")
	r := &rules{m, ok}
	var c ledger.Command
	if r.has("amount") {
		c.Amount = r.number("amount", true, 1, oracleMost)
	}
	return c, r.ok
}

func oracleVoid(v any) (ledger.Command, bool) {
	_, ok := known(v)
	return ledger.Command{}, ok
}
