package clients

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a cluster of three nodes that share one ledger behind a mutex. It is
// honest but for one lie, which it tells from the lieFrom-th command on.
type fake struct {
	lie   lie
	flaky bool // some answers are cut off
	addrs []string

	mu       sync.Mutex
	model    *model
	journals map[string][]map[string]any
	keys     map[string]*memory
	past     map[string][]state // of accounts
	shown    map[string]string  // payments after their last event
	due      []string           // payments that hold money for seconds
	lost     int64              // that the world's balance does not have
	seq      uint64
	index    uint64
	now      int64 // log time in microseconds
	skipped  int64 // added to the clock
	commands int
	told     int // lies so far
}

// memory is what an idempotency key remembers.
type memory struct {
	request string
	answer  reply
}

// reply is what the fake answers.
type reply struct {
	status   int
	body     string
	replayed bool
}

const (
	lieFrom = 200
	lieMost = 40 // then it has lied enough
)

// newFake serves until the end of the test.
func newFake(t *testing.T, l lie) *fake {
	f := &fake{
		lie: l, model: newModel(nil), journals: map[string][]map[string]any{world: nil},
		keys: map[string]*memory{}, past: map[string][]state{}, shown: map[string]string{},
	}
	for node := range 3 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(node, w, r) }))
		t.Cleanup(s.Close)
		f.addrs = append(f.addrs, strings.TrimPrefix(s.URL, "http://"))
	}
	return f
}

// lying reports whether it is time for a lie, and counts it as told.
func (f *fake) lying(l lie) bool {
	if f.lie != l || f.commands < lieFrom || f.told == lieMost {
		return false
	}
	f.told++
	return true
}

func (f *fake) toldLies() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

// skip moves the clock on.
func (f *fake) skip(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.skipped += d.Microseconds()
}

