"""Asks this machine, Slurm, nodes and registries for the facts; decides nothing."""

from __future__ import annotations

import getpass
import os
import posixpath
import secrets
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge
from snakemake_executor_plugin_hpcctr.bridge import load
from snakemake_executor_plugin_hpcctr.bridge.place import needs_runner
from snakemake_executor_plugin_hpcctr.config.layers import Layers, default_layers
from snakemake_executor_plugin_hpcctr.doctor import ask
from snakemake_executor_plugin_hpcctr.doctor.facts import (
    Facts,
    Folder,
    Machine,
    Place,
    Rule,
    Slurm,
    Trouble,
)
from snakemake_executor_plugin_hpcctr.doctor.probe import parse_probe, probe_script
from snakemake_executor_plugin_hpcctr.errors import HpcctrError
from snakemake_executor_plugin_hpcctr.executor.image_work import image_folder
from snakemake_executor_plugin_hpcctr.executor.preview import Purpose, rule_maker
from snakemake_executor_plugin_hpcctr.images.provide import check_file
from snakemake_executor_plugin_hpcctr.images.reference import parse, parse_reference
from snakemake_executor_plugin_hpcctr.schedulers import make
from snakemake_executor_plugin_hpcctr.schedulers.slurm.commands import Commands
from snakemake_executor_plugin_hpcctr.schedulers.slurm.environ import clean
from snakemake_executor_plugin_hpcctr.task import Gpu, Resources
from snakemake_executor_plugin_hpcctr.trace.folder import STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from snakemake_executor_plugin_hpcctr.config.resolved import Resolved
    from snakemake_executor_plugin_hpcctr.executor.maker import TaskMaker
    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler
    from snakemake_executor_plugin_hpcctr.task import Image

#: How long a node may take to answer, queueing included, seconds.
ANSWER_S = 30.0
#: How long a file of a node may take to be seen here, seconds.
ARRIVE_S = 30.0
LOOK_S = 0.05
#: Places that are asked at once.
AT_ONCE = 4
MIB = 1024**2
CHOOSING = ("partition", "clusters", "constraint", "account", "qos", "reservation")


@dataclass(frozen=True)
class Planned:
    """What a workflow says of itself.

    Args:
        layers: All settings.
        workdir: Its working directory.
        snakefile: Its Snakefile; "" without a workflow.
        rules: Its rules that run as tasks.
        slurm: Whether Slurm answers; requests were checked only then.
    """

    layers: Layers
    workdir: Path
    snakefile: str = ""
    rules: tuple[Rule, ...] = ()
    slurm: bool = True


def gather(words: Sequence[str] | None, say: Callable[[str], None]) -> Facts:
    """Return all facts about a run of a workflow, or of any in the current folder.

    Args:
        words: Snakemake's command line for the workflow; None for none.
        say: Takes a sentence about what is being asked.
    """
    planned, configuration, loading = _plan(words, say)
    settings = planned.layers.settings
    head = parse_probe(proc.run(["/bin/sh", "-c", probe_script([])]).out)
    facts = Facts(
        head=head,
        workflow=planned.snakefile,
        configuration=configuration,
        loading=loading,
        rules=planned.rules,
        folders=tuple(folders_of(planned)),
        quotas=ask.ask_quotas(),
        registries=tuple(map(ask.ask_registry, sorted({r.registry for r in planned.rules} - {""}))),
    )
    if settings.scheduler == "slurm":
        say("Asking Slurm")
        commands = Commands(clean(os.environ))
        answers = planned.slurm and commands.answers()
        if not answers:
            return replace(facts, slurm=Slurm(answers=False))
        facts = replace(facts, slurm=ask.ask_slurm(commands, getpass.getuser()))
    return _with_places(facts, planned, make(settings.scheduler, warn=say), say)


