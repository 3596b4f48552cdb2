package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"purser/internal/ledger"
)

// bodies are the decoders of single objects with their oracles.
var bodies = map[string]struct {
	read   func(*decoder, *ledger.Command)
	oracle func(any) (ledger.Command, bool)
}{
	"payment": {decodePayment, func(v any) (ledger.Command, bool) { return oraclePayment(v, false) }},
	"account": {decodeAccount, oracleAccount},
	"patch":   {decodeAccountPatch, oraclePatch},
	"capture": {decodeCapture, oracleCapture},
	"refund":  {decodeRefund, oracleRefund},
	"void":    {decodeVoid, oracleVoid},
}

// agree fails unless the decoder accepts src exactly if the oracle does, as the
// same command.
func agree(t testing.TB, name string, src []byte) {
	t.Helper()
	var d decoder
	var got ledger.Command
	d.reset(bytes.Clone(src))
	bodies[name].read(&d, &got)
	tree, err := parseTree(src)
	var want ledger.Command
	ok := err == nil
	if ok {
		want, ok = bodies[name].oracle(tree)
	}
	if ok == d.failed() {
		t.Fatalf("%s %q: accepted %v, the oracle says %v (%v)\nfault %+v", name, src, !d.failed(), ok, err, d.fault)
	}
	if ok && !same(&got, &want) {
		t.Fatalf("%s %q:\ngot  %+v\nwant %+v", name, src, got, want)
	}
}

// same compares commands; nil and empty slices are the same request.
func same(a, b *ledger.Command) bool {
	text := func(c ledger.Command) string {
		strings := [][]byte{c.Key, c.Source, c.Destination, c.Reference, c.Metadata}
		c.Key, c.Source, c.Destination, c.Reference, c.Metadata = nil, nil, nil, nil, nil
		return fmt.Sprintf("%q %+v", strings, c)
	}
	return text(*a) == text(*b)
}

func FuzzDecodePayment(f *testing.F) {
	for _, s := range paymentSeeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) { agree(t, "payment", src) })
}

