//go:build appliance

package main

// The card image has neither time zones nor certificates of authorities.
import (
	_ "time/tzdata"

	_ "golang.org/x/crypto/x509roots/fallback"
)
