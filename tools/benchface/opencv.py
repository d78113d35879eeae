"""Camera to face as Saroop et al. (arXiv 2110.15028) do it, with OpenCV's Haar cascades.

usage: opencv.py THREADS FRAME...
One JSON line a frame: the largest frontal face as [x, y, side] or null, whether
two eyes were found in its upper half, the tilt that was levelled (at most 10
degrees), and the milliseconds from the decoded frame to the 50x50 face.
"""
import json
import math
import sys
import time

import cv2

CASCADES = "/usr/share/opencv4/haarcascades/haarcascade_"
SIDE, CAP = 50, 10.0


def centre(box):
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def tilt(eyes):
    (lx, ly), (rx, ry) = sorted(centre(e) for e in eyes)
    return max(-CAP, min(CAP, math.degrees(math.atan2(ry - ly, rx - lx))))


def main():
    cv2.setNumThreads(int(sys.argv[1]))
    faces = cv2.CascadeClassifier(CASCADES + "frontalface_default.xml")
    eyes = cv2.CascadeClassifier(CASCADES + "eye.xml")
    if faces.empty() or eyes.empty():
        sys.exit("no cascades in /usr/share/opencv4 (apt-get install opencv-data)")

    def extract(frame):
        found = faces.detectMultiScale(frame, scaleFactor=1.1, minNeighbors=5, minSize=(60, 60))
        if len(found) == 0:
            return None, False, 0.0, None
        x, y, side, _ = (int(v) for v in max(found, key=lambda f: f[2]))
        upper = frame[y : y + side // 2, x : x + side]
        pair = sorted(eyes.detectMultiScale(upper, scaleFactor=1.1, minNeighbors=5), key=lambda e: e[2])[-2:]
        degrees = tilt(pair) if len(pair) == 2 else 0.0
        turn = cv2.getRotationMatrix2D((x + side / 2, y + side / 2), degrees, 1.0)
        level = cv2.warpAffine(frame, turn, (frame.shape[1], frame.shape[0]))
        return [x, y, side], len(pair) == 2, degrees, cv2.resize(level[y : y + side, x : x + side], (SIDE, SIDE))

    for name in sys.argv[2:]:
        frame = cv2.imread(name, cv2.IMREAD_GRAYSCALE)
        if frame is None:
            sys.exit("cannot read " + name)
        begin = time.perf_counter()
        box, both, degrees, _ = extract(frame)
        ms = 1e3 * (time.perf_counter() - begin)
        print(json.dumps({"box": box, "eyes": both, "tilt": degrees, "ms": ms}), flush=True)


main()
