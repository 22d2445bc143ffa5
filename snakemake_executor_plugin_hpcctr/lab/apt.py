"""What the machine's own package sources say: distribution, mirror, candidates."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import ConfigError

#: Asks apt-get(8) for one line per package index.
INDEX_FORMAT = "$(REPO_URI) $(RELEASE) $(COMPONENT)"


@dataclass(frozen=True)
class Distribution:
    """What os-release(5) says.

    Args:
        name: `debian`, `ubuntu` …
        codename: `bookworm` …; "" where there is none (Debian's sid).
    """

    name: str
    codename: str


def this_distribution() -> Distribution:
    """Read this machine's os-release."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return Distribution("unknown", "")
    return Distribution(found.get("ID", "unknown"), found.get("VERSION_CODENAME", ""))


def machine_mirror() -> str:
    """Return the address of the mirror from which this machine gets its own release.

    Raises:
        ConfigError: apt knows none.
        CommandError: apt-get could not be asked.
    """
    done = proc.run(["apt-get", "indextargets", "--format", INDEX_FORMAT, "Created-By: Packages"])
    if not done.ok:
        raise done.error("the package sources could not be read")
    mirror = parse_mirror(done.out, this_distribution().codename)
    if mirror is None:
        raise ConfigError(
            "the package sources name no mirror of this machine's release",
            where="/etc/apt",
            next_step="add one as in sources.list(5), then run `apt-get update`",
        )
    return mirror


def parse_mirror(targets: str, codename: str) -> str | None:
    """Find the mirror in lines of `INDEX_FORMAT`.

    The release may be written by its codename or by its role; archives for security and updates
    have other names, and those of other projects mostly have, too.
    """
    wanted = {codename, "oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"}
    for line in targets.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in wanted and words[2] == "main":  # noqa: PLR2004 (the three of INDEX_FORMAT)
            return words[0]
    return None


def has_candidate(package: str) -> bool:
    """Tell whether the machine's own package sources can install a package."""
    return parse_candidate(proc.run(["apt-cache", "policy", package]).out) is not None


def parse_candidate(policy: str) -> str | None:
    """Read the version that `apt-cache policy PACKAGE` would install; None for none."""
    found = re.search(r"^ +Candidate: (\S+)$", policy, re.MULTILINE)
    return None if found is None or found[1] == "(none)" else found[1]
