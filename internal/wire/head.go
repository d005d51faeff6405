package wire

// Head is what stands before the data of a message. The data is the same for every subscriber and so is the head: the
// whole is encoded once, and tagged with AppendSubTag where it goes to one subscription alone.
type Head struct {
	Topic  string
	ID     Pos // of an entry of an Events topic, if HasID
	HasID  bool
	Rev    Pos // of a value of a State or Presence topic, if HasRev
	HasRev bool
	From   string // user of the client that published it; empty: none
	Gone   bool   // the topic has no value any more: there is no data
	Binary bool   // the data is bytes and travels in a binary message
	Send   bool   // of a message to one connection, {"op":"send",…}
}

// Tail ends a message after its JSON data.
const Tail = "}"

// AppendHead appends what stands before the data: for JSON everything up to it, to be followed by the data and Tail; if
// h.Binary the header and its newline, to be followed by the bytes; if h.Gone the complete message, which is text.
func AppendHead(dst []byte, h Head) []byte {
	if h.Send {
		dst = append(dst, `{"op":"send","topic":`...)
	} else {
		dst = append(dst, `{"topic":`...)
	}
	dst = appendString(dst, h.Topic)
	if h.HasID {
		dst = appendPos(dst, "id", h.ID)
	}
	if h.HasRev {
		dst = appendPos(dst, "rev", h.Rev)
	}
	dst = appendText(dst, "from", h.From)
	switch {
	case h.Gone:
		return append(dst, `,"gone":true}`...)
	case h.Binary:
		return append(dst, '}', '\n')
	}
	return append(dst, `,"data":`...)
}

// AppendSubTag appends what replaces the first byte of the payload of a message or gap to tag it for one subscription.
func AppendSubTag(dst []byte, sub int64) []byte {
	return append(appendNumber(append(dst, `{"sub":`...), sub), ',')
}