func FuzzDecodeAccount(f *testing.F) {
	for _, s := range accountSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for name := range bodies {
			if name != "payment" {
				agree(t, name, src)
			}
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	for _, s := range paymentSeeds() {
		f.Add([]byte(`{"payments":[` + s + `]}`))
		f.Add([]byte(`{"payments":[{"idempotency_key":"k",` + strings.TrimPrefix(s, "{") + `,` + s + `]}`))
	}
	f.Add([]byte(`{"payments":[]}`))
	f.Add([]byte(`{"payments":{}}`))
	f.Add([]byte(`{"payments":[1,[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]}`))
	f.Add([]byte(`{"payments":[{"idempotency_key":"a b"},null,"x",{"a":[1,{"b":tru}]}]}`))
	f.Fuzz(agreeBatch)
}

func agreeBatch(t *testing.T, src []byte) {
	const most = 4
	var d decoder
	var b batch
	d.reset(bytes.Clone(src))
	decodeBatch(&d, &b, most)
	tree, err := parseTree(src)
	ok := err == nil
	var items []any
	if ok {
		m, fine := known(tree, "payments")
		items, ok = m["payments"].([]any)
		ok = ok && fine && len(items) >= 1 && len(items) <= most
	}
	var want []ledger.Command
	verdicts := make([]bool, len(items))
	for i, item := range items {
		c, good := oraclePayment(item, true)
		if verdicts[i] = good; good {
			want = append(want, c)
		} else if depth(item) > maxDepth {
			ok = false
		}
	}
	if ok == d.failed() {
		t.Fatalf("%q: accepted %v, the oracle says %v (%v)\nfault %+v", src, !d.failed(), ok, err, d.fault)
	}
	if !ok {
		return
	}
	if len(b.faults) != len(items) || len(b.commands) != len(want) {
		t.Fatalf("%q: %d items and %d commands, want %d and %d", src, len(b.faults), len(b.commands), len(items), len(want))
	}
	for i, good := range verdicts {
		if good != (b.faults[i].code == noCode) {
			t.Fatalf("%q: item %d: fault %+v, the oracle says %v", src, i, b.faults[i], good)
		}
	}
	for i := range want {
		if !same(&b.commands[i], &want[i]) {
			t.Fatalf("%q: item %d:\ngot  %+v\nwant %+v", src, i, b.commands[i], want[i])
		}
	}
}

var accountSeeds = []string{
	`{}`, `{"currency":"USD"}`, `{"currency":"USD","overdraft_limit":"unlimited","metadata":{"a":"b"}}`,
	`{"currency":"USD","overdraft_limit":-0}`, `{"currency":"USD","overdraft_limit":0}`,
	`{"overdraft_limit":"9223372036854775807","status":"frozen","metadata":{}}`,
	`{"overdraft_limit":"9223372036854775808"}`, `{"status":"Active"}`, `{"status":null}`,
	`{"amount":"5","final":false}`, `{"final":1}`, `{"amount":0}`, `[]`, `null`, `{"currency":"USD",}`,
}

// paymentSeeds are payments that are nearly all broken in one way each.
func paymentSeeds() []string {
	seeds := []string{
		paymentBody, "", "null", "[]", `"x"`, "{", "{}", "{}{}", paymentBody + "x", paymentBody + " \n", "\ufeff" + paymentBody,
	}
	for _, v := range []string{
		`1`, `"1"`, `"0001"`, `0`, `"0"`, `01`, `-1`, `"-1"`, `"+1"`, `1.0`, `1e3`, `1E+3`, `"1e3"`, `"1.0"`, `""`, `" 1"`, `"1 "`,
		`9223372036854775807`, `"9223372036854775807"`, `9223372036854775808`, `"9223372036854775808"`,
		`99999999999999999999`, `true`, `null`, `[]`, `{}`, `"\u0031"`, `"１"`, `1.`, `.5`, `1e`, `-`, `+1`, `0x10`, `1_000`, `NaN`, `"` + strings.Repeat("0", 40) + `7"`,
	} {
		seeds = append(seeds, `{"source":"a","currency":"USD","amount":`+v+`}`)
	}
	for _, v := range []string{
		`""`, `"-a"`, `"a b"`, `"aé"`, `"world:"`, `"world:US"`, `"world:USD"`, `"world:usd"`, `"world"`, `"World:USD"`, `"a\u0000"`,
		`"\u0061"`, `"` + strings.Repeat("a", 128) + `"`, `"` + strings.Repeat("a", 129) + `"`, `1`, `null`, `"a\/b"`,
	} {
		seeds = append(seeds, `{"source":`+v+`,"currency":"USD","amount":1}`, `{"destination":`+v+`,"source":"a","currency":"USD","amount":1}`)
	}
	for _, v := range []string{
		`"currency":"US"`, `"currency":"USDUSDUSDUSD"`, `"currency":"USDUSDUSDUSDX"`, `"currency":"1SD"`, `"currency":"usd"`,
		`"currency":"USD","currency":"USD"`, `"currency":"USD","curr\u0065ncy":"EUR"`, `"currency":"USD","x":1`, `"currency":"USD","Source":"b"`,
		`"currency":"USD","capture":false`, `"currency":"USD","capture":"false"`, `"currency":"USD","capture":null`, `"currency":"USD","capture":tru`,
		`"currency":"USD","capture":truex`, `"currency":"USD","expires_in":0`, `"currency":"USD","expires_in":2592000`, `"currency":"USD","expires_in":2592001`,
		`"currency":"USD","expires_in":"60"`, `"currency":"USD","expires_in":60.0`, `"currency":"USD","reference":""`, `"currency":"USD","reference":"` + strings.Repeat("é", 127) + `"`,
		`"currency":"USD","reference":"` + strings.Repeat("é", 128) + `"`, `"currency":"USD","reference":"\ud83d\ude00\n\"\\\/\b\f\r\t"`,
		`"currency":"USD","reference":"\ud83d"`, `"currency":"USD","reference":"\ude00\ud83d"`, `"currency":"USD","reference":"\ud83dx"`, `"currency":"USD","reference":"\ud83d\u0041"`,
		`"currency":"USD","reference":"\uD83D\uDE0"`, `"currency":"USD","reference":"\u12G4"`, `"currency":"USD","reference":"\x41"`, `"currency":"USD","reference":"\`,
		`"currency":"USD","reference":"` + "\xff" + `"`, `"currency":"USD","reference":"` + "\xed\xa0\x80" + `"`, `"currency":"USD","reference":"` + "\xc0\xaf" + `"`,
		`"currency":"USD","reference":"` + "a\nb" + `"`, `"currency":"USD","reference":"` + "a\x7fb" + `"`, `"currency":"USD","reference":"a\\` + "\xff" + `"`,
		`"currency":"USD","metadata":{}`, `"currency":"USD","metadata":[]`, `"currency":"USD","metadata":{"b":"2","a":"1"}`, `"currency":"USD","metadata":{"a":"1","\u0061":"2"}`,
		`"currency":"USD","metadata":{"a":1}`, `"currency":"USD","metadata":{"a":null}`, `"currency":"USD","metadata":{"":"x"}`, `"currency":"USD","metadata":{"a":{"b":"c"}}`,
		`"currency":"USD","metadata":{"` + strings.Repeat("k", 40) + `":"` + strings.Repeat("v", 200) + `"}`, `"currency":"USD","metadata":{"` + strings.Repeat("k", 41) + `":""}`,
		`"currency":"USD","metadata":{"a":"` + strings.Repeat("v", 201) + `"}`, `"currency":"USD","metadata":` + pairsJSON(16), `"currency":"USD","metadata":` + pairsJSON(17),
		`"currency":"USD","conditions":{}`, `"currency":"USD","conditions":null`, `"currency":"USD","conditions":{"source_version":41,"min_available_after":"0"}`,
		`"currency":"USD","conditions":{"source_version":"41"}`, `"currency":"USD","conditions":{"source_version":-1}`, `"currency":"USD","conditions":{"min_available_after":5}`,
		`"currency":"USD","conditions":{"min_available_after":"-5"}`, `"currency":"USD","conditions":{"x":1}`, `"currency":"USD","conditions":{"source_version":1,"source_version":1}`,
		`"currency":"USD","a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100), `"currency":"USD","idempotency_key":"k"`, `"currency" : "USD" , `, `"currency":"USD" "x":1`, `"currency" "USD"`, `currency:"USD"`, `'currency':'USD'`,
		`"currency":"USD" // why`, `"currency":"USD"/**/`, "\"currency\":\"USD\"\x00", "\"currency\":\"USD\"\u00a0", "\t\r\n \"currency\"\t:\r\n\"USD\"\v",
	} {
		seeds = append(seeds, `{"source":"a","amount":1,`+v+`}`)
	}
	return seeds
}

func pairsJSON(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// TestDecodeTruncated feeds every beginning of a long valid body: nothing short
// of the whole is accepted, and nothing panics.
func TestDecodeTruncated(t *testing.T) {
	whole := `{"source":"al\u0069ce","destination":"m","amount":"12","currency":"USD","capture":false,"expires_in":60,` +
		`"reference":"\ud83d\ude00é","metadata":{"a":"b","c":"d\n"},"conditions":{"source_version":4,"min_available_after":"0"}}`
	for n := range len(whole) {
		agree(t, "payment", []byte(whole[:n]))
		for _, b := range []byte{0, '"', '\\', '}', ',', 0xff} {
			agree(t, "payment", append([]byte(whole[:n]), b))
			agree(t, "payment", []byte(whole[:n]+string(rune(b))+whole[n+1:]))
		}
	}
	agree(t, "payment", []byte(whole))
}

// TestFaults pins code and param of what is refused.
func TestFaults(t *testing.T) {
	tests := []struct {
		body  string
		code  code
		param string
	}{
		{``, codeInvalidJSON, ""},
		{`{`, codeInvalidJSON, ""},
		{`{"amount":01}`, codeInvalidJSON, ""},
		{paymentBody + `,`, codeInvalidJSON, ""},
		{`{"reference":"\ud800"}`, codeInvalidJSON, ""},
		{"{\"reference\":\"\xff\"}", codeInvalidJSON, ""},
		{`[]`, codeInvalidRequest, ""},
		{`{"amount":-1}`, codeInvalidRequest, "amount"},
		{`{"amount":1.5}`, codeInvalidRequest, "amount"},
		{`{"amount":"1e3"}`, codeInvalidRequest, "amount"},
		{`{"amount":0}`, codeInvalidRequest, "amount"},
		{`{"amount":"9223372036854775808"}`, codeInvalidRequest, "amount"},
		{`{"amount":true}`, codeInvalidRequest, "amount"},
		{`{"source":1}`, codeInvalidRequest, "source"},
		{`{"source":"-x"}`, codeInvalidRequest, "source"},
		{`{"source":"a","source":"a"}`, codeInvalidRequest, "source"},
		{`{"currency":"usd"}`, codeInvalidRequest, "currency"},
		{`{"capture":"yes"}`, codeInvalidRequest, "capture"},
		{`{"expires_in":0}`, codeInvalidRequest, "expires_in"},
		{`{"metadata":{"a":1}}`, codeInvalidRequest, "metadata"},
		{`{"conditions":7}`, codeInvalidRequest, "conditions"},
		{`{"conditions":{"source_version":"1"}}`, codeInvalidRequest, "conditions.source_version"},
		{`{"conditions":{"later":1}}`, codeUnknownField, "conditions.later"},
		{`{"colour":1}`, codeUnknownField, "colour"},
		{`{"idempotency_key":"k"}`, codeUnknownField, "idempotency_key"},
		{`{"amount":1,"currency":"USD"}`, codeInvalidRequest, "source"},
		{`{"source":"a","currency":"USD"}`, codeInvalidRequest, "amount"},
		{`{"source":"a","amount":1}`, codeInvalidRequest, "currency"},
	}
	for _, tt := range tests {
		var d decoder
		var c ledger.Command
		d.reset([]byte(tt.body))
		decodePayment(&d, &c)
		if d.fault.code != tt.code || string(d.fault.param) != tt.param || d.fault.detail == "" {
			t.Errorf("%s: %v param %q (%s), want %v param %q", tt.body, d.fault.code, d.fault.param, d.fault.detail, tt.code, tt.param)
		}
	}
}

// spelled writes one payment in one of its many spellings.
func spelled(t *rapid.T, label string, parts map[string]any) []byte {
	names := make([]string, 0, len(parts))
	for _, name := range []string{"source", "amount", "currency", "reference", "metadata", "conditions"} {
		if _, ok := parts[name]; ok {
			names = append(names, name)
		}
	}
	names = rapid.Permutation(names).Draw(t, label+" order")
	space := func() string { return rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, label+" space") }
	text := func(s string) string {
		var b strings.Builder
		for _, r := range s {
			if r < 0x10000 && rapid.Bool().Draw(t, label+" escaped") {
				fmt.Fprintf(&b, `\u%04X`, r)
				continue
			}
			out, _ := json.Marshal(string(r))
			b.Write(out[1 : len(out)-1])
		}
		return `"` + b.String() + `"`
	}
	value := func(v any) string {
		switch v := v.(type) {
		case int64:
			if rapid.Bool().Draw(t, label+" as string") {
				return text(fmt.Sprint(v))
			}
			return fmt.Sprint(v)
		case map[string]string:
			var keys []string
			for k := range v {
				keys = append(keys, k)
			}
			if len(keys) > 0 {
				slices.Sort(keys)
				keys = rapid.Permutation(keys).Draw(t, label+" keys")
			}
			var pairs []string
			for _, k := range keys {
				pairs = append(pairs, space()+text(k)+space()+":"+space()+text(v[k]))
			}
			return "{" + strings.Join(pairs, ",") + space() + "}"
		default:
			return text(v.(string))
		}
	}
	var out []string
	for _, name := range names {
		out = append(out, space()+text(name)+space()+":"+space()+value(parts[name])+space())
	}
	return []byte(space() + "{" + strings.Join(out, ",") + "}" + space())
}

// TestSpellings: field order, white space, escapes and the two ways to write an
// amount make no difference to the command.
func TestSpellings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := map[string]any{
			"source":    rapid.StringMatching(`[a-z][a-z0-9.-]{0,20}`).Draw(t, "source"),
			"amount":    rapid.Int64Range(1, oracleMost).Draw(t, "amount"),
			"currency":  rapid.StringMatching(`[A-Z]{3}`).Draw(t, "currency"),
			"reference": rapid.StringN(0, 20, 60).Draw(t, "reference"),
			"metadata":  rapid.MapOfN(rapid.StringN(1, 5, 20), rapid.StringN(0, 5, 20), 0, 4).Draw(t, "metadata"),
		}
		var commands [2]ledger.Command
		var spellings [2][]byte
		for i := range commands {
			spellings[i] = spelled(t, fmt.Sprint(i), parts)
			var d decoder
			d.reset(spellings[i])
			decodePayment(&d, &commands[i])
			if d.failed() {
				t.Fatalf("%s: %+v", spellings[i], d.fault)
			}
		}
		a, b := ledger.AppendCommand(nil, &commands[0]), ledger.AppendCommand(nil, &commands[1])
		if !bytes.Equal(a, b) {
			t.Fatalf("two spellings of one request differ:\n%s\n%s", spellings[0], spellings[1])
		}
	})
}

