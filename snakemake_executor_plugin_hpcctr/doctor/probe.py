"""What a machine is asked: one POSIX shell script, and how its answer is read.

The same script runs on the head and on nodes. Each line of the answer is `hpcctr NAME VALUE`;
other lines (a site's greeting) are ignored.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.doctor.facts import Machine
from snakemake_executor_plugin_hpcctr.script.quote import quote, words

if TYPE_CHECKING:
    from collections.abc import Iterable

MARK = "hpcctr"
KIB_PER_MIB = 1024

#: The static part of the script.
LOOK = "probe.sh"


def probe_script(paths: Iterable[str], *, leave: str = "") -> str:
    """Return the script.

    Args:
        paths: Paths about which the machine is to say whether they exist.
        leave: A file to make, whose arrival elsewhere is watched; "" for none.
    """
    ask = "".join(f"[ -e {quote(path)} ] || say missing {quote(path)}\n" for path in paths)
    made = f"{words(['date', '+%s.%N'])} >{quote(leave)} 2>/dev/null\n" if leave else ""
    look = files(__package__).joinpath(LOOK).read_text(encoding="utf-8")
    return f"{look}{ask}{made}"


def parse_probe(text: str) -> Machine:
    """Read the answer; what is missing in it is taken for missing there."""
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        mark, _, rest = line.partition(" ")
        name, _, value = rest.partition(" ")
        if mark == MARK:
            said.setdefault(name, []).append(value)

    def one(name: str) -> str:
        return said.get(name, [""])[0]

    free = one("tmp_free_kb")
    return Machine(
        name=one("name"),
        versions={name: one(name) for name in ("apptainer", "enroot") if name in said},
        mksquashfs="mksquashfs" in said,
        bash=one("bash"),
        flock="flock" in said,
        user_namespaces="user_namespaces" in said,
        setuid="setuid" in said,
        fuse="fuse" in said,
        squashfuse="squashfuse" in said,
        pyxis=one("pyxis") or "absent",
        gpu_devices=len(said.get("gpu_device", ())),
        gpu_visible=one("gpu_visible"),
        nvidia_smi="nvidia_smi" in said,
        nvidia_container_cli="nvidia_container_cli" in said,
        clock=float(one("clock") or 0),
        tmp_free_mb=int(free) // KIB_PER_MIB if free.isdecimal() else None,
        missing=frozenset(said.get("missing", ())),
        steering=tuple(sorted(said.get("steering", ()))),
        proxies=tuple(sorted(said.get("proxy", ()))),
    )
