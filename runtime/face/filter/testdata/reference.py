#!/usr/bin/python3
"""What OpenCV and scikit-image make of the pictures here, to hold the filters against.

    apt-get install python3-opencv python3-skimage
    /usr/bin/python3 reference.py    # writes FILTER-PICTURE.png for each

hog and lbp are scikit-image's, sift OpenCV's, gabor OpenCV's kernels and
filter2D, less their answer to an even grey.
"""
import os

import cv2
import numpy as np
from skimage.feature import hog, multiblock_lbp
from skimage.transform import integral_image

HERE = os.path.dirname(os.path.abspath(__file__))
SIDE = 50


def levels(x):
    return np.clip(np.floor(x + 0.5), 0, 255).astype(np.uint8)


def gabor(img):
    src, energy = img.astype(np.float64), 0
    for wave in (4, 8):
        sigma = 0.56 * wave
        reach = round(3 * sigma)
        size = (2 * reach + 1, 2 * reach + 1)
        window = cv2.getGaborKernel(size, sigma, 0, 1e9, 1, 0, cv2.CV_64F)
        for k in range(6):
            for phase in (0, np.pi / 2):
                kernel = cv2.getGaborKernel(size, sigma, k * np.pi / 6, wave, 1, phase, cv2.CV_64F)
                kernel = (kernel - window * kernel.sum() / window.sum()) / window.sum()
                energy = energy + cv2.filter2D(src, cv2.CV_64F, kernel, borderType=cv2.BORDER_REFLECT_101) ** 2
    return levels(85 * np.sqrt(energy / energy.mean()))


def hogs(img):
    blocks = hog(img, orientations=9, pixels_per_cell=(6, 6), cells_per_block=(2, 2), block_norm="L2-Hys", feature_vector=False)
    out = np.zeros((SIDE, SIDE), np.uint8)
    for y, x, r, c, k in np.ndindex(blocks.shape):
        out[4 + y * 6 + r * 3 + k // 3, 4 + x * 6 + c * 3 + k % 3] = levels(255 * np.sqrt(blocks[y, x, r, c, k]))
    return out


def lbp(img):
    wide = np.pad(img, 1, mode="reflect")
    whole = integral_image(wide)
    return np.array([[multiblock_lbp(whole, y, x, 1, 1) for x in range(SIDE)] for y in range(SIDE)], np.uint8)


def sift(img):
    points = [cv2.KeyPoint(8 + 11 * x, 8 + 11 * y, 8 / 3, 0, 0, 0) for y in range(4) for x in range(4)]
    kept, found = cv2.SIFT_create().compute(img, points)
    assert [p.pt for p in kept] == [p.pt for p in points]
    compass = [(1, 2), (0, 2), (0, 1), (0, 0), (1, 0), (2, 0), (2, 1), (2, 2)]
    out = np.zeros((SIDE, SIDE), np.uint8)
    for i, d in enumerate(found):
        for cell in range(16):
            for k in range(8):
                y, x = compass[k]
                out[1 + i // 4 * 12 + cell // 4 * 3 + y, 1 + i % 4 * 12 + cell % 4 * 3 + x] = d[cell * 8 + k]
    return out


for picture in ("face", "noise"):
    img = cv2.imread(f"{HERE}/{picture}.png", cv2.IMREAD_GRAYSCALE)
    for name, make in (("gabor", gabor), ("hog", hogs), ("lbp", lbp), ("sift", sift)):
        cv2.imwrite(f"{HERE}/{name}-{picture}.png", make(img))