// TestPanicInDecoderIsRefused: decoding is the one place where a panic does not
// end the process.
func TestPanicInDecoderIsRefused(t *testing.T) {
	var d decoder
	guard(&d, func() { panic("a bug") })
	if d.fault.code != codeInvalidJSON {
		t.Errorf("fault %+v, want invalid_json", d.fault)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	full := []byte(`{"source":"alice","destination":"merchant-7","amount":"1250","currency":"USD","capture":true,"expires_in":604800,` +
		`"reference":"order-\u0039","metadata":{"b":"2","a":"1"},"conditions":{"source_version":41,"min_available_after":"0"}}`)
	var d decoder
	var c ledger.Command
	if n := testing.AllocsPerRun(1000, func() {
		c = ledger.Command{}
		d.reset(full)
		decodePayment(&d, &c)
	}); n != 0 || d.failed() {
		t.Errorf("%v allocations, fault %+v", n, d.fault)
	}
}

// TestSkipPlain: the first byte that is not plain is found wherever it stands, whatever
// follows it.
func TestSkipPlain(t *testing.T) {
	text := []byte("abcdefgh ~ijklmn\x7f0123456789")
	for _, last := range []byte{'x', '"', '\\', 0, 0x1f, 0x80, 0xff, ' ', '!', '#', '[', ']', 0x7f} {
		for at := range text {
			for b := range 256 {
				src := bytes.Clone(text)
				src[at] = byte(b)
				src = append(src[:at+1], append([]byte{last}, src[at+1:]...)...)
				want := slices.IndexFunc(src, func(b byte) bool { return b < ' ' || b == '"' || b == '\\' || b >= 0x80 })
				got := skipPlain(src, 0)
				if want < 0 {
					want = len(src)
				}
				if got > want || got < want-7 {
					t.Fatalf("%q: %d, want %d or up to 7 before", src, got, want)
				}
				if got < want && got < len(src)&^7 {
					t.Fatalf("%q: %d, before the last bytes, want %d", src, got, want)
				}
			}
		}
	}
}
