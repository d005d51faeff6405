package pattern

import "slices"

// fewKids is up to how many kids are searched one by one: a map of two would be larger than they are.
const fewKids = 8

// kids are what is below a node of a [Trie], by the first of their own segments. Nil has none.
type kids[V comparable] struct {
	star, rest *node[V]            // those that begin with '*' and '>'
	few        []*node[V]          // the others, in no order, if there are few
	many       map[string]*node[V] // the others, by their first segment, if there are many
}

// get returns the kid whose own segments begin at from, the first of them seg, or nil.
func (k *kids[V]) get(seg string, from int) *node[V] {
	switch seg {
	case "*":
		return k.star
	case ">":
		return k.rest
	}
	return k.literal(seg, from)
}

// literal is get for a segment of a topic.
func (k *kids[V]) literal(seg string, from int) *node[V] {
	if k.many != nil {
		return k.many[seg]
	}
	if i := k.index(seg, from); i >= 0 {
		return k.few[i]
	}
	return nil
}

// index returns the index in k.few of the kid that begins with seg, or -1.
func (k *kids[V]) index(seg string, from int) int {
	for i, n := range k.few {
		end := from + len(seg)
		if len(n.path) >= end && n.path[from:end] == seg && (len(n.path) == end || n.path[end] == '.') {
			return i
		}
	}
	return -1
}

// set makes n what get(seg, from) returns; nil removes.
func (k *kids[V]) set(seg string, from int, n *node[V]) {
	switch {
	case seg == "*":
		k.star = n
	case seg == ">":
		k.rest = n
	case k.many != nil:
		k.setMany(seg, n)
	default:
		k.setFew(seg, from, n)
	}
}

func (k *kids[V]) setFew(seg string, from int, n *node[V]) {
	i := k.index(seg, from)
	switch {
	case i >= 0 && n != nil:
		k.few[i] = n
	case i >= 0:
		k.few = slices.Delete(k.few, i, i+1)
	case n == nil:
	case len(k.few) < fewKids:
		k.few = append(k.few, n)
	default:
		k.many = make(map[string]*node[V], 2*fewKids)
		for _, kid := range k.few {
			k.many[segment(kid.path, from)] = kid
		}
		k.many[seg] = n
		k.few = nil
	}
}

func (k *kids[V]) setMany(seg string, n *node[V]) {
	if n != nil {
		k.many[seg] = n
		return
	}
	delete(k.many, seg)
	if len(k.many) > fewKids/2 { // not fewKids, or one that comes and goes would build the map each time
		return
	}
	for _, kid := range k.many {
		k.few = append(k.few, kid)
	}
	k.many = nil // a map never shrinks
}

// match appends to dst what matches topic below; the own segments of these kids begin at from.
func (k *kids[V]) match(dst []V, from int, topic string) []V {
	if k.rest != nil {
		dst = append(dst, k.rest.values...)
	}
	if k.star != nil {
		dst = k.star.match(dst, from, topic)
	}
	if n := k.literal(segment(topic, 0), from); n != nil {
		dst = n.match(dst, from, topic)
	}
	return dst
}

// size returns the number of kids.
func (k *kids[V]) size() int {
	if k == nil {
		return 0
	}
	size := len(k.few) + len(k.many)
	if k.star != nil {
		size++
	}
	if k.rest != nil {
		size++
	}
	return size
}

// only returns the only kid, or nil if there is none.
func (k *kids[V]) only() *node[V] {
	switch {
	case k == nil:
		return nil
	case k.star != nil:
		return k.star
	case k.rest != nil:
		return k.rest
	}
	for _, n := range k.many {
		return n
	}
	for _, n := range k.few {
		return n
	}
	return nil
}
