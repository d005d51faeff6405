package eventlog

import "sort"

// ring is a queue of ascending numbers that can be searched.
type ring struct {
	buf   []uint64 // its length is a power of two
	start int
	n     int
}

func (r *ring) at(i int) uint64 { return r.buf[(r.start+i)&(len(r.buf)-1)] }

func (r *ring) push(v uint64) {
	if r.n == len(r.buf) {
		r.resize(max(4, 2*r.n))
	}
	r.buf[(r.start+r.n)&(len(r.buf)-1)] = v
	r.n++
}

func (r *ring) pop() {
	r.start = (r.start + 1) & (len(r.buf) - 1)
	if r.n--; r.n == 0 {
		*r = ring{}
	} else if len(r.buf) > 16 && r.n <= len(r.buf)/4 {
		r.resize(len(r.buf) / 2)
	}
}

func (r *ring) resize(size int) {
	buf := make([]uint64, size)
	for i := range r.n {
		buf[i] = r.at(i)
	}
	r.buf, r.start = buf, 0
}

// after returns the index of the first number greater than v, n if there is none.
func (r *ring) after(v uint64) int {
	if r.n == 0 || r.at(r.n-1) <= v {
		return r.n
	}
	return sort.Search(r.n, func(i int) bool { return r.at(i) > v })
}

// list is a doubly linked list of topics through an element inside each of them, so that joining and leaving it
// allocates nothing.
type list struct {
	first, last *element
}

type element struct {
	topic      *Topic // nil: in no list
	mark       uint64 // the owner's
	prev, next *element
}

func (l *list) remove(e *element) {
	if e.topic == nil {
		return
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	*e = element{}
}

// moveToBack appends e, whether it is in the list or not.
func (l *list) moveToBack(e *element, t *Topic) {
	l.remove(e)
	e.topic, e.prev = t, l.last
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
}