func (f *fake) serve(node int, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a client that is gone reads no answer
	f.mu.Lock()
	f.index++
	f.now = max(f.now+1, time.Now().UnixMicro()+f.skipped)
	f.lapse()
	a := f.dispatch(node, r, body)
	index := f.index
	cut := f.flaky && r.Method == "POST" && index%23 == 0
	f.mu.Unlock()
	if cut {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Purser-Index", strconv.FormatUint(index, 10))
	if a.replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (f *fake) dispatch(node int, r *http.Request, body []byte) reply {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	key := r.Header.Get("Idempotency-Key")
	switch {
	case r.URL.Path == "/admin/v1/status":
		return f.status(node)
	case r.Method == "PUT":
		return f.create(path[1], body)
	case r.Method == "POST" && path[len(path)-1] == "batch":
		return f.batch(body)
	case r.Method == "POST":
		return f.keyed(key, r.URL.Path, body)
	case path[0] == "idempotency-keys":
		return f.recall(path[1])
	case path[0] == "payments":
		return f.payment(path[1])
	case len(path) == 3:
		return f.entries(node, path[1], r.FormValue("cursor"))
	case len(path) == 2:
		return f.account(path[1], r)
	}
	return f.list(r.FormValue("prefix"))
}

func (f *fake) create(id string, body []byte) reply {
	var ask struct {
		Limit string `json:"overdraft_limit"`
	}
	_ = json.Unmarshal(body, &ask) // these clients' own
	f.seq++
	if f.model.accounts[id] == nil {
		limit, err := strconv.ParseInt(ask.Limit, 10, 64)
		f.model.accounts[id] = &holding{state: state{Version: 1}, limit: limit, unlimited: err != nil}
		f.past[id] = []state{{Version: 1}}
	}
	return reply{status: 201, body: f.rendered(id, f.model.accounts[id].state)}
}

func (f *fake) rendered(id string, s state) string {
	return text(map[string]any{"id": id, "posted": fmt.Sprint(s.Posted), "held": fmt.Sprint(s.Held), "version": s.Version})
}

func text(v any) string {
	b, _ := json.Marshal(v) // maps of strings and numbers
	return string(b)
}

// asked is the command that a body and a path mean.
func asked(path string, body []byte) *operation {
	var ask struct {
		Source, Destination string
		Amount              int64 `json:",string"`
		Capture, Final      *bool
		Expires             int64 `json:"expires_in"`
		Conditions          struct {
			Floor string `json:"min_available_after"`
		}
	}
	_ = json.Unmarshal(body, &ask) // these clients' own
	floor, err := strconv.ParseInt(ask.Conditions.Floor, 10, 64)
	if err != nil {
		floor = -1
	}
	o := &operation{kind: pay, intent: intent{
		source: ask.Source, destination: ask.Destination, amount: ask.Amount, floor: floor, expiresIn: ask.Expires,
	}}
	parts := strings.Split(strings.TrimPrefix(path, pathPayments+"/"), "/")
	switch {
	case len(parts) == 2:
		o.kind, o.payment, o.final = kind(parts[1]), parts[0], ask.Final != nil && *ask.Final
	case ask.Capture != nil:
		o.kind = authorize
	}
	return o
}

// keyed executes a request unless its key is known.
func (f *fake) keyed(key, path string, body []byte) reply {
	var fields map[string]any
	_ = json.Unmarshal(body, &fields) // these clients' own
	request := path + text(fields)
	m := f.keys[key]
	switch {
	case m != nil && m.request != request && f.lying(lieReuse):
		return reply{status: m.answer.status, body: m.answer.body, replayed: true}
	case m != nil && m.request != request:
		return reply{status: 422, body: `{"code":"idempotency_key_reused","request_id":"x"}`}
	case m != nil && f.lying(lieAgain):
		again := f.execute(asked(path, body))
		again.replayed = true
		return again
	case m != nil && f.lying(lieAgainHidden):
		f.execute(asked(path, body))
		return reply{status: m.answer.status, body: m.answer.body, replayed: true}
	case m != nil && f.lying(lieReplayBytes):
		return reply{status: m.answer.status, body: m.answer.body + " ", replayed: true}
	case m != nil:
		return reply{status: m.answer.status, body: m.answer.body, replayed: true}
	}
	f.commands++
	a := f.execute(asked(path, body))
	if !f.lying(lieForgetful) {
		f.keys[key] = &memory{request, a}
	}
	if a.status == 201 && f.lying(lieNotApplied) {
		return reply{status: 503, body: `{"code":"no_leader","request_id":"x"}`}
	}
	return a
}

func (f *fake) batch(body []byte) reply {
	var ask struct{ Payments []map[string]any }
	_ = json.Unmarshal(body, &ask) // these clients' own
	var results []map[string]any
	for _, item := range ask.Payments {
		key := item["idempotency_key"].(string)
		delete(item, "idempotency_key")
		a := f.keyed(key, pathPayments, []byte(text(item)))
		result := map[string]any{"status": a.status}
		if a.replayed {
			result["replayed"] = true
		}
		if a.status < 300 {
			result["payment"] = json.RawMessage(a.body)
		} else {
			result["error"] = json.RawMessage(a.body)
		}
		results = append(results, result)
	}
	return reply{status: 200, body: text(map[string]any{"results": results})}
}

func (f *fake) recall(key string) reply {
	m := f.keys[key]
	if m == nil {
		return reply{status: 404, body: `{"code":"idempotency_key_not_found"}`}
	}
	return reply{status: 200, body: text(map[string]any{"status": m.answer.status, "body": json.RawMessage(m.answer.body)})}
}

func (f *fake) payment(id string) reply {
	return reply{status: 200, body: f.shown[id]}
}

func (f *fake) account(id string, r *http.Request) reply {
	if id == world {
		var sum int64
		for _, a := range f.model.accounts {
			sum -= a.Posted
		}
		return reply{status: 200, body: f.rendered(world, state{Posted: sum + f.lost})}
	}
	s := f.model.accounts[id].state
	past := f.past[id]
	old := len(past) - 60
	switch {
	case old < 0:
	case r.FormValue("min_index") != "" && f.lying(lieBehind), r.FormValue("consistency") == "" && f.lying(lieStale):
		s = past[old]
	case f.lying(lieNeverWas):
		s.Posted++
	}
	return reply{status: 200, body: f.rendered(id, s)}
}

func (f *fake) status(node int) reply {
	digest := "same"
	if node == 2 && f.lying(lieDigest) {
		digest = "other"
	}
	return reply{status: 200, body: text(map[string]any{"applied_index": f.seq, "digest": digest})}
}

func (f *fake) entries(node int, id, cursor string) reply {
	from, _ := strconv.Atoi(cursor) // none is 0
	all := f.journals[id]
	to := min(len(all), from+500)
	page := map[string]any{"entries": all[from:to], "next_cursor": nil}
	if to < len(all) {
		page["next_cursor"] = strconv.Itoa(to)
	}
	if node == 2 && to-from > 1 && f.lying(lieNode) {
		page["entries"] = all[from : to-1]
	}
	return reply{status: 200, body: text(page)}
}

func (f *fake) list(prefix string) reply {
	var all []json.RawMessage
	for i, id := range slices.Sorted(maps.Keys(f.model.accounts)) {
		if strings.HasPrefix(id, prefix) {
			s := f.model.accounts[id].state
			if i%2 == 0 && len(f.past[id]) > 40 && f.skipped == 0 && f.lying(lieTorn) {
				s = f.past[id][len(f.past[id])-40]
			}
			all = append(all, json.RawMessage(f.rendered(id, s)))
		}
	}
	return reply{status: 200, body: text(map[string]any{"accounts": all, "next_cursor": nil})}
}
