package transport

import (
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"purser/internal/ledger"
)

const headerIfMatch = "If-Match"

// Header names. Those that are looked up are in the canonical form of fasthttp.
var (
	nameRequestID       = []byte("X-Request-Id")
	nameIndex           = []byte("Purser-Index")
	nameReplayed        = []byte("Idempotent-Replayed")
	nameRetryAfter      = []byte("Retry-After")
	nameETag            = []byte("ETag")
	nameAuthenticate    = []byte("WWW-Authenticate")
	nameAuthorization   = []byte("Authorization")
	nameContentEncoding = []byte("Content-Encoding")
	valueTrue           = []byte("true")
	valueBearer         = []byte("Bearer")
	typeJSON            = []byte("application/json")
	typeProblem         = []byte("application/problem+json")
)

// maxKept is the largest buffer that is kept for the next request, in bytes. A
// large batch gets memory of its own, so that many idle connections do not each
// hold on to megabytes.
const maxKept = 512 << 10

// kept is buf for the next request, or nothing.
func kept(buf []byte) []byte {
	if cap(buf) > maxKept {
		return nil
	}
	return buf[:0]
}

// call is one request on its way to a response. It is pooled: its buffers grow
// to what requests need and stay. Everything in it dies with the handler.
type call struct {
	ctx       *fasthttp.RequestCtx
	requestID []byte // the client's, that of the node that forwards, or one of ours in idBuf
	sentID    bool   // requestID is the client's
	fromNode  bool   // another node forwards it
	inDoubt   bool   // another node may have executed the request already
	conn      *conn  // nil in tests that serve none of ours
	op        operation
	endpoint  *endpoint // of op; nil until it is known
	laned     bool      // must not block, see lane
	abandoned bool      // it would have had to: serve it otherwise
	target    []byte    // as it was sent, where ctx does not have it any more
	query     []byte
	id        []byte // the decoded {id} or {key} of the path

	in    []byte    // the request's body as far as it is received
	rest  bool      // there may be more of it
	held  int       // bytes of the budget for large bodies
	began time.Time // when the request had been received

	dec decoder
	cmd ledger.Command

	// Made once, since for every request they would be garbage.
	use     func(res ledger.Result, index uint64) // makes the result of cmd the response
	barrier func(_ ledger.Result, index uint64)   // takes the index for that of the response

	pending ledger.Pending
	then    func(*Server, *call) // what follows pending, nil if nothing is awaited
	look    func(*Server, *call) // what follows the barrier of a read
	least   uint64               // log index that a read has to reflect

	status  int
	index   uint64
	indexed bool   // index is set; otherwise the response says what is applied
	body    []byte // the response's own buffer
	reply   *reply // the response instead of body, nil for all but batches
	header  []byte // of header values
	idBuf   []byte
	text    []byte // of decoded keys, ids and cursors
}

func newCall() any {
	c := new(call)
	c.use = func(res ledger.Result, index uint64) {
		c.at(index)
		c.result(res)
	}
	c.barrier = func(_ ledger.Result, index uint64) { c.at(index) }
	return c
}

// begin makes c that of the request in ctx, on nc.
func (c *call) begin(ctx *fasthttp.RequestCtx, nc *conn, ids *requestIDs) {
	c.ctx, c.conn = ctx, nc
	c.cmd = ledger.Command{}
	c.op, c.endpoint, c.laned, c.abandoned, c.then, c.target = opUnmatched, nil, false, false, nil, nil
	c.status, c.index, c.indexed = 0, 0, false
	c.text = c.text[:0]
	c.id, c.query = nil, nil
	c.in, c.rest = c.in[:0], true
	c.inDoubt = false
	c.fromNode = nc != nil && nc.ofNode
	c.requestID, c.sentID = ctx.Request.Header.PeekCanonical(nameRequestID), true
	if !saneRequestID(c.requestID) {
		c.requestID, c.sentID = ctx.Request.Header.PeekCanonical(nameMadeID), false
		if !c.fromNode || !saneRequestID(c.requestID) {
			c.idBuf = ids.append(c.idBuf[:0])
			c.requestID = c.idBuf
		}
	}
}

