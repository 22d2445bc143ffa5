"""Write the table and the picture of all evaluations.

The picture shows each accuracy as a dot with its 95 % interval, because on a few hundred
images a difference of one or two per cent may be chance, and the confusion matrix of the
best rate, because a single number does not tell which digits are hard.
"""

import argparse
import json
import math
from pathlib import Path
from xml.sax.saxutils import escape

CELL = 30
TOP, LEFT, WIDTH, RIGHT = 74, 92, 250, 470
BLUE, RED = (31, 95, 168), (200, 70, 20)
HEADING, NOTE, BOLD = ' font-size="14"', ' font-size="11" fill="#5c5c5c"', ' font-weight="bold"'


def interval(correct, total):
    """Return Wilson's 95 % interval of a share."""
    z, share = 1.96, correct / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return (middle - half) / scale, (middle + half) / scale


def text(x, y, words, *, anchor="middle", more=""):
    position = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {position}{more}>{escape(str(words))}</text>"


def line(x1, y1, x2, y2, *, colour, width=1):
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )


def tint(colour, strength):
    """Mix a colour with white; strength 1 is the colour itself."""
    red, green, blue = (round(255 + (c - 255) * strength) for c in colour)
    return f"rgb({red},{green},{blue})"


def accuracy_panel(results, best):
    """Return one row per learning rate: a dot, its interval, its number."""
    height = CELL * 10
    lows = [interval(r["correct"], r["images"])[0] for r in results]
    floor = max(0, math.floor(min(lows) * 10) / 10)
    step = 0.1 if floor < 0.7 else 0.05

    def across(share):
        return LEFT + (share - floor) / (1 - floor) * WIDTH

    parts = [
        text(LEFT, 48, f"Accuracy on {best['images']} test images", anchor="start", more=HEADING)
    ]
    for tick in range(round((1 - floor) / step) + 1):
        x = across(floor + tick * step)
        parts.append(line(x, TOP, x, TOP + height, colour="#dddddd"))
        parts.append(text(x, TOP + height + 18, f"{100 * (floor + tick * step):.0f} %"))
    parts.append(text(LEFT + WIDTH / 2, TOP + height + 38, "digits recognized, with 95 % interval"))
    for row, result in enumerate(results):
        y = TOP + height * (row + 0.5) / len(results)
        share = result["correct"] / result["images"]
        low, high = interval(result["correct"], result["images"])
        weight = BOLD if result is best else ""
        blue = tint(BLUE, 1)
        parts.append(text(LEFT - 10, y + 4, f"{result['rate']:g}", anchor="end", more=weight))
        parts.append(line(across(low), y, across(high), y, colour=blue, width=2))
        parts.append(f'<circle cx="{across(share):.1f}" cy="{y:.1f}" r="4.5" fill="{blue}"/>')
        number = f"{100 * share:.1f} %"
        parts.append(text(across(high) + 8, y + 4, number, anchor="start", more=weight))
    middle = TOP + height / 2
    parts.append(text(30, middle, "learning rate", more=f' transform="rotate(-90 30 {middle})"'))
    return parts


def confusion_panel(best):
    """Return the confusion matrix: hits in blue, errors in red, empty cells empty."""
    confusion = best["confusion"]
    digits = range(len(confusion))
    worst = max([confusion[i][j] for i in digits for j in digits if i != j] + [1])
    title = f"Learning rate {best['rate']:g}: digits taken for others"
    parts = [text(RIGHT, 48, title, anchor="start", more=HEADING)]
    for i in digits:
        parts.append(text(RIGHT - 10, TOP + CELL * (i + 0.65), i, anchor="end"))
        parts.append(text(RIGHT + CELL * (i + 0.5), TOP + CELL * 10 + 18, i))
        for j in digits:
            count = confusion[i][j]
            colour = tint(BLUE, 0.35) if i == j else tint(RED, 0.15 + 0.6 * count / worst)
            parts.append(
                f'<rect x="{RIGHT + CELL * j}" y="{TOP + CELL * i}" width="{CELL}" '
                f'height="{CELL}" fill="{colour if count else "#ffffff"}" stroke="#dddddd"/>'
            )
            if count:
                parts.append(text(RIGHT + CELL * (j + 0.5), TOP + CELL * (i + 0.65), count))
    middle = TOP + CELL * 5
    parts.append(text(RIGHT + CELL * 5, TOP + CELL * 10 + 38, "recognized as"))
    turned = f' transform="rotate(-90 {RIGHT - 34} {middle})"'
    parts.append(text(RIGHT - 34, middle, "digit in the image", more=turned))
    return parts


def picture(results):
    """Return the picture as SVG."""
    best = max(results, key=lambda r: r["correct"])
    note = "The best rate (bold) was chosen on these same images, which flatters it a little."
    body = [
        *accuracy_panel(results, best),
        *confusion_panel(best),
        text(LEFT, TOP + CELL * 10 + 66, note, anchor="start", more=NOTE),
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 460" width="800" height="460" '
        'font-family="sans-serif" font-size="12" fill="#1b1b1b" role="img">\n'
        "<title>Accuracy by learning rate, and confusion matrix of the best</title>\n"
        '<rect width="800" height="460" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def table(results):
    """Return the results as tab-separated values."""
    rows = ["learning_rate\taccuracy\tcorrect\timages\n"]
    for r in results:
        accuracy = r["correct"] / r["images"]
        rows.append(f"{r['rate']:g}\t{accuracy:.4f}\t{r['correct']}\t{r['images']}\n")
    return "".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True)
    parser.add_argument("--picture", required=True)
    parser.add_argument("evaluations", nargs="+")
    args = parser.parse_args()

    results = [json.loads(Path(path).read_text(encoding="utf-8")) for path in args.evaluations]
    results.sort(key=lambda r: r["rate"])
    Path(args.table).write_text(table(results), encoding="utf-8")
    Path(args.picture).write_text(picture(results), encoding="utf-8")
    print(table(results), end="")


if __name__ == "__main__":
    main()
