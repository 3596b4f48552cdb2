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
	gone     bool                 // accepts and answers nothing any more
	payments map[string]operation // by idempotency key
	order    []string             // keys in order of execution
	received int                  // payments, repeated ones included
	accounts map[string]int       // PUTs by id
	book     *book
	executed func(o operation) // called after each operation's first execution
	atEnd    func()            // called before the first read of a list

	// misbehave says what to do with a single payment's or a batch's first key,
	// seen for the nth time.
	misbehave func(key string, nth int) fault
	seen      map[string]int
	// status of a payment; 0, or nil: success.
	status func(o operation) int
	// pieces splits every answer into writes of this many bytes; 0: no split.
	pieces int
}

type fault int

const (
	none           fault = iota
	cutBefore            // close before executing
	cutAfter             // execute, close without an answer
	cutWithin            // execute, close after half of the answer
	outcome504           // execute, answer 504
	closeAfter           // answer with Connection: close and close
	leave                // execute, answer nothing, close everything for good
	silent               // execute, answer nothing
	garbage              // answer what is not HTTP
	missingResult        // answer a batch with one result too few
	refuse503            // answer 503, execute nothing
	refuseAndClose       // the same, and close
	otherAnswer          // execute, answer with another text than the first time
)

// operation is a request that moves money.
type operation struct {
	Path        string // empty in a batch
	Key         string `json:"idempotency_key"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Amount      string `json:"amount"`
	Currency    string `json:"currency"`
	Capture     any    `json:"capture"`
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
		payments: make(map[string]operation),
		accounts: make(map[string]int),
		book:     newBook(),
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
		if fault == cutWithin || fault == closeAfter || fault == refuseAndClose {
			return
		}
	}
}

// handle executes a request and returns the answer.
func (f *fake) handle(request *http.Request, body []byte) (string, fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := request.URL.Path
	switch {
	case request.Method == http.MethodPut:
		id := strings.TrimPrefix(path, "/v1/accounts/")
		f.accounts[id]++
		f.book.account(id)
		return httpReply(201, `{"id":"`+id+`"}`, ""), none
	case request.Method == http.MethodGet:
		if f.atEnd != nil && path == "/v1/accounts" {
			f.atEnd()
			f.atEnd = nil
		}
		status, text := f.book.read(request.URL)
		return httpReply(status, text, "Purser-Index: 1\r\n"), none
	}
	return f.handlePayments(request, body)
}

func (f *fake) handlePayments(request *http.Request, body []byte) (string, fault) {
	var batch struct{ Payments []operation }
	isBatch := request.URL.Path == "/v1/payments/batch"
	if isBatch {
		f.decode(body, &batch)
	} else {
		o := operation{Path: request.URL.Path, Key: request.Header.Get("Idempotency-Key")}
		f.decode(body, &o)
		batch.Payments = []operation{o}
	}
	fault := none
	if first := batch.Payments[0].Key; f.misbehave != nil {
		f.seen[first]++
		fault = f.misbehave(first, f.seen[first])
	}
	switch fault {
	case cutBefore:
		return "", fault
	case refuse503:
		return httpReply(503, `{"code":"no_leader","status":503}`, "Retry-After: 1\r\n"), fault
	case refuseAndClose:
		return httpReply(503, `{"code":"draining","status":503}`, "Connection: close\r\n"), fault
	}
	header := ""
	var results []string
	var status int
	var text string
	for _, o := range batch.Payments {
		var replayed bool
		status, text, replayed = f.execute(o)
		member := ""
		if replayed {
			header, member = "Idempotent-Replayed: true\r\n", `"replayed":true,`
		}
		results = append(results, fmt.Sprintf(`{"status":%d,%s"payment":%s}`, status, member, text))
	}
	switch {
	case fault == outcome504:
		return httpReply(504, `{"code":"outcome_unknown","status":504}`, header), fault
	case fault == closeAfter:
		header += "Connection: close\r\n"
	case fault == missingResult:
		results = results[1:]
	case fault == otherAnswer:
		text = strings.Replace(text, `"status"`, `"Status"`, 1)
	}
	if isBatch {
		return httpReply(200, `{"results":[`+strings.Join(results, ",")+`]}`, ""), fault
	}
	return httpReply(status, text, header), fault
}

// execute does an operation once, and answers it the same way each time.
func (f *fake) execute(o operation) (status int, text string, replayed bool) {
	f.received++
	if first, ok := f.payments[o.Key]; ok {
		if first != o {
			f.t.Errorf("key %q used for %+v and %+v", o.Key, first, o)
		}
		status, text = f.book.answer(o.Key)
		return status, text, true
	}
	f.order = append(f.order, o.Key)
	f.payments[o.Key] = o
	status = 0
	if f.status != nil {
		status = f.status(o)
	}
	status, text = f.book.execute(o, status)
	if f.executed != nil {
		f.executed(o)
	}
	return status, text, false
}

func (f *fake) decode(body []byte, v any) {
	if err := json.Unmarshal(body, v); err != nil {
		f.t.Errorf("body %q: %v", body, err)
	}
}

func httpReply(status int, body, header string) string {
	return fmt.Sprintf("HTTP/1.1 %d Some Words\r\nServer: fake\r\ncontent-length: %d\r\n%s\r\n%s",
		status, len(body), header, body)
}
