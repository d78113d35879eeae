// Command miend is the firmware: camera frames in, signals out.
package main

import "mien/device/cmdline"

func main() { cmdline.Main("miend", run) }
