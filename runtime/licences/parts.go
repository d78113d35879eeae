package licences

// Part is a work that has a licence of its own.
type Part struct {
	Name      string // of a module its path
	Version   string // where the program does not note it
	Licence   string // as SPDX writes it
	Copyright string
	Terms     string   // what binds beside the licence, and what has to be said with it
	Files     []string // of the tree, if these are embedded: patterns of path.Match
	Only      string   // the program that has it, if it is not both
	Library   bool     // it comes with the TensorFlow Lite library
}

// Table is every part. A module that a program links, or a file that one embeds,
// fails a test until it is here.
var Table = []Part{
	{Name: "mien", Licence: "Apache-2.0", Copyright: "2026 The mien authors"},
	{Name: "models", Licence: "Apache-2.0", Copyright: "2026 The mien authors",
		Terms: "The weights learned from FER-2013 (a public research competition, Goodfellow et al. 2013) and UTKFace " +
			"(for non-commercial research only, Zhang, Song, Qi 2017). Their terms may bind whoever uses the models, " +
			"commercially above all: the card of each model says from what it learned. The same holds for the checkpoints in " +
			"runtime/zoo/models and train/teachers. No picture of a data set is in the tree.",
		Files: []string{"runtime/zoo/models/*.tflite"}, Only: "miend"},
	{Name: "eye net", Licence: "Apache-2.0", Copyright: "2026 The mien authors",
		Terms: "The weights learned from facial landmarks of LFW and the web (for non-commercial research, Sun, Wang, Tang 2013), whose " +
			"terms may bind whoever uses it, commercially above all: runtime/face/eyes/eyes-int8.md. No picture of it is in the tree.",
		Files: []string{"runtime/face/eyes/eyes-int8.tflite"}},
	{Name: "pigo cascades", Licence: "MIT", Copyright: "2018 Endre Simo",
		Files: []string{"runtime/face/cascade/facefinder", "runtime/face/cascade/puploc"}},
	{Name: "BlazeFace", Version: "0.4.1657300184", Licence: "Apache-2.0", Copyright: "The MediaPipe Authors",
		Terms: "face_detection_short_range.tflite of MediaPipe, changed to read grey pictures.",
		Files: []string{"runtime/face/network/blazeface.tflite"}},
	{Name: "astronaut", Licence: "LicenseRef-public-domain", Copyright: "none: NASA",
		Terms: "The photograph of miend demo.", Files: []string{"camera/replay/portrait/astronaut.jpg"}},
	{Name: "Linux", Version: "6.12.47", Licence: "GPL-2.0-only", Copyright: "Linus Torvalds and others", Only: "image",
		Terms: "In card images alone (mien image), unchanged from github.com/gokrazy/kernel.rpi; its source is " +
			"https://github.com/raspberrypi/linux at the tag stable_20250916, configuration and patch are in _build of that module. " +
			"Who hands images on has to hand that source on too, or to offer it."},
	{Name: "Raspberry Pi boot firmware", Version: "2026-05-22", Licence: "LicenseRef-Broadcom",
		Copyright: "2006 Broadcom Corporation; 2015 Raspberry Pi (Trading) Ltd", Only: "image",
		Terms: "In card images alone (mien image), unchanged from github.com/gokrazy/firmware; for Raspberry Pi devices only."},
	{Name: "Go", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors"},

	// The library and what its makers linked into it: tensorflow/lite/tools/cmake/modules
	// of version 2.9.0.
	{Name: "TensorFlow Lite", Version: "2.9.0", Licence: "Apache-2.0", Copyright: "2015-2022 The TensorFlow Authors", Library: true},
	{Name: "Abseil", Licence: "Apache-2.0", Copyright: "The Abseil Authors", Library: true},
	{Name: "cpuinfo", Licence: "BSD-2-Clause", Copyright: "2019 Google LLC; 2017-2018 Facebook Inc.; 2012-2017 Georgia Institute of Technology; 2010-2012 Marat Dukhan", Library: true},
	{Name: "Eigen", Licence: "MPL-2.0", Copyright: "2006-2013 Benoit Jacob, Gael Guennebaud and others",
		Terms: "Unchanged; its source is https://gitlab.com/libeigen/eigen.", Library: true},
	{Name: "farmhash", Licence: "MIT", Copyright: "2014 Google, Inc.", Library: true},
	{Name: "fft2d", Licence: "LicenseRef-Ooura", Copyright: "1996-2001 Takuya OOURA", Library: true},
	{Name: "FlatBuffers", Licence: "Apache-2.0", Copyright: "Google Inc.", Library: true},
	{Name: "FP16", Licence: "MIT", Copyright: "2017 Facebook Inc.; 2017 Georgia Institute of Technology; 2019 Google LLC", Library: true},
	{Name: "FXdiv", Licence: "MIT", Copyright: "2017 Facebook Inc.; 2016-2017 Marat Dukhan", Library: true},
	{Name: "gemmlowp", Licence: "Apache-2.0", Copyright: "The Gemmlowp Authors", Library: true},
	{Name: "neon2sse", Licence: "BSD-2-Clause", Copyright: "2012-2018 Intel Corporation", Library: true},
	{Name: "pthreadpool", Licence: "BSD-2-Clause", Copyright: "2019 Google LLC; 2017 Facebook Inc.; 2015-2017 Georgia Institute of Technology", Library: true},
	{Name: "ruy", Licence: "Apache-2.0", Copyright: "Google LLC", Library: true},
	{Name: "XNNPACK", Licence: "BSD-3-Clause", Copyright: "Facebook, Inc. and its affiliates; 2019-2020 Google LLC", Library: true},

	{Name: "aead.dev/minisign", Licence: "MIT", Copyright: "2021 Andreas Auernhammer"},
	{Name: "codeberg.org/go-fonts/liberation", Licence: "BSD-3-Clause AND OFL-1.1", Copyright: "©2020 The go-fonts Authors; fonts: 2010 Google Corporation, 2012 Red Hat, Inc."},
	{Name: "codeberg.org/go-latex/latex", Licence: "BSD-3-Clause", Copyright: "©2020 The go-latex Authors."},
	{Name: "codeberg.org/go-pdf/fpdf", Licence: "MIT", Copyright: "2021 The Go-PDF authors"},
	{Name: "git.sr.ht/~sbinet/gg", Licence: "MIT", Copyright: "2022 The gg Authors"},
	{Name: "github.com/VividCortex/ewma", Licence: "MIT", Copyright: "2013 VividCortex"},
	{Name: "github.com/acarl005/stripansi", Licence: "MIT", Copyright: "2018 Andrew Carlson"},
	{Name: "github.com/ajstarks/svgo", Licence: "CC-BY-4.0", Copyright: "Anthony Starks"},
	{Name: "github.com/alecthomas/kong", Licence: "MIT", Copyright: "2018 Alec Thomas"},
	{Name: "github.com/anchore/go-lzo", Licence: "MIT", Copyright: "2025 Anchore, Inc"},
	{Name: "github.com/antithesishq/antithesis-sdk-go", Licence: "MIT", Copyright: "2024 Antithesis", Only: "mien"},
	{Name: "github.com/beevik/ntp", Licence: "BSD-2-Clause", Copyright: "2015-2023 Brett Vickers"},
	{Name: "github.com/brutella/dnssd", Licence: "MIT", Copyright: "2017 Matthias Hochgatterer"},
	{Name: "github.com/clipperhouse/uax29/v2", Licence: "MIT", Copyright: "2020 Matt Sherman"},
	{Name: "github.com/coreos/go-systemd/v22", Licence: "Apache-2.0", Copyright: "2018 CoreOS, Inc"},
	{Name: "github.com/diskfs/go-diskfs", Licence: "MIT", Copyright: "2017 Avi Deitcher"},
	{Name: "github.com/eclipse/paho.golang", Licence: "EPL-2.0 OR BSD-3-Clause", Copyright: "the Eclipse Paho contributors",
		Terms: "Used under the Eclipse Public License 2.0, unchanged; its source is https://github.com/eclipse/paho.golang, at the version that stands here."},
	{Name: "github.com/elliotwutingfeng/asciiset", Licence: "BSD-3-Clause", Copyright: "2022, Wu Tingfeng"},
	{Name: "github.com/goccy/go-yaml", Licence: "MIT", Copyright: "2019 Masaaki Goshima"},
	{Name: "github.com/golang/freetype", Licence: "FTL", Copyright: "2010 The Freetype-Go Authors",
		Terms: "Portions of this software are copyright 2010 The FreeType Project (www.freetype.org). All rights reserved."},
	{Name: "github.com/google/flatbuffers", Licence: "Apache-2.0", Copyright: "Google Inc."},
	{Name: "github.com/google/go-tpm", Licence: "Apache-2.0", Copyright: "2018 Google LLC", Only: "mien"},
	{Name: "github.com/google/uuid", Licence: "BSD-3-Clause", Copyright: "2009,2014 Google Inc."},
	{Name: "github.com/icholy/digest", Licence: "MIT", Copyright: "2020 Ilia Choly"},
	{Name: "github.com/insomniacslk/dhcp", Licence: "BSD-3-Clause", Copyright: "2018 Andrea Barberio"},
	{Name: "github.com/josharian/native", Licence: "MIT", Copyright: "2020 Josh Bleecher Snyder"},
	{Name: "github.com/klauspost/compress", Licence: "BSD-3-Clause AND Apache-2.0 AND MIT", Copyright: "2012 The Go Authors; 2019 Klaus Post"},
	{Name: "github.com/mattn/go-pointer", Licence: "MIT", Copyright: "2019 Yasuhiro Matsumoto"},
	{Name: "github.com/mattn/go-runewidth", Licence: "MIT", Copyright: "2016 Yasuhiro Matsumoto"},
	{Name: "github.com/mattn/go-tflite", Licence: "MIT", Copyright: "2019 Yasuhiro Matsumoto"},
	{Name: "github.com/mdlayher/packet", Licence: "MIT", Copyright: "2022 Matt Layher"},
	{Name: "github.com/mdlayher/socket", Licence: "MIT", Copyright: "2021 Matt Layher"},
	{Name: "github.com/miekg/dns", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors; 2011 Miek Gieben; 2014 CloudFlare"},
	{Name: "github.com/minio/highwayhash", Licence: "Apache-2.0", Copyright: "2017 Minio Inc.", Only: "mien"},
	{Name: "github.com/nats-io/jwt/v2", Licence: "Apache-2.0", Copyright: "2018-2024 The NATS Authors", Only: "mien"},
	{Name: "github.com/nats-io/nats-server/v2", Licence: "Apache-2.0", Copyright: "2012-2026 The NATS Authors", Only: "mien"},
	{Name: "github.com/nats-io/nats.go", Licence: "Apache-2.0", Copyright: "2012-2026 The NATS Authors", Only: "mien"},
	{Name: "github.com/nats-io/nkeys", Licence: "Apache-2.0", Copyright: "2018-2025 The NATS Authors"},
	{Name: "github.com/nats-io/nuid", Licence: "Apache-2.0", Copyright: "2016-2018 The NATS Authors", Only: "mien"},
	{Name: "github.com/pierrec/lz4/v4", Licence: "BSD-3-Clause", Copyright: "2015 Pierre Curto"},
	{Name: "github.com/pkg/xattr", Licence: "BSD-2-Clause", Copyright: "2012 Dave Cheney; 2014 Kuba Podgorski"},
	{Name: "github.com/u-root/uio", Licence: "BSD-3-Clause", Copyright: "2012-2021 u-root Authors"},
	{Name: "github.com/ulikunitz/xz", Licence: "BSD-3-Clause", Copyright: "2014-2022 Ulrich Kunitz"},
	{Name: "github.com/vbauerster/cupwriter", Licence: "Unlicense"},
	{Name: "github.com/vbauerster/mpb/v8", Licence: "Unlicense"},
	{Name: "github.com/vishvananda/netlink", Licence: "Apache-2.0", Copyright: "2014 Vishvananda Ishaya; 2014 Docker, Inc."},
	{Name: "github.com/vishvananda/netns", Licence: "Apache-2.0", Copyright: "2014 Vishvananda Ishaya; 2014 Docker, Inc."},
	{Name: "github.com/warthog618/go-gpiocdev", Licence: "MIT", Copyright: "2019 Kent Gibson"},
	{Name: "golang.org/x/crypto", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors."},
	{Name: "golang.org/x/crypto/x509roots/fallback", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors.",
		Terms: "In card images alone. The certificates are those of Mozilla's list, under the Mozilla Public License 2.0: https://hg.mozilla.org/mozilla-central/raw-file/tip/security/nss/lib/ckfw/builtins/certdata.txt."},
	{Name: "golang.org/x/image", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors."},
	{Name: "golang.org/x/net", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors."},
	{Name: "golang.org/x/mod", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors."},
	{Name: "golang.org/x/sync", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors."},
	{Name: "golang.org/x/sys", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors."},
	{Name: "golang.org/x/term", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors."},
	{Name: "golang.org/x/text", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors."},
	{Name: "golang.org/x/time", Licence: "BSD-3-Clause", Copyright: "2009 The Go Authors."},
	{Name: "gonum.org/v1/gonum", Licence: "BSD-3-Clause", Copyright: "©2013 The Gonum Authors."},
	{Name: "gonum.org/v1/plot", Licence: "BSD-3-Clause", Copyright: "©2013 The Gonum Authors."},
	{Name: "google.golang.org/protobuf", Licence: "BSD-3-Clause", Copyright: "2018 The Go Authors."},
	{Name: "periph.io/x/conn/v3", Licence: "Apache-2.0", Copyright: "The Periph Authors"},
	{Name: "periph.io/x/devices/v3", Licence: "Apache-2.0", Copyright: "The Periph Authors"},
	{Name: "periph.io/x/host/v3", Licence: "Apache-2.0", Copyright: "The Periph Authors"},
}
