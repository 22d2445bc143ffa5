"""A real MPI program, compiled for a test, and what it needs in a container."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc

if TYPE_CHECKING:
    from pathlib import Path

#: Every process adds its number, and says what all of them got.
SOURCE = """
#include <mpi.h>
#include <stdio.h>
int main(int argc, char **argv) {
  int rank, size, sum, own;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  own = rank + 1;
  MPI_Allreduce(&own, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  printf("rank %d of %d, sum %d\\n", rank, size, sum);
  MPI_Finalize();
  return 0;
}
"""
#: The image has these; another C library than the loader's own would not work.
OF_THE_IMAGE = re.compile(r"/(ld-linux|lib(c|m|dl|pthread|rt|util|resolv)[-\d.]*\.so)")


@dataclass(frozen=True)
class MpiProgram:
    """A compiled program.

    Args:
        path: The program.
        libraries: Folder with the libraries that it needs besides the C library.
        launcher: MPI's own launcher.
    """

    path: Path
    libraries: Path
    launcher: str


def said_by(processes: int) -> list[str]:
    """Return what the processes of a program say together, sorted."""
    total = sum(range(processes + 1))
    return [f"rank {rank} of {processes}, sum {total}" for rank in range(processes)]


def compile_program(folder: Path, kind: str) -> MpiProgram:
    """Compile the program with `mpich` or `openmpi`; skip the test where that is not installed."""
    compiler, launcher = proc.find_program(f"mpicc.{kind}"), proc.find_program(f"mpiexec.{kind}")
    if compiler is None or launcher is None:
        pytest.skip(f"{kind} is not installed: `apt-get install {kind} lib{kind}-dev`")
    source, program, libraries = folder / f"{kind}.c", folder / kind, folder / f"{kind}-libraries"
    source.write_text(SOURCE, encoding="utf-8")
    done = proc.run([compiler, "-o", str(program), str(source)])
    if not done.ok:
        pytest.skip(f"mpicc.{kind} cannot compile: {done.err}")
    libraries.mkdir()
    for found in re.findall(r"=> (/\S+)", proc.run(["ldd", str(program)]).out):
        if not OF_THE_IMAGE.search(found):
            shutil.copy(found, libraries)
    return MpiProgram(program, libraries, launcher)
