module mien

go 1.26.8

require github.com/goreleaser/nfpm/v2 v2.48.0
