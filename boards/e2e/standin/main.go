//go:build linux

// Command standin sets GPIO lines and holds them: the tests of the virtual
// board use it where the board itself is tested, not the firmware.
//
//	standin GPIO17=1 GPIO27=0
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/warthog618/go-gpiocdev"
)

func main() {
	for _, arg := range os.Args[1:] {
		name, level, _ := strings.Cut(arg, "=")
		chip, offset, err := gpiocdev.FindLine(name)
		if err != nil {
			fmt.Fprintf(os.Stderr, "standin: line %s: %v\n", name, err)
			os.Exit(1)
		}
		value := 0
		if level == "1" {
			value = 1
		}
		if _, err := gpiocdev.RequestLine(chip, offset, gpiocdev.AsOutput(value)); err != nil {
			fmt.Fprintf(os.Stderr, "standin: line %s: %v\n", name, err)
			os.Exit(1)
		}
	}
	fmt.Println("held")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
}