def _plan(
    words: Sequence[str] | None, say: Callable[[str], None]
) -> tuple[Planned, Trouble | None, Trouble | None]:
    workdir = Path.cwd()
    try:
        layers = default_layers({}, None, workdir, os.environ)
    except HpcctrError as error:
        return Planned(Layers(), workdir), trouble_of(error), None
    if words is None:
        return Planned(layers, workdir), None, None
    try:
        return load.with_workflow(words, lambda loaded: _look(loaded, say)), None, None
    except HpcctrError as error:
        return Planned(layers, workdir), None, trouble_of(error)


def trouble_of(error: HpcctrError, where: str = "") -> Trouble:
    """Return an error as a fact."""
    return Trouble(error.what, error.next_step, error.where or where)


def _look(loaded: load.Loaded, say: Callable[[str], None]) -> Planned:
    """Return what a loaded workflow says of itself."""
    maker = rule_maker(loaded, Purpose(say))
    slurm = maker.scheduler.name != "slurm" or Commands(clean(os.environ)).answers()
    jobs = load.one_job_per_rule(loaded.workflow)
    rules = tuple(_rule(maker, job, check=slurm) for job in jobs)
    snakefile = os.path.relpath(str(loaded.workflow.main_snakefile))
    return Planned(maker.layers, Path.cwd(), snakefile, rules, slurm)


def _rule(maker: TaskMaker, job: Any, *, check: bool) -> Rule:
    name, resolved = bridge.name_of(job), None
    try:
        resolved = maker.resolve(job)
        if check:
            maker.scheduler.check(resolved.resources)
        image = _image(maker, job, resolved)
    except HpcctrError as error:
        troubles = (trouble_of(error, f"rule {name}"),)
        resources = resolved.resources if resolved else Resources()
        return Rule(name, place_label(resources), resources=resources, troubles=troubles)
    contained = image is not None and resolved.engines != ("host",)
    return Rule(
        name=name,
        place=place_label(resolved.resources),
        engines=resolved.engines,
        image=image.reference if image and contained else "",
        image_format=image.format if image and contained else None,
        registry=registry_of(image) if image and contained else "",
        resources=resolved.resources,
        binds=tuple(bind.source for bind in resolved.binds) if contained else (),
    )


def _image(maker: TaskMaker, job: Any, resolved: Resolved) -> Image | None:
    wanted = bridge.image_of(job, pulled=False) or resolved.image
    elsewhere = needs_runner(maker.workflow, job) or bridge.brings_containers(job)
    if wanted is None or elsewhere:
        return None
    image = parse_reference(resolved.images.get(wanted, wanted), maker.place.workdir)
    return image if image.format in {"registry", "container"} else check_file(image)


def registry_of(image: Image) -> str:
    """Return the registry of an image that must be fetched; "" where it is in none."""
    return parse(image.location, "/").host if image.format == "registry" else ""


def place_label(resources: Resources) -> str:
    """Name the nodes that a request may get, for people."""
    parts = [f"{name} {value}" for name in CHOOSING if (value := getattr(resources, name))]
    if not resources.partition:
        parts.insert(0, "default partition")
    return ", ".join([*parts, *(["with a GPU"] if resources.gpu else [])])


def places_of(rules: Iterable[Rule]) -> list[Place]:
    """Return the places of all rules, each once; the default one for no rules."""
    found: dict[str, Place] = {}
    for rule in rules:
        chosen = {name: getattr(rule.resources, name) for name in CHOOSING}
        gpu = rule.resources.gpu
        one = Gpu(count=1, model=gpu.model, vendor=gpu.vendor) if gpu else None
        found.setdefault(rule.place, Place(rule.place, Resources(**chosen, gpu=one)))
    return list(found.values()) or [Place(place_label(Resources()))]


