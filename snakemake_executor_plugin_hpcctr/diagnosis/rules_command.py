"""Rows that rest on the command's exit codes 126 and 127, and on its last words in the log.

The texts are those of bash, dash, busybox, Python, R, Java and the common GPU libraries.
"""

from __future__ import annotations

from snakemake_executor_plugin_hpcctr.diagnosis import words
from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Cause
from snakemake_executor_plugin_hpcctr.diagnosis.match import any_of, both, exit_code, holds, log
from snakemake_executor_plugin_hpcctr.diagnosis.row import Row

_RETURNED_126 = holds(lambda e: exit_code(e) == 126)  # noqa: PLR2004 (POSIX: found, not executable)
_RETURNED_127 = holds(lambda e: exit_code(e) == 127)  # noqa: PLR2004 (POSIX: not found)

#: Not where a library only warns and goes on without a GPU.
_NO_GPU = log(
    r"^(?!.*Warning).*(Found no NVIDIA driver on your system|No CUDA GPUs are available)",
    r"^(?!.*Warning).*(no CUDA-capable device is detected|CUDA driver version is insufficient)",
    r"libcuda\.so[.\d]*: cannot open shared object file",
    r"NVIDIA-SMI has failed",
    last=True,
)

COMMAND: tuple[Row, ...] = (
    Row(
        Cause.NODE_FAILURE,
        log(r"Transport endpoint is not connected", r"Stale file handle", last=True),
        "A file system of {node} broke down under the command",
        "start it again (`--retries 2`); if it stays on that node, keep the node out: "
        '`resources: slurm_extra="--exclude=NODE"`',
    ),
    Row(
        Cause.NO_GPU,
        both(holds(lambda e: e.gpus == 0), _NO_GPU),
        "The command looked for a GPU, and the task asked for none",
        "ask for one: `resources: gpu=1`",
    ),
    Row(
        Cause.NO_GPU,
        _NO_GPU,
        "The command saw no usable GPU in its container, although the task asked for {gpus}",
        "run `nvidia-smi` on {node}: its driver may be missing, broken, or older than the CUDA of "
        "the image; choose other nodes, or an image with an older CUDA",
    ),
    Row(
        Cause.COMMAND_NOT_EXECUTABLE,
        both(
            _RETURNED_127,
            log(
                r"error while loading shared libraries: (?P<what>[^:]+)",
                r"(?P<what>GLIBC(XX)?_[\d.]+)' not found",
                last=True,
            ),
        ),
        "A program was found but cannot run, because a library is missing {place}: {what}",
        "use the program of the image itself, or an image in which it was installed with its "
        "libraries; a program built on the node seldom runs in a container",
    ),
    Row(
        Cause.COMMAND_NOT_FOUND,
        any_of(
            log(r"(?P<what>\S+): cannot execute: required file not found", last=True),
            log(r"(?P<what>\S+): (\S+): bad interpreter: No such file", last=True),
        ),
        "The first line of the script {what} (`#!…`) names a program that is not {place}",
        "correct that line, e.g. `#!/usr/bin/env python3`; if it looks right, the file has Windows "
        "line ends: `sed -i 's/\\r$//' {what}`",
    ),
    Row(
        Cause.COMMAND_NOT_FOUND,
        both(
            _RETURNED_127,
            any_of(
                log(
                    r"(?P<what>[^\s:]+): command not found",
                    r"(^|: )(?P<what>[^\s:]+): not found$",
                    r"env: [\u2018'`]?(?P<what>[^\u2019':]+)[\u2019']?: No such file or directory",
                    r": (?P<what>/[^\s:]*): No such file or directory",
                    last=True,
                ),
                holds(lambda e: e.has_marker),
            ),
        ),
        words.no_command,
        words.no_command_advice,
    ),
    Row(
        Cause.NO_SHARED_FOLDER,
        both(_RETURNED_127, holds(lambda e: not e.has_marker)),
        "The task never started: {node} did not find its script",
        "run the workflow on a file system that this machine and all nodes share",
    ),
    Row(
        Cause.COMMAND_NOT_EXECUTABLE,
        both(
            _RETURNED_126,
            log(r"(?P<what>[^\s:]+): (cannot execute binary file: )?Exec format error", last=True),
        ),
        "The program {what} was built for another kind of processor, or is no program at all",
        "build it for the processors of {node} (`uname -m`), or look at it with `file {what}`",
    ),
    Row(
        Cause.COMMAND_NOT_EXECUTABLE,
        both(
            _RETURNED_126,
            any_of(
                log(r"(?P<what>[^\s:]+): (Permission denied|Is a directory)", last=True),
                holds(lambda _: True),
            ),
        ),
        "A program was found but may not be executed{named}",
        "make it executable: `chmod +x FILE`; a file system mounted `noexec` forbids it, too",
    ),
    Row(
        Cause.EXIT_CODE,
        log(
            r"(CUDA|HIP) out of memory",
            r"CUDA_ERROR_OUT_OF_MEMORY",
            r"RESOURCE_EXHAUSTED: .*(OOM|[Oo]ut of memory)",
            last=True,
        ),
        "The GPU's own memory was used up; that is not the memory of the node (mem_mb)",
        "use a smaller batch or model, or a GPU with more memory (`resources: gpu_model=…`); "
        "raising mem_mb does not help",
    ),
    Row(
        Cause.OUT_OF_MEMORY,
        log(
            r"^(\w+\.)*(?P<what>_?\w*(?<!OutOf)MemoryError)\b",
            r"(?P<what>std::bad_alloc)",
            r"(?P<what>Cannot allocate memory|cannot allocate vector of size.*)",
            r"(?P<what>cannot allocate \d+ bytes)",
            last=True,
        ),
        words.memory_error,
        lambda e, _: words.more_memory(e),
    ),
    Row(
        Cause.EXIT_CODE,
        log(r"(?P<what>java\.lang\.OutOfMemoryError.*)", last=True),
        "Java used up the memory that it allows itself ({what})",
        "raise Java's own limit, e.g. `-Xmx{{resources.mem_mb}}M` in the command, together with "
        "mem_mb",
    ),
    Row(
        Cause.EXIT_CODE,
        log(
            r"^ModuleNotFoundError: No module named '(?P<what>[^']+)'",
            r"python[\d.]*: No module named (?P<what>\S+)",
            last=True,
        ),
        "Python {place} has no module `{what}`",
        "choose an image that has it, or add it to the image; packages in your home folder are "
        "not used inside a container unless `env:` sets PYTHONPATH",
    ),
    Row(
        Cause.EXIT_CODE,
        log(r"there is no package called [\u2018'`](?P<what>[^\u2019']+)", last=True),
        "R {place} has no package `{what}`",
        "choose an image that has it, or add it to the image",
    ),
    Row(
        Cause.EXIT_CODE,
        log(r"(?P<what>GLIBC(XX)?_[\d.]+)' not found", last=True),
        "A program or library needs a newer C library ({what}) than that {place}",
        "choose an image of a newer Linux distribution, or use only programs of the image itself",
    ),
    Row(
        Cause.EXIT_CODE,
        log(r"Torch not compiled with CUDA enabled", last=True),
        "PyTorch {place} was built without GPU support",
        "choose an image with the CUDA build of PyTorch",
    ),
    Row(
        Cause.EXIT_CODE,
        log(r"can't open file '(?P<what>[^']+)': \[Errno 2\]", last=True),
        "The script {what} does not exist where the command runs",
        "write its path from the working directory; a folder elsewhere must be bound "
        "(`resources: binds=…`) to be seen in a container",
    ),
)
