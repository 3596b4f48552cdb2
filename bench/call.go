package bench

// call is what a request asks for: with the job, all that it takes to write it
// once more.
type call struct {
	number uint64 // of the request within the job
	kind   kind
	id     string // of the payment that a later event is about
}

// finished is a call with its first answer, for repeating it.
type finished struct {
	call
	status int
	hash   uint64 // of the answer
}

// ring keeps the last so many values. Each can be taken out once, the oldest
// first, or looked at.
type ring[T any] struct {
	values      []T
	first, size int
}

func newRing[T any](capacity int) ring[T] { return ring[T]{values: make([]T, capacity)} }

// put adds v, in the place of the oldest if the ring is full.
func (r *ring[T]) put(v T) {
	r.values[(r.first+r.size)%len(r.values)] = v
	if r.size < len(r.values) {
		r.size++
		return
	}
	r.first = (r.first + 1) % len(r.values)
}

// take removes the oldest value.
func (r *ring[T]) take() (v T, ok bool) {
	if r.size == 0 {
		return v, false
	}
	v = r.values[r.first]
	r.first = (r.first + 1) % len(r.values)
	r.size--
	return v, true
}

// at returns the i-th oldest value, i below size.
func (r *ring[T]) at(i int) T { return r.values[(r.first+i)%len(r.values)] }
