//go:build linux

package v4l2

import "unsafe"

// The structures of videodev2.h for single-planar video capture. Their layout
// is C's on every Linux that Go runs on; abi_test.go checks their sizes.

const word = unsafe.Sizeof(uintptr(0))

type capability struct {
	driver  [16]byte
	card    [32]byte
	bus     [32]byte
	version uint32
	all     uint32
	device  uint32 // capabilities of this node, if all has capDeviceCaps
	_       [3]uint32
}

type fmtdesc struct {
	index, kind, flags uint32
	description        [32]byte
	fourcc             FourCC
	_                  [4]uint32
}

type pixFormat struct {
	width, height uint32
	fourcc        FourCC
	field         uint32
	bytesPerLine  uint32
	sizeImage     uint32
	_             [6]uint32
}

// format's union holds pointers in C, so it is aligned as they are.
type format struct {
	kind uint32
	_    [word - 4]byte
	pix  pixFormat
	_    [200 - 48]byte
}

type streamparm struct {
	kind       uint32
	capability uint32
	mode       uint32
	num, den   uint32 // seconds a frame
	_          [200 - 16]byte
}

type requestBuffers struct {
	count, kind, memory uint32
	_                   [2]uint32
}

// buffer holds a time and a pointer, which are as long as a word.
type buffer struct {
	index, kind, used, flags, field uint32
	_                               [word - 4]byte
	seconds, micros                 int // since the clock of flags began
	_                               [16]byte
	sequence, memory                uint32
	offset                          uint32
	_                               [word - 4]byte
	length                          uint32
	_                               [2]uint32
	_                               [word - 4]byte
}

const (
	kindCapture = 1 // V4L2_BUF_TYPE_VIDEO_CAPTURE
	memoryMmap  = 1 // V4L2_MEMORY_MMAP
	fieldNone   = 1 // V4L2_FIELD_NONE: whole frames

	capCapture       = 0x00000001
	capCaptureMplane = 0x00001000
	capStreaming     = 0x04000000
	capDeviceCaps    = 0x80000000

	flagError         = 0x0040 // V4L2_BUF_FLAG_ERROR: the frame is damaged
	flagClockMask     = 0xe000
	flagClockMonotone = 0x2000
)

// request builds an ioctl's number: its direction, number and the size of what
// it takes (asm-generic/ioctl.h).
func request(dir, nr, size uintptr) uintptr { return dir<<30 | size<<16 | 'V'<<8 | nr }

const (
	write = 1
	read  = 2
)

var (
	querycap  = request(read, 0, unsafe.Sizeof(capability{}))
	enumFmt   = request(read|write, 2, unsafe.Sizeof(fmtdesc{}))
	sFmt      = request(read|write, 5, unsafe.Sizeof(format{}))
	reqbufs   = request(read|write, 8, unsafe.Sizeof(requestBuffers{}))
	querybuf  = request(read|write, 9, unsafe.Sizeof(buffer{}))
	qbuf      = request(read|write, 15, unsafe.Sizeof(buffer{}))
	dqbuf     = request(read|write, 17, unsafe.Sizeof(buffer{}))
	streamon  = request(write, 18, 4)
	streamoff = request(write, 19, 4)
	sParm     = request(read|write, 22, unsafe.Sizeof(streamparm{}))
)

// FourCC names a pixel format in four letters.
type FourCC uint32

func fourcc(s string) FourCC {
	return FourCC(s[0]) | FourCC(s[1])<<8 | FourCC(s[2])<<16 | FourCC(s[3])<<24
}

func (f FourCC) String() string {
	b := []byte{byte(f), byte(f >> 8), byte(f >> 16), byte(f >> 24)}
	for i := range b {
		if b[i] < ' ' || b[i] > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