// head writes the head of the response that was built.
func (c *call) head(applied func() uint64) {
	if !c.indexed {
		c.index = applied()
	}
	h := &c.ctx.Response.Header
	h.SetStatusCode(c.status)
	if c.status < 400 {
		h.SetContentTypeBytes(typeJSON)
	} else {
		h.SetContentTypeBytes(typeProblem)
	}
	h.SetCanonical(nameRequestID, c.requestID)
	c.header = strconv.AppendUint(c.header[:0], c.index, 10)
	h.SetCanonical(nameIndex, c.header)
}

// finish hands the response to fasthttp, which sends it.
func (c *call) finish(applied func() uint64) {
	c.head(applied)
	if cap(c.body) > maxKept {
		c.ctx.Response.SetBodyRaw(c.body) // dropped once it is sent
	} else {
		c.ctx.Response.SwapBody(c.body)
	}
	if c.reply != nil {
		c.ctx.Response.SetBodyStream(c.reply, len(c.reply.body))
	}
	c.letGo()
}

// letGo forgets what is not c's own.
func (c *call) letGo() {
	c.ctx, c.conn, c.reply, c.body, c.requestID, c.query, c.id = nil, nil, nil, nil, nil, nil, nil
	c.pending = ledger.Pending{}
}

// at records the log index that the response reflects.
func (c *call) at(index uint64) { c.index, c.indexed = index, true }

// fail makes f the response.
func (c *call) fail(f fault) {
	m := &meanings[f.code]
	c.status = m.status
	c.body = appendFault(c.body[:0], f, c.requestID)
	h := &c.ctx.Response.Header
	if m.retryAfter > 0 {
		c.header = strconv.AppendInt(c.header[:0], int64(m.retryAfter), 10)
		h.SetCanonical(nameRetryAfter, c.header)
	}
	if f.code == codeUnauthenticated {
		h.SetCanonical(nameAuthenticate, valueBearer)
	}
}

func (c *call) invalid(param, detail string) {
	c.fail(fault{code: codeInvalidRequest, param: []byte(param), detail: detail})
}

// decode runs read on the body with c.cmd. Decoding faces whatever a client
// sends, so a panic in it refuses the request instead of ending the process; no
// other code is covered.
func (c *call) decode(read func(*decoder, *ledger.Command)) bool {
	c.dec.reset(c.in)
	guard(&c.dec, func() { read(&c.dec, &c.cmd) })
	return c.decoded()
}

// decoded makes the decoder's fault the response, if it has one.
func (c *call) decoded() bool {
	if !c.dec.failed() {
		return true
	}
	c.fail(c.dec.fault)
	return false
}

// guard runs read and turns a panic in it into a fault of d.
func guard(d *decoder, read func()) {
	defer func() {
		if recover() != nil {
			d.fault = fault{code: codeInvalidJSON, detail: "the body cannot be decoded"}
		}
	}()
	read()
}

// result makes the outcome of a command the response.
func (c *call) result(res ledger.Result) {
	if res.Conflict != "" {
		c.status = meanings[codeKeyReused].status
		c.body = appendConflict(c.body[:0], res.Conflict, c.requestID)
		return
	}
	rec := res.Record
	c.status = recordStatus(rec)
	c.body = appendRecord(c.body[:0], rec, c.requestID)
	h := &c.ctx.Response.Header
	if res.Replayed {
		h.SetCanonical(nameReplayed, valueTrue)
	}
	if rec.Account != nil && rec.Code == ledger.OK {
		c.tag(rec.Account.Version)
	}
	if rec.Code != ledger.OK && rec.Command.Kind.Keyed() && !c.sentID {
		c.idBuf = appendExecutionID(c.idBuf[:0], rec.Seq) // the header says what the body says
		c.requestID = c.idBuf
	}
}

func (c *call) tag(version uint64) {
	c.header = appendETag(c.header[:0], version)
	c.ctx.Response.Header.SetCanonical(nameETag, c.header)
}
