package hostile

import "encoding/binary"

// The opcodes of RFC 6455 §5.2.
const (
	opMore   = 0
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// rawFrame is a client's frame, or what a client could send in the place of one.
type rawFrame struct {
	fin      bool
	rsv      byte // 4: RSV1, 2: RSV2, 1: RSV3
	op       byte
	unmasked bool
	key      [4]byte
	payload  []byte
	length   uint64 // that the header claims, if claims
	claims   bool
	form     int // bytes of the extended length: 0 is the shortest that will do, 2, 8
}

func (f *rawFrame) append(dst []byte) []byte {
	b0 := f.op | f.rsv<<4
	if f.fin {
		b0 |= 0x80
	}
	n := uint64(len(f.payload))
	if f.claims {
		n = f.length
	}
	form := f.form
	if form == 0 && n > 125 {
		form = 2
	}
	if form == 2 && n > 0xffff {
		form = 8
	}
	b1 := byte(0x80)
	if f.unmasked {
		b1 = 0
	}
	dst = append(dst, b0)
	switch form {
	case 2:
		dst = binary.BigEndian.AppendUint16(append(dst, b1|126), uint16(n))
	case 8:
		dst = binary.BigEndian.AppendUint64(append(dst, b1|127), n)
	default:
		dst = append(dst, b1|byte(n))
	}
	if f.unmasked {
		return append(dst, f.payload...)
	}
	dst = append(dst, f.key[:]...)
	for i, c := range f.payload {
		dst = append(dst, c^f.key[i%4])
	}
	return dst
}
