"""Camera to face as Saroop et al. (arXiv 2110.15028) do it, with OpenCV's Haar cascades.

usage: opencv.py THREADS <names of pictures, a line each
One JSON line a picture: its frontal faces, the largest first, each as its box
[x, y, side] and the tilt of its eyes, null where not two were found in its upper
half, at most 10 degrees; and the milliseconds from the decoded picture to the
largest one's levelled 50x50 face.
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

    def level(frame, x, y, side):
        upper = frame[y : y + side // 2, x : x + side]
        pair = sorted(eyes.detectMultiScale(upper, scaleFactor=1.1, minNeighbors=5), key=lambda e: e[2])[-2:]
        degrees = tilt(pair) if len(pair) == 2 else None
        turn = cv2.getRotationMatrix2D((x + side / 2, y + side / 2), degrees or 0.0, 1.0)
        turned = cv2.warpAffine(frame, turn, (frame.shape[1], frame.shape[0]))
        cv2.resize(turned[y : y + side, x : x + side], (SIDE, SIDE))
        return {"box": [x, y, side], "tilt": degrees}

    for name in sys.stdin:
        name = name.rstrip("\n")
        frame = cv2.imread(name, cv2.IMREAD_GRAYSCALE)
        if frame is None:
            sys.exit("cannot read " + name)
        begin = time.perf_counter()
        found = faces.detectMultiScale(frame, scaleFactor=1.1, minNeighbors=5, minSize=(60, 60))
        found = [tuple(int(v) for v in f[:3]) for f in sorted(found, key=lambda f: -f[2])]
        out = [level(frame, *f) for f in found[:1]]
        ms = 1e3 * (time.perf_counter() - begin)
        out += [level(frame, *f) for f in found[1:]]
        print(json.dumps({"faces": out, "ms": ms}), flush=True)


main()
