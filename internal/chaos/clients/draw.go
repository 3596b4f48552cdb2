package clients

// draw chooses the next request; nil if it would be about a payment and there is
// none.
func (c *client) draw() *operation {
	if c.watches {
		return c.drawAccountRead()
	}
	switch pick := c.rng.IntN(100); {
	case pick < 42:
		return c.command(&operation{kind: pay, intent: c.drawPayment()})
	case pick < 45:
		return c.drawBatch()
	case pick < 56:
		return c.drawAuthorize()
	case pick < 70:
		return c.drawOnPayment()
	case pick < 74:
		return c.drawRepeat()
	case pick < 97:
		return c.drawAccountRead()
	}
	return c.drawPaymentRead()
}

// command gives o a key and its request.
func (c *client) command(o *operation) *operation {
	o.request = o.asRequest(c.newKey())
	return o
}

// drawPayment draws who pays how much to whom.
func (c *client) drawPayment() intent {
	b := c.load.bank
	i := intent{amount: 1 + c.rng.Int64N(400), floor: -1}
	switch pick := c.rng.IntN(20); {
	case pick < 5:
		i.source, i.destination = one(c.rng, b.hot), one(c.rng, b.hot) // at times the same: refused
	case pick < 9:
		i.source, i.destination = one(c.rng, b.cold), one(c.rng, b.hot)
	case pick < 11:
		i.source, i.destination = one(c.rng, b.hot), one(c.rng, b.cold)
	case pick < 14:
		i.source, i.destination = one(c.rng, b.cold), one(c.rng, b.cold)
	case pick < 16:
		i.source, i.destination = world, one(c.rng, b.alone)
	case pick < 18:
		i.source, i.destination = one(c.rng, b.alone), world
	case pick < 19:
		i.source, i.destination = one(c.rng, b.cold), world
		i.floor = c.rng.Int64N(1000)
	default:
		i.source, i.destination = one(c.rng, b.cold), b.nobody()
	}
	return i
}

func (c *client) drawBatch() *operation {
	o := &operation{kind: batch}
	for range 2 + c.rng.IntN(8) {
		item := &operation{kind: pay, intent: c.drawPayment()}
		item.request = item.asRequest(c.newKey())
		o.items = append(o.items, item)
	}
	o.request = o.asRequest("")
	return o
}

// drawAuthorize draws a hold. Those on the accounts alone do not expire during
// the run: nothing but their clients changes them.
func (c *client) drawAuthorize() *operation {
	b := c.load.bank
	o := &operation{kind: authorize, intent: intent{amount: 1 + c.rng.Int64N(400), floor: -1, expiresIn: 604_800}}
	switch c.rng.IntN(4) {
	case 0:
		o.source, o.destination = one(c.rng, b.alone), world
	case 1:
		o.source, o.destination = one(c.rng, b.hot), one(c.rng, b.cold)
		o.expiresIn = 1 + c.rng.Int64N(3)
	default:
		o.source, o.destination = one(c.rng, b.cold), one(c.rng, b.hot)
	}
	return c.command(o)
}

// drawOnPayment draws a later event of a payment that any client may have made.
func (c *client) drawOnPayment() *operation {
	b := c.load.bank
	o := &operation{}
	switch pick := c.rng.IntN(14); {
	case pick < 7:
		o.kind, o.payment, o.final = capture, b.open.draw(c.rng), c.rng.IntN(2) == 0
		if c.rng.IntN(3) > 0 {
			o.amount = 1 + c.rng.Int64N(200)
		}
	case pick < 9:
		o.kind, o.payment = void, b.open.draw(c.rng)
	default:
		o.kind, o.payment = refund, b.captured.draw(c.rng)
		if c.rng.IntN(2) == 0 {
			o.amount = 1 + c.rng.Int64N(200)
		}
	}
	if o.payment == "" {
		return nil
	}
	return c.command(o)
}

// drawRepeat draws a finished request to be sent again, or its key with another
// body.
func (c *client) drawRepeat() *operation {
	if len(c.recent) == 0 {
		return nil
	}
	first := c.recent[c.rng.IntN(len(c.recent))]
	o := &operation{kind: retry, of: first, request: first.request}
	if c.rng.IntN(4) == 0 && (first.kind == pay || first.kind == authorize) {
		other := &operation{kind: first.kind, intent: first.intent}
		other.amount++
		o.kind, o.request = reuse, other.asRequest(first.key)
	}
	return o
}

func (c *client) drawAccountRead() *operation {
	b := c.load.bank
	o := &operation{}
	switch c.rng.IntN(10) {
	case 0, 1, 2:
		o.account = one(c.rng, b.alone)
	case 3, 4, 5:
		o.account = one(c.rng, b.cold)
	default:
		o.account = one(c.rng, b.hot)
	}
	switch pick := c.rng.IntN(20); {
	case pick < 9 || c.watches && pick < 19:
		o.kind = read
	case pick < 13:
		o.kind = stale
	case pick < 19:
		o.kind, o.minIndex = follow, c.seen
	default:
		o.kind, o.account = list, b.listed()
	}
	o.request = o.asRequest("")
	return o
}

// drawPaymentRead reads a payment that a recent command of this client was about.
func (c *client) drawPaymentRead() *operation {
	for range 4 {
		if len(c.recent) == 0 {
			break
		}
		first := c.recent[c.rng.IntN(len(c.recent))]
		if first.accepted() && first.answer.payment != nil {
			o := &operation{kind: lookup, intent: intent{payment: first.answer.payment.ID}}
			o.request = o.asRequest("")
			return o
		}
	}
	return nil
}
