"""Train a multinomial logistic regression by stochastic gradient descent.

It is the smallest model that is worth a learning rate: 65 weights per digit, trained in
seconds on one core, and the same to the last byte whenever it is trained again.
"""

import argparse
import json
import os
import platform
import socket
import time
from pathlib import Path

import numpy as np

DIGITS = 10


def probabilities(weights, images):
    """Return one row per image, one column per digit."""
    scores = images @ weights[:-1] + weights[-1]
    scores -= scores.max(axis=1, keepdims=True)
    exp = np.exp(scores)
    return exp / exp.sum(axis=1, keepdims=True)


def gradient(weights, images, digits):
    """Return how the mean loss of a batch changes with the weights; the last row is the bias."""
    error = probabilities(weights, images)
    error[np.arange(len(digits)), digits] -= 1
    return np.vstack([images.T @ error, error.sum(axis=0)]) / len(digits)


def loss(weights, images, digits):
    """Return the mean cross-entropy."""
    chosen = probabilities(weights, images)[np.arange(len(digits)), digits]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def train(images, digits, *, rate, epochs, batch, seed):
    """Return the weights after the last epoch."""
    random = np.random.RandomState(seed)
    weights = np.zeros((images.shape[1] + 1, DIGITS))
    for epoch in range(1, epochs + 1):
        order = random.permutation(len(digits))
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            weights -= rate * gradient(weights, images[chosen], digits[chosen])
        print(f"epoch {epoch:3}  loss {loss(weights, images, digits):.4f}", flush=True)
    return weights


def engine_seen():
    """Tell which container engine this process finds itself in, as far as it shows."""
    if "APPTAINER_CONTAINER" in os.environ or "SINGULARITY_CONTAINER" in os.environ:
        return "apptainer"
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    root = next((line for line in mounts if line.split()[4] == "/"), "")
    if "pyxis" in root:
        return "pyxis"
    if "enroot" in root:
        # pyxis mounts an image as Enroot does, but starts it as a step of the job.
        return "pyxis" if "SLURM_STEP_ID" in os.environ else "enroot"
    return "none seen"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("digits")
    parser.add_argument("model")
    parser.add_argument("run")
    args = parser.parse_args()

    seen = {
        "engine": engine_seen(),
        "node": os.environ.get("SLURMD_NODENAME", socket.gethostname()),
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    print(", ".join(f"{name} {value or '-'}" for name, value in seen.items()), flush=True)

    data = np.load(args.digits)
    images, digits = data["train_images"], data["train_digits"]
    started = time.monotonic()
    weights = train(
        images, digits, rate=args.rate, epochs=args.epochs, batch=args.batch, seed=args.seed
    )
    np.savez(args.model, weights=weights, rate=args.rate, epochs=args.epochs)
    run = {
        "rate": args.rate,
        "epochs": args.epochs,
        "loss": round(loss(weights, images, digits), 4),
        "seconds": round(time.monotonic() - started, 2),
        **seen,
    }
    Path(args.run).write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
