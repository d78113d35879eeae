while read -r f; do echo '{"faces": [], "ms": 4.0}'; done
