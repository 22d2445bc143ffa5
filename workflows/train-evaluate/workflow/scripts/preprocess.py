"""Scale the images of digits and split them into a training and a test part."""

import argparse

import numpy as np

LARGEST_PIXEL = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test-fraction", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("table")
    parser.add_argument("output")
    args = parser.parse_args()

    table = np.loadtxt(args.table, delimiter=",", dtype=np.uint8)
    images, digits = table[:, :-1] / LARGEST_PIXEL, table[:, -1]
    # RandomState, because its numbers are the same in every release of numpy.
    order = np.random.RandomState(args.seed).permutation(len(digits))
    tests = round(args.test_fraction * len(digits))
    test, train = order[:tests], order[tests:]
    np.savez(
        args.output,
        train_images=images[train],
        train_digits=digits[train],
        test_images=images[test],
        test_digits=digits[test],
    )
    print(f"{len(digits)} images of {images.shape[1]} pixels: {len(train)} train, {len(test)} test")


if __name__ == "__main__":
    main()