def folders_of(planned: Planned) -> Iterator[Folder]:
    """Yield the folders on which a run depends, looked at."""
    settings, workdir = planned.layers.settings, planned.workdir
    state = workdir / STATE
    yield _folder("the working directory", workdir, "start Snakemake elsewhere")
    yield _folder("the image store", image_folder(settings, workdir), "`image_dir:` in hpcctr.yaml")
    yield _folder("the logs", settings.log_dir or state / "logs", "`logs: {dir: …}`")
    for role, variable, default in (
        ("Apptainer's cache", "APPTAINER_CACHEDIR", "~/.apptainer/cache"),
        ("Enroot's cache", "ENROOT_CACHE_PATH", "~/.cache/enroot"),
        ("the folder for temporary files", "TMPDIR", "/tmp"),  # noqa: S108 (looked at, not used)
    ):
        path = Path(os.environ.get(variable) or default).expanduser()
        yield _folder(role, path, f"export {variable}=…")


def _folder(role: str, path: Path, setting: str) -> Folder:
    """Look at a folder, or at the nearest one above it that exists."""
    there = path
    while not _exists(there) and there != there.parent:
        there = there.parent
    free = None
    with suppress(OSError):
        free = shutil.disk_usage(there).free // MIB
    return Folder(
        role=role,
        path=str(path),
        free_mb=free,
        writable=there.is_dir() and _can_write(there),
        in_home=path.is_relative_to(Path.home()),
        setting=setting,
    )


def _exists(path: Path) -> bool:
    """Whether a path exists, as far as one may look: Path.exists raises where one may not."""
    return os.path.exists(path)  # noqa: PTH110 (see above)


def _can_write(folder: Path) -> bool:
    """Try it: access(2) knows nothing of a file system that is full or mounted read-only."""
    probe = folder / f".hpcctr-doctor-{secrets.token_hex(4)}"
    try:
        probe.write_text("x")
        probe.unlink()
    except OSError:
        return False
    return True


def _with_places(
    facts: Facts, planned: Planned, scheduler: Scheduler, say: Callable[[str], None]
) -> Facts:
    """Ask a node of each place, and watch a file travel each way."""
    folder = planned.workdir / STATE / f"doctor-{secrets.token_hex(4)}"
    places = places_of(facts.rules)
    say(f"Asking a node of {'; '.join(place.label for place in places)}")
    try:
        ahead = _leave_file(folder / "head")
        if ahead is None:
            return facts  # the folder checks tell that nothing can be written here
        shared = [f.path for f in facts.folders[:3] if _exists(Path(f.path))]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = pool.map(
                lambda place: _ask(scheduler, place, facts.rules, shared, folder), places
            )
            return replace(facts, places=tuple(asked), file_clock_s=ahead)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _leave_file(path: Path) -> float | None:
    """Make a file; return by how much its file system's clock is ahead, s; None: it cannot be."""
    try:
        path.parent.mkdir(parents=True)
        path.touch()
        return path.stat().st_mtime - time.time()
    except OSError:
        return None


def _ask(
    scheduler: Scheduler, place: Place, rules: Iterable[Rule], shared: list[str], folder: Path
) -> Place:
    binds = {bind for rule in rules if rule.place == place.label for bind in rule.binds}
    head, left = str(folder / "head"), folder / f"node-{secrets.token_hex(4)}"
    script = probe_script([head, *shared, *sorted(binds)], leave=str(left))
    begin = time.time()
    try:
        answer = scheduler.ask_node(place.resources, script, ANSWER_S)
    except HpcctrError as error:
        return replace(place, trouble=trouble_of(error, place.label))
    if answer is None:
        return place
    end = time.time()
    node = parse_probe(answer)
    return replace(
        place,
        node=_without(node, head),
        asked=begin,
        answered=end,
        saw_head=head not in node.missing,
        seen_after_s=_wait_for(left),
    )


def _without(node: Machine, path: str) -> Machine:
    return replace(node, missing=node.missing - {path})


def _wait_for(path: Path) -> float | None:
    """Return after how many seconds a file is seen, listing its folder as NFS wants it."""
    begin = time.monotonic()
    while (waited := time.monotonic() - begin) < ARRIVE_S:
        with suppress(OSError):  # a file system that is away for a moment
            if posixpath.basename(path) in os.listdir(path.parent):  # noqa: PTH208 (names only)
                return waited
        time.sleep(LOOK_S)
    return None
