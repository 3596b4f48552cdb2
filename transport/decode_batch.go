package transport

import "purser/internal/ledger"

// batch is the decoded body of POST /v1/payments/batch. Batches are pooled apart
// from calls, most of which never serve one and need none of this memory.
type batch struct {
	body     []byte           // empty; memory for the next large one
	commands []ledger.Command // of the items that are well formed, in order
	faults   []fault          // one per item: why it is not, or the zero fault
}

func (b *batch) reset() {
	clear(b.commands)
	clear(b.faults)
	b.commands, b.faults = b.commands[:0], b.faults[:0]
}

// decodeBatch reads a batch of 1 to most payments into b. A fault of the JSON
// text, or outside the items, is the whole request's and sticks in d. A fault of
// one item is that item's alone: the others are still executed.
func decodeBatch(d *decoder, b *batch, most int) {
	if !d.open("") {
		return
	}
	var o object
	for d.next(&o) {
		switch string(o.name) {
		case "payments":
			if d.once(&o, 1) {
				d.items(b, most)
			}
		default:
			d.unknown(&o)
		}
	}
	if o.seen == 0 {
		d.invalid("payments", "the field is required")
	}
	d.end()
}

func (d *decoder) items(b *batch, most int) {
	if d.peek() != '[' {
		d.mismatch("payments", "must be an array")
		return
	}
	d.pos++
	for first := true; d.element(&first); {
		if len(b.faults) == most {
			d.invalid("payments", "there are too many items")
			return
		}
		d.item(b)
	}
	if len(b.faults) == 0 {
		d.invalid("payments", "there must be at least one item")
	}
}

func (d *decoder) item(b *batch) {
	start := d.pos
	b.commands = append(b.commands, ledger.Command{})
	last := len(b.commands) - 1
	decodeBatchItem(d, &b.commands[last])
	own := d.fault
	if own.code != noCode {
		clear(b.commands[last:])
		b.commands = b.commands[:last]
		d.fault, d.prefix, d.pos = fault{}, "", start
		d.skip(1) // fails again where the text itself is at fault
	}
	b.faults = append(b.faults, own)
}
