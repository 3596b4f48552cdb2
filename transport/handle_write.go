package transport

import (
	"strconv"

	"github.com/cespare/xxhash/v2"

	"purser/internal/ledger"
)

// execute has c's command applied and makes the outcome the response.
func (s *Server) execute(c *call) {
	p, err := s.opts.Executor.Submit(&c.cmd, !c.laned)
	switch {
	case err == nil:
		s.await(c, p, (*Server).executed)
	case err == ledger.ErrWouldWait:
		c.abandoned = true
	default:
		s.failWrite(c, err)
	}
}

func (s *Server) executed(c *call) {
	if err := c.pending.Show(c.use); err != nil {
		s.failWrite(c, err)
	}
}

// await has then called when p is done: on this goroutine before it returns, or for a
// request in a lane later, by who wakes the others that wait for p.
func (s *Server) await(c *call, p ledger.Pending, then func(*Server, *call)) {
	c.pending, c.then = p, then
	if c.laned {
		return
	}
	<-p.Work.Done()
	then(s, c)
}

func (s *Server) pay(c *call) {
	if c.noQuery() && c.jsonBody() && c.key() && c.decode(decodePayment) {
		s.execute(c)
	}
}

func (s *Server) capture(c *call) { s.onPayment(c, ledger.Capture, decodeCapture) }
func (s *Server) void(c *call)    { s.onPayment(c, ledger.Void, decodeVoid) }
func (s *Server) refund(c *call)  { s.onPayment(c, ledger.Refund, decodeRefund) }

// onPayment serves the commands on an earlier payment, all of whose fields have
// defaults: no body at all is an empty object.
func (s *Server) onPayment(c *call, kind ledger.Kind, read func(*decoder, *ledger.Command)) {
	if !c.noQuery() {
		return
	}
	bare := len(c.in) == 0
	if !bare && !c.jsonBody() {
		return
	}
	if !c.key() {
		return
	}
	c.cmd.Kind = kind
	c.cmd.Payment = paymentSeq(c.id)
	if bare {
		c.cmd.Final = kind == ledger.Capture
	} else if !c.decode(read) {
		return
	}
	s.execute(c)
}

// paymentSeq is the seq that a payment's public id names. A text that is no such
// id names no payment, now or later: it becomes a number that no payment will
// have, so that its refusal is remembered under the key like any other.
func paymentSeq(id []byte) uint64 {
	const never = 1 << 63
	seq, err := ledger.ParsePaymentID(id)
	if err != nil {
		return xxhash.Sum64(id) | never
	}
	return seq
}

func (s *Server) putAccount(c *call) {
	if c.noQuery() && c.ownAccount() && c.jsonBody() && c.decode(decodeAccount) {
		c.cmd.Source = c.id
		s.execute(c)
	}
}

func (s *Server) patchAccount(c *call) {
	if c.noQuery() && c.ownAccount() && c.jsonBody() && c.ifMatch() && c.decode(decodeAccountPatch) {
		c.cmd.Source = c.id
		s.execute(c)
	}
}

// payBatch executes a batch. The items that are well formed go to the Executor
// together; each result stands where its item stood.
func (s *Server) payBatch(c *call) {
	if !c.noQuery() || !c.jsonBody() {
		return
	}
	if s.crowded() {
		s.turnAway(c)
		return
	}
	b := s.batches.Get().(*batch)
	defer s.release(c, b)
	if !s.receiveBatch(c, b) || s.forwarded(c) {
		return
	}
	c.dec.reset(c.in)
	guard(&c.dec, func() { decodeBatch(&c.dec, b, s.opts.MaxBatch) })
	if !c.decoded() {
		return
	}
	use := func(results []ledger.Result, index uint64) {
		c.at(index)
		s.batchReply(c, b, results)
	}
	if len(b.commands) == 0 {
		s.batchReply(c, b, nil)
	} else if err := s.opts.Executor.ExecuteAll(b.commands, use); err != nil {
		s.failWrite(c, err)
	}
}

// batchReply makes the results of the items of b that were executed the response.
func (s *Server) batchReply(c *call, b *batch, results []ledger.Result) {
	c.reply = s.replies.Get().(*reply)
	c.batchResults(b.faults, results)
}

// release pools b, without what refers to the body of c.
func (s *Server) release(c *call, b *batch) {
	if c.held > 0 {
		b.body = kept(c.in)
	}
	b.reset()
	s.batches.Put(b)
}

// batchResults makes an item of each of faults the response: it, or the next
// result where there is none. It builds it in c.reply.
func (c *call) batchResults(faults []fault, results []ledger.Result) {
	small := c.body
	c.status = 200
	c.body = append(c.reply.body, `{"results":[`...)
	for i, f := range faults {
		if i > 0 {
			c.body = append(c.body, ',')
		}
		if f.code != noCode {
			c.item(meanings[f.code].status, false)
			c.body = append(c.body, `,"error":`...)
			c.body = append(appendFault(c.body, f, c.requestID), '}')
			continue
		}
		c.itemResult(results[0])
		results = results[1:]
	}
	c.reply.body, c.body = append(c.body, ']', '}'), small
}

func (c *call) itemResult(res ledger.Result) {
	if res.Conflict != "" {
		c.item(meanings[codeKeyReused].status, false)
		c.body = append(c.body, `,"error":`...)
		c.body = append(appendConflict(c.body, res.Conflict, c.requestID), '}')
		return
	}
	c.item(recordStatus(res.Record), res.Replayed)
	if res.Record.Code == ledger.OK {
		c.body = append(c.body, `,"payment":`...)
	} else {
		c.body = append(c.body, `,"error":`...)
	}
	c.body = append(appendRecord(c.body, res.Record, c.requestID), '}')
}

// item opens one result of a batch.
func (c *call) item(status int, replayed bool) {
	c.body = append(c.body, `{"status":`...)
	c.body = strconv.AppendInt(c.body, int64(status), 10)
	if replayed {
		c.body = append(c.body, `,"replayed":true`...)
	}
}
