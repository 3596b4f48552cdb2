package transport

// skip reads past one value of any kind, checking its syntax only.
func (d *decoder) skip(depth int) {
	if d.failed() {
		return
	}
	if depth > maxDepth {
		d.syntax("values nest too deep")
		return
	}
	switch b := d.peek(); {
	case b == '"':
		d.text()
	case b == '-', b >= '0' && b <= '9':
		d.number()
	case b == '{':
		d.pos++
		for o := (object{}); d.next(&o); {
			d.skip(depth + 1)
		}
	case b == '[':
		d.pos++
		d.skipElements(depth + 1)
	case d.literal("true"), d.literal("null"):
		d.pos += len("true")
	case d.literal("false"):
		d.pos += len("false")
	default:
		d.syntax("a value is expected")
	}
}

func (d *decoder) skipElements(depth int) {
	for first := true; d.element(&first); {
		d.skip(depth)
	}
}

// element moves to the next element of an array and stands before it; it returns
// false after the last one, with the closing bracket taken, and on a fault.
func (d *decoder) element(first *bool) bool {
	if d.failed() {
		return false
	}
	if d.peek() == ']' && *first {
		d.pos++
		return false
	}
	if !*first {
		if d.peek() == ']' {
			d.pos++
			return false
		}
		if !d.take(',', "a comma or a closing bracket is expected") {
			return false
		}
	}
	*first = false
	return true
}
