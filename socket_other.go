//go:build !unix

package hotline

import "errors"

const nonBlocking = false

type writer struct{}

func (w *writer) writeNow(*socket, []byte) (int, error) { return 0, errors.ErrUnsupported }

func (s *socket) writeWait([]byte) (int, error) { return 0, errors.ErrUnsupported }

func (s *socket) await([]byte) (int, error)                    { return 0, errors.ErrUnsupported }
func (s *socket) readReady(func() []byte, func()) (int, error) { return 0, errors.ErrUnsupported }
