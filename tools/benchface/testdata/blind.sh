shift
for f; do echo '{"box": null, "eyes": false, "tilt": 0, "ms": 4.0}'; done
