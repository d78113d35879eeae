// Package v4l2 takes grey frames from a Video4Linux camera.
//
// It speaks to the kernel itself, through golang.org/x/sys/unix. Of the two
// libraries at hand, github.com/blackjack/webcam v0.6.1 gives back the size
// that was asked for instead of what the driver made of it, hides the length
// of its rows, the number, time and error flag of a frame, and allocates for
// each of them; github.com/vladimirvivien/go4vl v0.3.0 needs cgo and makes a
// slice for every frame. What is needed of the interface is small and frozen.
//
// Source: the kernel's include/uapi/linux/videodev2.h and
// https://docs.kernel.org/userspace-api/media/v4l/v4l2.html.
package v4l2
