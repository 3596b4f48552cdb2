package transport

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"purser/internal/planted"
)

// nameMadeID is the header of the request id that the node which forwards made up.
// It must not pass for the client's: the leader answers some requests with an id of
// its own instead. It means nothing on the connections of clients.
var nameMadeID = []byte("Purser-Request-Id")

// forwarder sends the requests that only the leader can serve on to it. What it
// knows of them is whether they can change something and whether they may be
// executed again: the leader reads and checks them. It runs on the goroutine of
// the request and starts none.
type forwarder struct {
	cluster Cluster
	timeout time.Duration
	conns   *leaderConns
	metrics *forwardMetrics
	log     *slog.Logger
	warned  atomic.Int64 // Unix time of the last warning, in seconds
}

// newForwarder returns the forwarder of a node of a cluster.
func newForwarder(o Options) (*forwarder, error) {
	m, err := newForwardMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &forwarder{
		cluster: o.Cluster,
		timeout: o.ForwardTimeout,
		// The leader closes connections that are idle for IdleTimeout. Here they are
		// given up much earlier, so that it is rarely the first.
		conns:   newLeaderConns(o.Cluster, o.MaxForwarded, o.IdleTimeout/4),
		metrics: m,
		log:     o.Logger,
	}, nil
}

var (
	faultNobodyLeads = fault{code: codeNoLeader, detail: "this node knows of no leader"}
	faultLoop        = fault{code: codeNoLeader, detail: "another node takes this one for the leader, which it is not"}
	faultUnreachable = fault{code: codeNoLeader, detail: "the leader cannot be reached from this node"}
	faultLostRead    = fault{code: codeNoLeader, detail: "the leader was lost before it answered"}
	faultAllBusy     = fault{code: codeOverloaded, detail: "too many requests wait for the leader"}
	faultLostWrite   = fault{code: codeOutcomeUnknown, detail: "the leader was lost after it may have executed the request"}
)

// leads reports whether this node leads.
func (f *forwarder) leads() bool {
	_, self := f.cluster.Leader()
	return self
}

// forwarded answers c with what the leader says, and reports whether c is
// answered. It is not if this node is to serve it: because it leads, or stands
// alone, or is asked for what it has.
func (s *Server) forwarded(c *call) bool {
	f := s.forwarder
	if f == nil {
		return false
	}
	leader, self := f.cluster.Leader()
	if self || c.reads() && c.takesStale() {
		return false
	}
	if c.fromNode { // else it could go round
		f.refuse(c, faultLoop)
		return true
	}
	if c.laned {
		c.abandoned = true
		return true
	}
	return f.serve(c, leader, time.Now().Add(f.timeout))
}

// serve has leader answer c. An error before the request was sent whole means that
// it is certainly not executed.
func (f *forwarder) serve(c *call, leader string, deadline time.Time) (answered bool) {
	resp, sent, err := f.try(c, leader, deadline)
	switch {
	case err == nil:
		f.adopt(c, resp, f.metrics.answered)
	case errors.Is(err, errNobodyLeads):
		f.refuse(c, faultNobodyLeads)
	case errors.Is(err, errAllBusy):
		f.refuse(c, faultAllBusy)
	case !sent, planted.Is(planted.SentTakenForUnsent):
		f.refuse(c, faultUnreachable)
	case c.reads():
		f.refuse(c, faultLostRead)
	case !c.repeatable():
		f.lose(c)
	default:
		return f.again(c, deadline)
	}
	return true
}

// reads reports whether a request changes nothing.
func (c *call) reads() bool {
	h := &c.ctx.Request.Header
	return h.IsGet() || h.IsHead()
}

// repeatable reports whether a request can be executed a second time as if it was
// not: every POST is under a key, and PUT says what there shall be. The answer may
// be another one, see decidedBy.
func (c *call) repeatable() bool { return !c.ctx.Request.Header.IsPatch() }

// Pauses between looks for a leader, which an election takes about a second to make.
const (
	firstPause = 10 * time.Millisecond
	maxPause   = 200 * time.Millisecond
)

// again tries c once more, under the same key, when the leader that it was sent
// to may have executed it. Until there is a leader that takes it, it waits. The
// outcome stays unknown unless this try has one: a refusal would be about this
// try alone. When this node is the leader by now, it serves c itself.
func (f *forwarder) again(c *call, deadline time.Time) (answered bool) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		leader, self := f.cluster.Leader()
		if planted.Is(planted.RetryWithNewKey) {
			c.ctx.Request.Header.SetBytesV(headerKey, c.requestID)
		}
		if self {
			f.metrics.retried.Inc()
			c.inDoubt = true
			return false
		}
		resp, sent, err := f.try(c, leader, deadline)
		if err == nil && c.decidedBy(resp.StatusCode()) {
			f.adopt(c, resp, f.metrics.retried)
			return true
		}
		taken := sent // and if so, this was the try
		if err == nil {
			taken = !refusesToLead(resp)
			fasthttp.ReleaseResponse(resp)
		}
		left := time.Until(deadline)
		if taken || left <= 0 {
			f.lose(c)
			return true
		}
		time.Sleep(min(pause, left))
	}
}

// decidedBy reports whether an answer of this status says what became of a command,
// in this try or one before: it is one that the log decides, and that is remembered.
// A PUT has no key to remember it under: the account that conflicts with it may be
// the one that the try before created, and somebody has changed since.
func (c *call) decidedBy(status int) bool {
	switch status {
	case 200, 201, 402, 404, 412, 422:
		return true
	case 409:
		return !c.ctx.Request.Header.IsPut()
	}
	return false
}

