"""Count how a model does on the images that its training has not seen."""

import argparse
import json
from pathlib import Path

import numpy as np

DIGITS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("digits")
    parser.add_argument("model")
    parser.add_argument("output")
    args = parser.parse_args()

    data, model = np.load(args.digits), np.load(args.model)
    images, digits, weights = data["test_images"], data["test_digits"], model["weights"]
    guesses = (images @ weights[:-1] + weights[-1]).argmax(axis=1)
    confusion = np.zeros((DIGITS, DIGITS), dtype=int)
    np.add.at(confusion, (digits, guesses), 1)
    result = {
        "rate": float(model["rate"]),
        "images": len(digits),
        "correct": int(confusion.trace()),
        "confusion": confusion.tolist(),  # rows: the digit, columns: the guess
    }
    Path(args.output).write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(f"rate {result['rate']}: {result['correct']} of {result['images']} correct")


if __name__ == "__main__":
    main()
