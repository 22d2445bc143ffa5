"""Choose the trial with the most right answers; draw all of them, rate against accuracy."""

import argparse
import json
import math
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 640, 360, 60


def read(file):
    """Return a trial's name and what it measured; the folder has the trial's name."""
    measured = json.loads(Path(file).read_text(encoding="utf-8"))
    return {
        "trial": Path(file).parent.name,
        "rate": measured["rate"],
        "accuracy": round(measured["correct"] / measured["images"], 4),
    }


def draw(trials, best):
    """Return a picture: one point per trial, the best one filled."""
    low = math.log10(min(one["rate"] for one in trials))
    span = math.log10(max(one["rate"] for one in trials)) - low or 1
    least = min(one["accuracy"] for one in trials)
    rise = best["accuracy"] - least or 1
    marks = []
    for one in trials:
        x = MARGIN + (math.log10(one["rate"]) - low) / span * (WIDTH - 2 * MARGIN)
        y = HEIGHT - MARGIN - (one["accuracy"] - least) / rise * (HEIGHT - 2 * MARGIN)
        fill = "#c2410c" if one is best else "none"
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{fill}" stroke="#2f6db3">'
            f"<title>{one['trial']}: {one['accuracy']}</title></circle>"
        )
    texts = [
        (MARGIN, HEIGHT - 20, f"{min(one['rate'] for one in trials):g}"),
        (WIDTH - MARGIN, HEIGHT - 20, f"{max(one['rate'] for one in trials):g}"),
        (WIDTH / 2, HEIGHT - 20, "learning rate, logarithmic"),
        (WIDTH / 2, 24, f"best: {best['trial'].partition('~')[0]}, {best['accuracy']}"),
        (MARGIN / 2, MARGIN, f"{best['accuracy']}"),
        (MARGIN / 2, HEIGHT - MARGIN, f"{least}"),
    ]
    marks += [f'<text x="{x}" y="{y}" text-anchor="middle">{text}</text>' for x, y, text in texts]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
    return "\n".join([head + 'font-family="sans-serif" font-size="14">', *marks, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--best", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("metrics", nargs="+")
    args = parser.parse_args()

    trials = sorted(map(read, args.metrics), key=lambda one: -one["accuracy"])
    best = trials[0]
    rows = ["\t".join(best), *("\t".join(map(str, one.values())) for one in trials)]
    args.table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    args.best.write_text(json.dumps(best, indent=2) + "\n", encoding="utf-8")
    args.picture.write_text(draw(trials, best), encoding="utf-8")
    print(f"best of {len(trials)}: {best['trial']}, accuracy {best['accuracy']}")


if __name__ == "__main__":
    main()