// refusesToLead reports whether resp comes from a node that does not lead, or not
// yet.
func refusesToLead(resp *fasthttp.Response) bool {
	return resp.StatusCode() == meanings[codeNoLeader].status &&
		bytes.HasPrefix(resp.Body(), []byte(problemHeads[codeNoLeader]))
}

// refuse answers a request that was certainly not executed.
func (f *forwarder) refuse(c *call, why fault) {
	f.metrics.refused[why.code].Inc()
	c.fail(why)
}

// lose answers a request of which nobody knows what became.
func (f *forwarder) lose(c *call) {
	f.metrics.lost.Inc()
	c.fail(faultLostWrite)
}

// settleDoubt makes the response of a request that another node may have executed
// before one that says so, unless it says what became of it.
func (c *call) settleDoubt() {
	if c.decidedBy(c.status) {
		return
	}
	c.ctx.Response.Header.DelBytes(nameRetryAfter)
	c.fail(faultLostWrite)
}

// Errors of a try that sent nothing.
var (
	errNobodyLeads = errors.New("no leader is known")
	errAllBusy     = errors.New("all connections to the leader are in use")
)

// try sends c to leader and returns its answer, which the caller releases. sent
// says of an error that leader may have got the whole request.
func (f *forwarder) try(c *call, leader string, deadline time.Time) (_ *fasthttp.Response, sent bool, err error) {
	if leader == "" {
		return nil, false, errNobodyLeads
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	body := address(&req.Header, c)
	for {
		conn, used, err := f.conns.take(leader, deadline)
		if err == nil {
			sent, err = conn.exchange(&req.Header, body, resp, deadline)
			f.conns.give(conn, err == nil && !resp.ConnectionClose())
		}
		switch {
		case err == nil:
			return resp, true, nil
		case sent || !used: // else the leader ended an idle connection: there may be a better one
			fasthttp.ReleaseResponse(resp)
			f.warn(c, leader, sent, err)
			return nil, sent, err
		}
	}
}

// warn tells the operator why the leader does not answer. When it is lost that is
// so for many requests: one in a second is named.
func (f *forwarder) warn(c *call, leader string, sent bool, err error) {
	now, last := time.Now().Unix(), f.warned.Load()
	if now != last && f.warned.CompareAndSwap(last, now) {
		f.log.Warn("forwarding a request failed", "request_id", string(c.requestID), "leader", leader, "sent", sent, "error", err)
	}
}

// passedOn are the headers of a request that mean something to the leader.
var passedOn = map[string]bool{
	"Accept": true, "Authorization": true, "Content-Encoding": true, "Content-Type": true,
	headerIfMatch: true, headerKey: true,
}

// address makes h the head of c's request to the leader, and returns the body that
// goes with it.
func address(h *fasthttp.RequestHeader, c *call) (body []byte) {
	in := &c.ctx.Request.Header
	h.SetMethodBytes(in.Method())
	h.SetRequestURIBytes(originForm(in.RequestURI()))
	h.SetHost("leader") // HTTP wants one, and a node looks at none
	h.SetNoDefaultContentType(true)
	for name, value := range in.All() {
		if passedOn[string(name)] {
			h.AddBytesKV(name, value)
		}
	}
	if c.sentID {
		h.SetCanonical(nameRequestID, c.requestID)
	} else {
		h.SetCanonical(nameMadeID, c.requestID)
	}
	if c.reads() {
		return nil
	}
	h.SetContentLength(len(c.in))
	return c.in
}

// originForm is target as it stands, without the origin that the form for proxies
// begins with.
func originForm(target []byte) []byte {
	if len(target) > 0 && target[0] != '/' {
		return dropOrigin(target)
	}
	return target
}

// handedBack are the headers of an answer that its client gets, besides those that
// every response has, in the order in which a node writes them.
var handedBack = [][]byte{[]byte("Allow"), nameRetryAfter, nameAuthenticate, nameReplayed, nameETag}

// adopt makes resp, an answer of the leader, the response to c, and releases it.
func (f *forwarder) adopt(c *call, resp *fasthttp.Response, outcome prometheus.Counter) {
	outcome.Inc()
	f.metrics.durations.Observe(time.Since(c.began).Seconds())
	c.status = resp.StatusCode()
	h := &c.ctx.Response.Header
	for _, name := range handedBack {
		if value := resp.Header.PeekBytes(name); len(value) > 0 {
			h.SetCanonical(name, value)
		}
	}
	index, _ := answerIndex(resp)
	c.at(index)
	c.idBuf = append(c.idBuf[:0], resp.Header.PeekBytes(nameRequestID)...)
	c.requestID = c.idBuf
	if c.ctx.IsHead() {
		h.SetContentLength(resp.Header.ContentLength())
	} else {
		c.body = resp.SwapBody(c.body[:0])
	}
	fasthttp.ReleaseResponse(resp)
}

// answerIndex returns the log index of an answer; ok is false when resp has none,
// or anything else that an answer of a node never lacks.
func answerIndex(resp *fasthttp.Response) (index uint64, ok bool) {
	want := typeJSON
	if resp.StatusCode() >= 400 {
		want = typeProblem
	}
	index, err := strconv.ParseUint(string(resp.Header.PeekBytes(nameIndex)), 10, 64)
	return index, err == nil && saneRequestID(resp.Header.PeekBytes(nameRequestID)) && bytes.Equal(resp.Header.ContentType(), want)
}
