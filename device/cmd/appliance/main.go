//go:build linux

// Command appliance is the first process of the card image, /init.
package main

import "mien/device/appliance/system"

func main() { system.Main() }
