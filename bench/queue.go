package bench

// queue is a first-in, first-out queue without a bound of its own.
type queue[T any] struct {
	values []T
	first  int
}

func (q *queue[T]) push(v T) {
	if q.first > 0 && len(q.values) == cap(q.values) && q.first >= len(q.values)/2 {
		q.values = q.values[:copy(q.values, q.values[q.first:])]
		q.first = 0
	}
	q.values = append(q.values, v)
}

func (q *queue[T]) empty() bool { return q.first == len(q.values) }

func (q *queue[T]) peek() T { return q.values[q.first] }

func (q *queue[T]) pop() T {
	v := q.values[q.first]
	q.first++
	return v
}
