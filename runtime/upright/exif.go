package upright

import (
	"bytes"
	"encoding/binary"
)

// turns are the eight orientations of EXIF (tag 0x0112, from 1).
var turns = [8]Turn{{}, {0, true}, {180, false}, {180, true}, {90, true}, {90, false}, {270, true}, {270, false}}

// EXIF returns how the picture in a file has to be turned, as the file itself
// says: a JPEG, PNG, WebP or TIFF file. Where it says nothing, or nonsense, the
// picture is taken to be upright.
//
// Source: JEITA CP-3451 (Exif 2.3), 4.6.4 and 4.7.2.
func EXIF(file []byte) Turn {
	n := orientation(tiff(file))
	if n < 1 || n > 8 {
		return Turn{}
	}
	return turns[n-1]
}

// tiff returns the TIFF structure that holds a file's EXIF data; nil where it
// has none.
func tiff(b []byte) []byte {
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xd8}):
		return inJPEG(b[2:])
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return inChunks(b[8:], 4, 8, 4, 1, binary.BigEndian, "eXIf")
	case len(b) > 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return bytes.TrimPrefix(inChunks(b[12:], 0, 8, 0, 2, binary.LittleEndian, "EXIF"), []byte("Exif\x00\x00"))
	}
	return b
}

// inJPEG looks through a JPEG file's segments, up to its pixels.
func inJPEG(b []byte) []byte {
	for len(b) > 4 {
		if b[0] != 0xff || b[1] == 0xff {
			b = b[1:] // padding
			continue
		}
		n := int(b[2])<<8 | int(b[3])
		if b[1] == 0xda || n < 2 || 2+n > len(b) {
			return nil
		}
		if data, ok := bytes.CutPrefix(b[4:2+n], []byte("Exif\x00\x00")); ok && b[1] == 0xe1 {
			return data
		}
		b = b[2+n:]
	}
	return nil
}

// inChunks looks through chunks that have a name at byte name and their length
// beside it, data at byte head, and tail bytes behind, padded to a multiple of
// pad.
func inChunks(b []byte, name, head, tail, pad int, order binary.ByteOrder, want string) []byte {
	for len(b) >= head {
		n := uint64(order.Uint32(b[4-name:]))
		if n > uint64(len(b)-head) {
			return nil
		}
		if string(b[name:name+4]) == want {
			return b[head : head+int(n)]
		}
		b = b[min(head+(int(n)+pad-1)/pad*pad+tail, len(b)):]
	}
	return nil
}

// orientation looks for tag 0x0112 in the first directory of a TIFF structure.
func orientation(b []byte) int {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(b, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return 0
	}
	if len(b) < 8 {
		return 0
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return 0
	}
	n, entries := int(order.Uint16(b[at:])), b[at+2:]
	for ; n > 0 && len(entries) >= 12; n, entries = n-1, entries[12:] {
		const short = 3
		if order.Uint16(entries) == 0x0112 && order.Uint16(entries[2:]) == short {
			return int(order.Uint16(entries[8:]))
		}
	}
	return 0
}
