//go:build linux

// Command standin sets GPIO lines through the firmware's own driver and holds
// them: the tests of the virtual board use it where the board itself is
// tested, or the driver, not the firmware.
//
//	standin [-abi 1] GPIO17=1 GPIO27=0 "header 16=1" GPIO24=blink
//
// A line that blinks is shown to who asks the page which pin it is, and is free again after.
// It takes the board to be a Raspberry Pi 3 whose kernel names no lines, so
// that places on the header are looked up as they are on Coral's boards.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"mien/boards"
	"mien/device/pins"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}

func run() error {
	abi := flag.Int("abi", 0, "version of the kernel's GPIO interface")
	flag.Parse()
	board, err := boards.ByName("rpi3")
	if err != nil {
		return err
	}
	for i := range board.Header {
		board.Header[i].Line = ""
	}
	chips := pins.Chips{Board: board.Header, ABI: *abi}
	for _, arg := range flag.Args() {
		name, value, _ := strings.Cut(arg, "=")
		level := 0
		switch value {
		case "1":
			level = 1
		case "blink":
			if err := chips.Blink(context.Background(), name); err != nil {
				return err
			}
			continue
		}
		if _, err := chips.Open(name, level); err != nil {
			return err
		}
	}
	fmt.Println("held")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	return nil
}
