"""Checks of folders, the shared file system, the network and the user's own settings. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.doctor.finding import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snakemake_executor_plugin_hpcctr.doctor.facts import Facts, Folder
    from snakemake_executor_plugin_hpcctr.doctor.finding import Finding

#: Below this an image of ordinary size does not fit, MiB.
FULL_MB = 1024
#: Below this an image with CUDA, unpacked while it is converted, may not fit, MiB.
TIGHT_MB = 20 * 1024
#: A node's /tmp holds scratch folders and what Apptainer unpacks, MiB.
TMP_MB = 1024
#: Snakemake waits this long for outputs by default (--latency-wait), seconds.
LATENCY_S = 5.0
QUOTA_SHARE = 0.9
PROXY_NAMES = ("http_proxy", "https_proxy")


def check_folders(facts: Facts) -> Iterator[Finding]:
    """Tell whether the run's folders can be written and have room."""
    for folder in facts.folders:
        yield _folder(folder)


def _folder(folder: Folder) -> Finding:
    name = f"{folder.role} ({folder.path})"
    if not folder.writable:
        return error(
            "folders", f"{name} cannot be written", f"make it, or move it: {folder.setting}"
        )
    if folder.free_mb is None:
        return ok("folders", f"{name} can be written")
    free = f"{folder.free_mb / 1024:.1f} GiB free"
    if folder.free_mb < FULL_MB:
        return error(
            "folders", f"{name} is full: {free}", f"make room, or move it: {folder.setting}"
        )
    if folder.free_mb < TIGHT_MB:
        return warning(
            "folders",
            f"{name} has {free}; a large image needs more while it is converted",
            f"make room, or move it: {folder.setting}",
        )
    return ok("folders", f"{name} has {free}")


def check_home_caches(facts: Facts) -> Iterator[Finding]:
    """Tell which caches fill the home folder, where there is a quota."""
    full = any(q.limit_mb or q.file_limit for q in facts.quotas)
    for folder in facts.folders:
        if folder.in_home and full:
            yield warning(
                "caches",
                f"{folder.role} ({folder.path}) is in the home folder, which has a quota",
                f"move it: {folder.setting}",
            )


def check_quotas(facts: Facts) -> Iterator[Finding]:
    """Tell which quotas are nearly used up."""
    for quota in facts.quotas:
        for used, limit, unit in (
            (quota.used_mb, quota.limit_mb, "MiB"),
            (quota.files, quota.file_limit, "files"),
        ):
            if limit and used >= QUOTA_SHARE * limit:
                make = error if used >= limit else warning
                yield make(
                    "quota",
                    f"{used} of {limit} {unit} are used on {quota.filesystem}",
                    "remove what is not needed: caches of Apptainer, Enroot and conda are large",
                )


def check_shared(facts: Facts) -> Iterator[Finding]:
    """Tell whether nodes and head see each other's files, and how soon."""
    for place in facts.places:
        node = place.node
        if node is None:
            continue
        lost = [f for f in facts.folders if f.path in node.missing]
        for folder in lost:
            yield error(
                "shared",
                f"{node.name} ({place.label}) does not see {folder.role} ({folder.path})",
                "it must lie on a file system that head and nodes share: start Snakemake "
                f"elsewhere, or move it: {folder.setting}",
            )
        if lost:
            continue
        if not place.saw_head or place.seen_after_s is None:
            yield error(
                "shared",
                f"files made here and on {node.name} ({place.label}) are not seen by the other",
                "run in a folder on the shared file system, not in /tmp or on a local disk",
            )
        elif place.seen_after_s > LATENCY_S:
            yield warning(
                "shared",
                f"a file of {node.name} was seen here after {place.seen_after_s:.0f} s",
                f"start Snakemake with `--latency-wait {int(place.seen_after_s * 3)}`",
            )
        else:
            yield ok(
                "shared", f"a file of {node.name} is seen here within {place.seen_after_s:.1f} s"
            )


def check_tmp(facts: Facts) -> Iterator[Finding]:
    """Tell whether the nodes' /tmp can hold scratch folders."""
    for place in facts.places:
        node = place.node
        if node is None:
            continue
        at = f"/tmp of {node.name} ({place.label})"  # noqa: S108 (named, not used)
        if node.tmp_free_mb is None:
            yield error(
                "tmp",
                f"{at} cannot be written, and each task has its scratch folder there",
                "ask for a writable /tmp; `tmpdir` moves only what the command writes",
            )
        elif node.tmp_free_mb < TMP_MB:
            yield warning(
                "tmp",
                f"{at} has {node.tmp_free_mb} MiB free",
                "set `tmpdir` in hpcctr.yaml to a larger folder of the nodes",
            )


def check_head(facts: Facts) -> Iterator[Finding]:
    """Tell what this machine has to make images of what registries have."""
    if facts.head.mksquashfs:
        yield ok("head", f"this machine ({facts.head.name}) has mksquashfs, which makes images")
    elif facts.registries:
        yield error(
            "head",
            f"this machine ({facts.head.name}) has no mksquashfs, which makes images",
            "install squashfs-tools here; or let a job pull, with `image_build_on: slurm` in "
            "hpcctr.yaml; or pull the image elsewhere and name the file",
        )


def check_registries(facts: Facts) -> Iterator[Finding]:
    """Tell whether registries from which images must be pulled answer."""
    for registry in facts.registries:
        if registry.trouble:
            proxy = " and the proxy" if facts.head.proxies else ", and whether a proxy is needed"
            yield error(
                "registry",
                f"the registry {registry.host} does not answer here: {registry.trouble}",
                f"check its spelling, this machine's network{proxy}; or pull the image elsewhere "
                "and name the file",
            )
        else:
            yield ok("registry", f"the registry {registry.host} answers")


def check_proxies(facts: Facts) -> Iterator[Finding]:
    """Tell which proxy variables only some programs obey."""
    set_here = set(facts.head.proxies)
    for name in PROXY_NAMES:
        if name.upper() in set_here and name not in set_here:
            yield warning(
                "proxies",
                f"{name.upper()} is set and {name} is not: curl, and with it Enroot, reads "
                + ("only the latter" if name == "http_proxy" else "either, others only the latter"),
                f"export {name}=${name.upper()}",
            )


def check_steering(facts: Facts) -> Iterator[Finding]:
    """Tell which variables of the user's shell steer engines elsewhere, but no task."""
    if facts.head.steering:
        yield ok(
            "environment",
            f"these variables steer your engines by hand, and no task: "
            f"{', '.join(facts.head.steering)}",
        )


STORAGE_CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    check_folders,
    check_home_caches,
    check_quotas,
    check_shared,
    check_tmp,
    check_head,
    check_registries,
    check_proxies,
    check_steering,
)
