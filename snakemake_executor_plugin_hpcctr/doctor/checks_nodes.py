"""Checks of the nodes: engines and what these need, GPUs, binds, clocks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.doctor.finding import (
    error,
    of_trouble,
    ok,
    warning,
)
from snakemake_executor_plugin_hpcctr.engines import ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snakemake_executor_plugin_hpcctr.doctor.facts import Facts, Machine, Place, Rule
    from snakemake_executor_plugin_hpcctr.doctor.finding import Finding
    from snakemake_executor_plugin_hpcctr.task import EngineName

#: The scripts need arrays and `wait` as of this bash.
OLDEST_BASH = (4, 2)
#: Clocks that differ by more, in seconds, make logs and file times misleading.
CLOCK_S = 5.0


def _asked(facts: Facts) -> Iterator[tuple[Place, Machine]]:
    return ((place, place.node) for place in facts.places if place.node is not None)


def _rules_at(facts: Facts, place: Place) -> list[Rule]:
    return [rule for rule in facts.rules if rule.place == place.label]


def check_answers(facts: Facts) -> Iterator[Finding]:
    """Tell which nodes answered, and why others did not."""
    for place in facts.places:
        if place.trouble:
            yield of_trouble("nodes", place.trouble)
        elif place.node is None:
            yield warning(
                "nodes",
                f"no node of {place.label} was free to answer, so nothing is known of its nodes",
                "try again when one is idle: `sinfo` shows that",
            )
        else:
            engines = [name for name in ENGINES if name != "host" and place.node.has(name)]
            has = ", ".join(_with_version(place.node, name) for name in engines)
            yield ok("nodes", f"{place.node.name} ({place.label}) has {has or 'no engine'}")


def _with_version(machine: Machine, engine: EngineName) -> str:
    version = machine.versions.get(engine, "")
    words = version.split()
    return f"{engine} {words[-1]}" if words else engine


def usable(rule: Rule, node: Machine) -> list[EngineName]:
    """Return the engines of a rule that a node has and that can start the rule's image.

    For engines that start no SIF the image store takes its squashfs out.
    """
    return [
        name
        for name in rule.engines
        if node.has(name)
        and (rule.image_format in {None, "sif"} or rule.image_format in ENGINES[name].FORMATS)
    ]


def check_engines(facts: Facts) -> Iterator[Finding]:
    """Tell whether each rule with an image finds an engine for it."""
    for place, node in _asked(facts):
        for rule in _rules_at(facts, place):
            if not rule.image or usable(rule, node):
                continue
            there = [name for name in rule.engines if node.has(name)]
            if there:
                what = f"{' and '.join(there)} cannot start {rule.image}"
                step = (
                    "a .sqsh starts in every engine, a folder in Apptainer only, an enroot:// "
                    "container in Enroot and pyxis only"
                )
            else:
                what = f"{node.name} ({place.label}) has none of {', '.join(rule.engines)}"
                step = (
                    "install one, load the module that provides it before Snakemake is started, "
                    "or name an engine that is there"
                )
            yield error("engines", f"rule {rule.name}: {what}", step)


def check_pyxis(facts: Facts) -> Iterator[Finding]:
    """Tell whether pyxis is loaded on nodes where srun knows its options."""
    for place, node in _asked(facts):
        if node.pyxis == "silent":
            yield error(
                "pyxis",
                f"srun knows pyxis's options, but {node.name} ({place.label}) ignores them: "
                "commands would run on the bare host",
                "ask the administrators to install the plugin on that node and restart its slurmd; "
                "until then set `engine: [apptainer, enroot]`",
            )


def check_mounting(facts: Facts) -> Iterator[Finding]:
    """Tell whether the engines may do what they need: user namespaces, setuid, FUSE."""
    for place, node in _asked(facts):
        at = f"{node.name} ({place.label})"
        if "apptainer" in node.versions and not (node.user_namespaces or node.setuid):
            yield error(
                "mounting",
                f"on {at} Apptainer has neither user namespaces nor its setuid starter",
                "ask for `kernel.unprivileged_userns_clone=1` and `user.max_user_namespaces` above "
                "0 (sysctl), or for the package apptainer-suid",
            )
        elif "apptainer" in node.versions and not (node.setuid or (node.fuse and node.squashfuse)):
            yield warning(
                "mounting",
                f"on {at} Apptainer cannot mount images by FUSE: it unpacks the whole image at "
                "each start",
                "ask for squashfuse and for /dev/fuse with mode 666, or run from a directory",
            )
        if "enroot" in node.versions and not node.user_namespaces:
            yield error(
                "mounting",
                f"on {at} Enroot has no user namespaces",
                "ask for `user.max_user_namespaces` above 0 (sysctl)",
            )


def check_shell(facts: Facts) -> Iterator[Finding]:
    """Tell whether the nodes have what the job scripts need."""
    for place, node in _asked(facts):
        at = f"{node.name} ({place.label})"
        if not node.bash or tuple(map(int, node.bash.split("."))) < OLDEST_BASH:
            found = f"bash {node.bash}" if node.bash else "no bash"
            yield error(
                "shell",
                f"{at} has {found}; the job scripts need 4.2",
                "ask for a newer bash, or choose other nodes with `constraint`",
            )
        if not node.flock and any("enroot" in rule.engines for rule in _rules_at(facts, place)):
            yield warning(
                "shell",
                f"{at} has no flock, which `enroot: {{create: true}}` needs",
                "ask for util-linux, or leave `create` out",
            )


def check_gpus(facts: Facts) -> Iterator[Finding]:
    """Tell whether a GPU that is asked for arrives, and whether the engines can pass it on."""
    for place, node in _asked(facts):
        rules = [rule for rule in _rules_at(facts, place) if rule.resources.gpu]
        if not rules:
            continue
        names, at = ", ".join(rule.name for rule in rules), f"{node.name} ({place.label})"
        if not node.gpu_visible:
            yield error(
                "gpus",
                f"a job with a GPU on {at} is given none (for {names})",
                "the cluster's gres.conf must name the device files; ask the administrators",
            )
        elif not node.gpu_devices:
            yield error(
                "gpus",
                f"Slurm gives a GPU on {at}, but there is no device file of one (for {names})",
                "the driver is not loaded there: `ls /dev/nvidia* /dev/dri` in a job shows that",
            )
        else:
            yield from _gpu_tools(rules, node, at)


def _gpu_tools(rules: list[Rule], node: Machine, at: str) -> Iterator[Finding]:
    nvidia = [r for r in rules if r.resources.gpu and r.resources.gpu.vendor == "nvidia"]
    if not nvidia:
        yield ok("gpus", f"{at} has {node.gpu_devices} GPU(s)")
    elif not node.nvidia_smi:
        yield error(
            "gpus",
            f"nvidia-smi lists no GPU on {at}",
            "the driver is broken or of another version than its libraries: reboot or ask the "
            "administrators; with AMD GPUs set `gpu_vendor: amd`",
        )
    else:
        yield ok("gpus", f"nvidia-smi lists GPUs on {at}")
    by_hook = [r.name for r in nvidia if usable(r, node)[:1] in (["enroot"], ["pyxis"])]
    if by_hook and not node.nvidia_container_cli:
        yield error(
            "gpus",
            f"{at} has no nvidia-container-cli, without which Enroot and pyxis pass no GPU on "
            f"(for {', '.join(by_hook)})",
            "ask for the package libnvidia-container-tools, or set `engine: apptainer`",
        )


def check_binds(facts: Facts) -> Iterator[Finding]:
    """Tell whether the sources of all binds exist on the nodes."""
    looked = False
    for place, node in _asked(facts):
        for rule in _rules_at(facts, place):
            looked = looked or bool(rule.binds)
            for path in rule.binds:
                if path in node.missing:
                    yield error(
                        "binds",
                        f"rule {rule.name} binds {path}, which does not exist on {node.name} "
                        f"({place.label})",
                        "correct the path, or make the folder there; `hpcctr explain "
                        f"{rule.name}` tells where the bind is set",
                    )
    missing = any(set(r.binds) & n.missing for p, n in _asked(facts) for r in _rules_at(facts, p))
    if looked and not missing:
        yield ok("binds", "the sources of all binds exist on the nodes")


def check_clocks(facts: Facts) -> Iterator[Finding]:
    """Tell whether the clocks of head, nodes and file system agree."""
    late = False
    for place, node in _asked(facts):
        ahead = max(node.clock - place.answered, place.asked - node.clock, 0.0)
        if ahead > CLOCK_S:
            late = True
            yield warning(
                "clocks",
                f"the clock of {node.name} differs from this machine's by {ahead:.0f} s or more",
                "ask for NTP on both: Snakemake compares file times that both have set",
            )
    if abs(facts.file_clock_s) > CLOCK_S:
        late = True
        yield warning(
            "clocks",
            f"the shared file system's clock differs from this machine's by "
            f"{abs(facts.file_clock_s):.0f} s",
            "ask for NTP on the file server",
        )
    if facts.places and not late:
        yield ok("clocks", "the clocks agree")


NODE_CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    check_answers,
    check_engines,
    check_pyxis,
    check_mounting,
    check_shell,
    check_gpus,
    check_binds,
    check_clocks,
)
