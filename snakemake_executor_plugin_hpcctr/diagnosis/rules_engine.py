"""Rows that rest on the engine's own words in the log.

The texts are those of Apptainer 1.4.5, Enroot 4.1.2, pyxis 0.24 and Slurm 22.05.
"""

from __future__ import annotations

from snakemake_executor_plugin_hpcctr.diagnosis import words
from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Cause
from snakemake_executor_plugin_hpcctr.diagnosis.match import (
    any_of,
    both,
    engine,
    holds,
    log,
    only_engine_spoke,
    setup,
)
from snakemake_executor_plugin_hpcctr.diagnosis.row import Row

#: Apptainer reports every failure of its own as 255; a command may end so, too.
APPTAINER = engine("apptainer", exits={255})
ENROOT = engine("enroot")
PYXIS = engine("pyxis")
#: pyxis starts containers by Enroot and repeats Enroot's words, indented.
ENROOT_BELOW = engine("enroot", "pyxis")
CONTAINED = engine("apptainer", "enroot", "pyxis")
#: Where Enroot's own error line begins.
E = r"^(\S+ error: pyxis: +)?\[ERROR\] "


ENGINE: tuple[Row, ...] = (
    Row(
        Cause.COMMAND_NOT_FOUND,
        any_of(
            both(
                APPTAINER,
                log(
                    r'^FATAL: +"(?P<what>[^"]+)": executable file not found in \$PATH',
                    r"^FATAL: +stat (?P<what>\S+): no such file or directory",
                ),
            ),
            both(
                ENROOT_BELOW,
                log(
                    r"error: execve\(\): (?P<what>.+): No such file or directory",
                    r"enroot-\w+: failed to execute: (?P<what>.+): No such file or directory",
                ),
            ),
        ),
        words.no_command,
        words.no_command_advice,
    ),
    Row(
        Cause.COMMAND_NOT_EXECUTABLE,
        any_of(
            both(
                APPTAINER,
                log(r"^FATAL: .*(image's architecture .* could not run|exec format error)"),
            ),
            both(
                ENROOT_BELOW,
                log(r"(error: execve\(\)|enroot-\w+: failed to execute): .+: Exec format error"),
            ),
        ),
        "The image {image} was built for another kind of processor than that of {node}",
        "choose an image for this architecture (`uname -m` on the node tells which), or nodes "
        "that fit (`resources: constraint=…`)",
    ),
    Row(
        Cause.COMMAND_NOT_EXECUTABLE,
        any_of(
            both(APPTAINER, log(r"^FATAL: +permission denied")),
            both(
                ENROOT_BELOW,
                log(
                    r"error: execve\(\): (?P<what>.+): Permission denied",
                    r"enroot-\w+: failed to execute: (?P<what>.+): Permission denied",
                ),
            ),
        ),
        "The image {image} holds a program that may not be executed{named}",
        "make it executable in the image (`chmod +x`)",
    ),
    Row(
        Cause.IMAGE_PULL,
        any_of(
            both(
                APPTAINER,
                log(
                    r"^FATAL: .*?(?P<what>(docker|oras|library|https?)://[^\s:]\S*?):? .*"
                    r"(no such host|manifest unknown|connection refused|HTTP response to HTTPS"
                    r"|unauthorized|denied|toomanyrequests|i/o timeout|unexpected status)",
                    r"^FATAL: .*(no such host|manifest unknown|HTTP response to HTTPS client)",
                ),
            ),
            both(
                ENROOT_BELOW,
                log(
                    r"pyxis: failed to import (\w+ )?image: (?P<what>\S+)",
                    r"pyxis: +curl: \(\d+\) ",
                    E + r"URL (?P<what>\S+) returned error code",
                    E + r"Could not process JSON input",
                ),
            ),
        ),
        "The image {image} could not be fetched from its registry by {node}",
        "correct the name and tag, log in to the registry, or fetch the image beforehand, where "
        "the network reaches (`apptainer pull`, `enroot import`), and name the file: `./NAME.sqsh`",
    ),
    Row(
        Cause.IMAGE_MISSING,
        any_of(
            both(
                APPTAINER,
                log(
                    r"could not open image (?P<what>.+?): failed to retrieve path",
                    r"(?P<what>\S+) is not readable by the current user, check permissions",
                    r"could not open image (?P<what>.+?): .*permission denied",
                ),
            ),
            both(PYXIS, log(r'container with name "(?P<what>[^"]+)" does not exist')),
            both(ENROOT_BELOW, log(E + r"No such file or directory: (?P<what>.+)")),
        ),
        "The image {what} does not exist on {node}, or you may not read it",
        "correct `container:`; the file must lie on a file system that every node sees, and be "
        "readable for you (`ls -l`)",
    ),
    Row(
        Cause.IMAGE_CORRUPT,
        any_of(
            both(
                APPTAINER,
                log(
                    r"image driver mount failure: .*",
                    r"kernel reported a bad superblock",
                    r"could not open image (?P<what>.+?): image format not recognized",
                    r"image format not recognized",
                ),
            ),
            both(
                ENROOT_BELOW,
                log(
                    E + r"Invalid (image format|argument): (?P<what>.+)",
                    E + r"Failed to mount: (?P<what>.+)",
                    r"File system corruption detected",
                    r"Read on filesystem failed because EOF",
                ),
            ),
        ),
        "The image {image} cannot be used by {engine}: it is damaged, not readable, or of "
        "another format",
        "look at it with `unsquashfs -s FILE` or `apptainer sif list FILE`, and fetch or build it "
        "anew if it is cut short; Enroot and pyxis start .sqsh images only. An image that is "
        "whole may only have been read too slowly: then try again",
    ),
    Row(
        Cause.BIND_MISSING,
        any_of(
            both(APPTAINER, log(r"mount source (?P<what>.+) doesn't exist")),
            both(
                ENROOT_BELOW,
                log(
                    r"enroot-mount: failed to mount: (?P<what>.+) at .+: No such file or directory"
                ),
            ),
            both(
                PYXIS,
                log(r"pyxis: --container-mounts: source path does not exist: (?P<what>.+)"),
            ),
        ),
        "The bind source {what} does not exist on {node}",
        "correct the path in `binds`, or mount that file system on the nodes of this partition",
    ),
    Row(
        Cause.WORKDIR_MISSING,
        any_of(
            both(APPTAINER, log(r"failed to set working directory: chdir (?P<what>.+): no such")),
            both(PYXIS, log(r"pyxis: couldn't chdir to (?P<what>.+): ")),
            both(ENROOT_BELOW, log(r"failed to change directory: (?P<what>[^:]+)")),
        ),
        "The working directory {what} does not exist inside the container",
        'bind it: `resources: binds="FOLDER"`; the workflow\'s own folder is bound already',
    ),
    Row(
        Cause.NO_GPU,
        both(ENROOT_BELOW, log(r"nvidia-container-cli", r"98-nvidia\.sh exited with return code")),
        "Enroot could not give the container a GPU on {node}: the node's NVIDIA container tools "
        "are missing, or failed",
        'use `resources: engine="apptainer"`, which does not need them, or ask the '
        "administrators to install nvidia-container-cli",
    ),
    Row(
        Cause.ENGINE_MISSING,
        both(PYXIS, log(r"unrecognized option '--container-")),
        "Slurm has no pyxis plugin on {node}",
        'choose another engine: `resources: engine="apptainer"` or `"enroot"`',
    ),
    Row(
        Cause.ENGINE_FAILED,
        both(
            engine("apptainer"),
            both(
                holds(lambda e: e.gpus > 0),
                log(r"version [`'](?P<what>GLIBC_[\d.]+)'? not found", last=True),
            ),
        ),
        "The GPU libraries of {node}, which Apptainer puts into the container (--nv), need a newer "
        "C library ({what}) than the image {image} has",
        'choose an image of a newer Linux distribution, or `resources: engine="enroot"`',
    ),
    Row(
        Cause.ENGINE_FAILED,
        both(CONTAINED, log(r"Transport endpoint is not connected")),
        "The image's file system vanished under the running command on {node}",
        "start it again; it happens when a signal reaches every process of the job (`scancel -s`, "
        "`--signal` without `B:`) or the mount helper is killed for memory; an image that is "
        "unpacked to a folder is safe from it",
    ),
    Row(
        Cause.ENGINE_FAILED,
        any_of(
            both(
                engine("apptainer", exits={1}),
                log(r'^Error for command "\w+": (?P<what>unknown.*)'),
            ),
            both(PYXIS, log(r"error: (?P<what>Invalid --container-.* argument.*)")),
            both(PYXIS, log(r"unrecognized option '(?P<what>[^']*)'")),
        ),
        "{engine} refused an option: {what}",
        "look at `extra_args` and the engine's own options in the configuration; this release "
        "may be too old for them",
    ),
    Row(
        Cause.ENGINE_FAILED,
        both(ENROOT_BELOW, log(r"Could not acquire rootfs lock")),
        "Enroot waited too long for a container that other tasks on {node} were starting",
        "start it again (`--retries 2`), with fewer tasks at once on one node",
    ),
    Row(
        Cause.ENGINE_FAILED,
        any_of(
            both(APPTAINER, log(r"^FATAL: +(?P<what>.+)")),
            both(
                PYXIS,
                log(
                    r"error: pyxis: (error: )?(?P<what>container exited too soon.*)",
                    r"srun: error: (?P<what>Unable to create step.*)",
                    E + r"(?P<what>.+)",
                    r"(?P<what>spank_pyxis\.so: task_init\(\) failed)",
                ),
            ),
            both(
                both(ENROOT, holds(only_engine_spoke)),
                log(E + r"(?P<what>.+)", r"^(?P<what>enroot-\w+: .+)"),
            ),
            setup("engine_failed"),
        ),
        "{engine} could not start the container on {node}: {what}",
        "run the task's script by hand on that node to see it again (`bash SCRIPT`), and start "
        "the workflow again with `--retries 2` if it comes and goes",
    ),
    Row(
        Cause.ENGINE_FAILED,
        holds(lambda e: bool(e.setup_failure)),
        "The task stopped before its command: {setup}",
        "run the task's script by hand on that node to see it again (`bash SCRIPT`)",
    ),
)
