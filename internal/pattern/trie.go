package pattern

import "slices"

// Trie finds the values of all patterns that match a topic. The zero value is empty and ready to use. It is not safe
// for concurrent use, except that any number of goroutines may call Append and Len while nobody changes it.
//
// It is compressed: a node stands for as many segments as its patterns share, so a pattern costs at most two nodes, about
// 200 bytes, however many segments a client gives it. It keeps the pattern strings that it is given.
type Trie[V comparable] struct {
	root node[V]
	len  int
}

// node is where one pattern ends (it has values) or several part (it has two kids or more); the root is neither.
type node[V comparable] struct {
	// path is a pattern, or the beginning of one, up to here. A node's own segments are those after its parent's path,
	// so that cutting a node in two, and joining two again, changes no string.
	path   string
	values []V
	kids   *kids[V] // nil: none
}

// Len returns the number of values, counting one once for each time that it was added.
func (t *Trie[V]) Len() int { return t.len }

// Add adds v under pattern, which is a valid pattern. A value that is added twice is there twice.
func (t *Trie[V]) Add(pattern string, v V) {
	t.len++
	parent, from := &t.root, 0 // parent's kids go on at pattern[from:]
	for {
		seg := segment(pattern, from)
		n := parent.kid(seg, from)
		if n == nil {
			parent.setKid(seg, from, &node[V]{path: pattern, values: []V{v}})
			return
		}
		end := shared(n.path, pattern, from)
		if end < len(n.path) {
			fork := &node[V]{path: n.path[:end]}
			fork.setKid(segment(n.path, end+1), end+1, n)
			parent.setKid(seg, from, fork)
			n = fork
		}
		if end == len(pattern) {
			n.values = append(n.values, v)
			return
		}
		parent, from = n, end+1
	}
}

// Remove removes v from under pattern once, and reports whether it was there. It takes time in proportion to the values
// under that pattern.
func (t *Trie[V]) Remove(pattern string, v V) bool {
	var (
		above, parent *node[V]
		aboveFrom     int
	)
	n, from, next := &t.root, 0, 0 // n's own segments begin at from, those of its kids at next
	for n == &t.root || len(n.path) < len(pattern) {
		above, aboveFrom, parent, from = parent, from, n, next
		n = n.kid(segment(pattern, from), from)
		if n == nil || shared(n.path, pattern, from) != len(n.path) {
			return false
		}
		next = len(n.path) + 1
	}
	i := slices.Index(n.values, v)
	if i < 0 {
		return false
	}
	t.len--
	n.values = dropValue(n.values, i)
	if len(n.values) > 0 || n.kids.size() > 1 {
		return true
	}
	// n is needed no more. Its only kid takes its place, or if that leaves its parent with one kid, that kid the parent's.
	parent.setKid(segment(pattern, from), from, n.kids.only())
	if above != nil && len(parent.values) == 0 && parent.kids.size() == 1 {
		above.setKid(segment(pattern, aboveFrom), aboveFrom, parent.kids.only())
	}
	return true
}

// Append appends to dst the values of all patterns that match topic, a valid topic, in no particular order, and
// returns it. A value that is there under several of them is appended as often. It allocates only to grow dst.
func (t *Trie[V]) Append(dst []V, topic string) []V {
	if t.root.kids == nil || topic == "" {
		return dst
	}
	return t.root.kids.match(dst, 0, topic)
}

// match appends to dst what matches topic in n and below. n's own segments begin at from, and are to be matched with
// the first of topic.
func (n *node[V]) match(dst []V, from int, topic string) []V {
	took := match(n.path[from:], "", topic)
	switch {
	case took < 0:
		return dst
	case took == len(topic):
		return append(dst, n.values...)
	case n.kids == nil:
		return dst
	}
	return n.kids.match(dst, len(n.path)+1, topic[took+1:])
}

// kid returns n's kid whose own segments begin at from, the first of them seg, or nil.
func (n *node[V]) kid(seg string, from int) *node[V] {
	if n.kids == nil {
		return nil
	}
	return n.kids.get(seg, from)
}

// setKid makes kid what n.kid(seg, from) returns; nil removes.
func (n *node[V]) setKid(seg string, from int, kid *node[V]) {
	if n.kids == nil {
		n.kids = &kids[V]{}
	}
	n.kids.set(seg, from, kid)
	if n.kids.size() == 0 {
		n.kids = nil
	}
}

// dropValue removes values[i], not keeping the order, and gives memory back that is far more than what is left needs.
func dropValue[V any](values []V, i int) []V {
	last := len(values) - 1
	values[i] = values[last]
	clear(values[last:])
	values = values[:last]
	switch {
	case last == 0:
		return nil
	case cap(values) >= 32 && last <= cap(values)/4:
		return append(make([]V, 0, 2*last), values...)
	}
	return values
}

// shared returns where the last segment ends that a and b have in common, given that they have the one at from.
func shared(a, b string, from int) int {
	end := from - 1
	for i := from; ; i++ {
		if (i == len(a) || a[i] == '.') && (i == len(b) || b[i] == '.') {
			end = i
		}
		if i == len(a) || i == len(b) || a[i] != b[i] {
			return end
		}
	}
}
