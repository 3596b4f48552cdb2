package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// fake is a payment server in memory: it remembers keys and answers like the
// real one, with the misbehaviour that a test asks for.
type fake struct {
	t        *testing.T
	listener net.Listener
	wait     sync.WaitGroup

	mu       sync.Mutex
	conns    map[net.Conn]bool
	gone     bool           // accepts and answers nothing any more
	payments map[string]pay // by idempotency key
	order    []string       // keys in order of execution
	received int            // payments, repeated ones included
	accounts map[string]int // PUTs by id

	// misbehave says what to do with a single payment's or a batch's first key,
	// seen for the nth time.
	misbehave func(key string, nth int) fault
	seen      map[string]int
	// status of a payment; nil: 201.
	status func(p pay) int
	// pieces splits every answer into writes of this many bytes; 0: no split.
	pieces int
}

type fault int

const (
	none          fault = iota
	cutBefore           // close before executing
	cutAfter            // execute, close without an answer
	cutWithin           // execute, close after half of the answer
	outcome504          // execute, answer 504
	closeAfter          // answer with Connection: close and close
	leave               // execute, answer nothing, close everything for good
	silent              // execute, answer nothing
	garbage             // answer what is not HTTP
	missingResult       // answer a batch with one result too few
)

type pay struct {
	Key         string `json:"idempotency_key"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Amount      string `json:"amount"`
	Currency    string `json:"currency"`
}

func startFake(t *testing.T) *fake {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{
		t:        t,
		listener: listener,
		conns:    make(map[net.Conn]bool),
		payments: make(map[string]pay),
		accounts: make(map[string]int),
		seen:     make(map[string]int),
	}
	f.wait.Go(f.accept)
	t.Cleanup(func() {
		f.leave()
		f.wait.Wait()
	})
	return f
}

func (f *fake) target() string { return "http://" + f.listener.Addr().String() }

func (f *fake) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		if f.gone {
			c.Close()
		} else {
			f.conns[c] = true
			f.wait.Go(func() { f.serve(c) })
		}
		f.mu.Unlock()
	}
}

// leave closes the listener and every connection.
func (f *fake) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	f.listener.Close()
	for c := range f.conns {
		c.Close()
	}
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		request, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		answer, fault := f.handle(request, body)
		switch fault {
		case leave:
			f.leave()
			return
		case silent:
			_, _ = io.Copy(io.Discard, in) // until the client closes
			return
		case cutBefore, cutAfter:
			return
		case cutWithin:
			answer = answer[:len(answer)/2]
		case garbage:
			answer = "HTTP/2 what\r\n\r\n"
		}
		size := len(answer)
		if f.pieces > 0 {
			size = f.pieces
		}
		for len(answer) > 0 {
			n := min(size, len(answer))
			if _, err := io.WriteString(c, answer[:n]); err != nil {
				return
			}
			answer = answer[n:]
		}
		if fault == cutWithin || fault == closeAfter {
			return
		}
	}
}

// handle executes a request and returns the answer.
func (f *fake) handle(request *http.Request, body []byte) (string, fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id, ok := strings.CutPrefix(request.URL.Path, "/v1/accounts/"); ok && request.Method == http.MethodPut {
		f.accounts[id]++
		return answer(201, `{"id":"`+id+`"}`, ""), none
	}
	var batch struct{ Payments []pay }
	isBatch := request.URL.Path == "/v1/payments/batch"
	if isBatch {
		f.decode(body, &batch)
	} else {
		var p pay
		f.decode(body, &p)
		p.Key = request.Header.Get("Idempotency-Key")
		batch.Payments = []pay{p}
	}
	fault := none
	if first := batch.Payments[0].Key; f.misbehave != nil {
		f.seen[first]++
		fault = f.misbehave(first, f.seen[first])
	}
	if fault == cutBefore {
		return "", fault
	}
	header := ""
	var results []string
	status := 0
	for _, p := range batch.Payments {
		f.received++
		if earlier, ok := f.payments[p.Key]; !ok {
			f.order = append(f.order, p.Key)
			f.payments[p.Key] = p
		} else if earlier != p {
			f.t.Errorf("key %q used for %+v and %+v", p.Key, earlier, p)
		} else {
			header = "Idempotent-Replayed: true\r\n"
		}
		status = 201
		if f.status != nil {
			status = f.status(p)
		}
		results = append(results, fmt.Sprintf(`{"status":%d,"payment":{"id":"pay_1","status":"captured"}}`, status))
	}
	switch {
	case fault == outcome504:
		return answer(504, `{"code":"outcome_unknown","status":504}`, header), fault
	case fault == closeAfter:
		header += "Connection: close\r\n"
	case fault == missingResult:
		results = results[1:]
	}
	if isBatch {
		return answer(200, `{"results":[`+strings.Join(results, ",")+`]}`, header), fault
	}
	return answer(status, results[0], header), fault
}

func (f *fake) decode(body []byte, v any) {
	if err := json.Unmarshal(body, v); err != nil {
		f.t.Errorf("body %q: %v", body, err)
	}
}

func answer(status int, body, header string) string {
	return fmt.Sprintf("HTTP/1.1 %d Some Words\r\nServer: fake\r\ncontent-length: %d\r\n%s\r\n%s",
		status, len(body), header, body)
}
