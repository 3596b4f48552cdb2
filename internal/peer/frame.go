package peer

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A control call is one frame each way:
//
//	0         1                           5
//	+---------+---------------------------+----------------------+
//	| version | length of JSON, 4 bytes   | JSON                 |
//	|         | big endian, <= maxFrame   |                      |
//	+---------+---------------------------+----------------------+
//
// The header is the same in all versions, so that a node can read past a frame
// that it does not understand and say so. There is no checksum: TCP and TLS have
// theirs, and nothing is kept.
const (
	frameVersion = 1
	headerLen    = 5

	// maxFrame bounds the JSON of a frame. Control calls carry addresses, positions
	// and short lists.
	maxFrame = 1 << 20
)

var (
	// ErrTooLarge refuses to send a request of over 1 MiB, and to read a frame that
	// says it is larger.
	ErrTooLarge = errors.New("control call of over 1 MiB")

	// ErrNewerVersion says that a frame has a later version than this program
	// understands.
	ErrNewerVersion = errors.New("control call of a newer version")

	errVersionZero = errors.New("control call of version 0")
)

// request is the JSON of the caller's frame.
type request struct {
	Method string `json:"method"`
	// TimeoutMS is how many milliseconds the caller waits.
	TimeoutMS int64           `json:"timeout_ms"`
	Body      json.RawMessage `json:"body"`
}

// response is the JSON of the answering frame.
type response struct {
	Body  json.RawMessage `json:"body,omitempty"`
	Error *RemoteError    `json:"error,omitempty"`
}

// appendFrame appends v as a frame.
func appendFrame(to []byte, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(body) > maxFrame {
		return nil, ErrTooLarge
	}
	to = append(to, frameVersion)
	to = binary.BigEndian.AppendUint32(to, uint32(len(body)))
	return append(to, body...), nil
}

// readFrame decodes the next frame into v. After ErrNewerVersion the frame is
// read, after any other error the connection is of no more use.
func readFrame(from io.Reader, v any) error {
	var header [headerLen]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(header[1:])
	if size > maxFrame {
		return ErrTooLarge
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(from, body); err == io.EOF {
		return io.ErrUnexpectedEOF // the frame has begun
	} else if err != nil {
		return err
	}
	switch version := header[0]; {
	case version == 0:
		return errVersionZero
	case version > frameVersion:
		return fmt.Errorf("%w: %d, this program understands %d", ErrNewerVersion, version, frameVersion)
	}
	return json.Unmarshal(body, v)
}
