"""`process:` of hpcctr.yaml → directives of calls, in Nextflow's order.

Low to high: `process:` without selector, the process's own directives, `withLabel`, `withName`
of the process's name, of its alias, of its qualified name. Within one level the later block
wins. A selector is a regular expression that must match the whole name; `!` in front negates it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.directives import CACHE, TABLE, publish, read_directive
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from snakemake_executor_plugin_hpcctr.config.model import HpcctrConfig
    from snakemake_executor_plugin_hpcctr.dsl.calls import CallNode

COUNTS = frozenset(["cpus", "gpu", "accelerator", "array", "maxForks", "maxErrors", "maxRetries"])
SWITCHES = frozenset(["debug", "fair"])
SELECTORS = ("withLabel", "withName")
STANDARD = "standard"


@dataclass(frozen=True)
class Block:
    """Directives for the processes that a selector matches.

    Args:
        selector: Regular expression, maybe with `!` in front; "" for all processes.
        directives: Checked.
        where: For messages.
    """

    selector: str
    directives: Mapping[str, Any]
    where: str = ""

    def matches(self, name: str) -> bool:
        """Whether the selector matches a name or label."""
        pattern = self.selector.removeprefix("!")
        found = re.fullmatch(pattern, name) is not None
        return found != self.selector.startswith("!")

    def matches_label(self, labels: Iterable[str]) -> bool:
        """Whether one of the labels is matched; with `!`, whether none is."""
        if self.selector.startswith("!"):
            pattern = self.selector.removeprefix("!")
            return not any(re.fullmatch(pattern, label) for label in labels)
        return any(self.matches(label) for label in labels)


@dataclass
class Processes:
    """What configuration files say of processes.

    Args:
        general: For all, weaker than a process's own directives.
        labels: By label.
        names: By name.
    """

    general: list[Block] = field(default_factory=list)
    labels: list[Block] = field(default_factory=list)
    names: list[Block] = field(default_factory=list)

    def directives(self, call: CallNode) -> dict[str, Any]:
        """Return the directives of a call."""
        own = call.definition.directives
        labels = own.get("label", [])
        simple, qualified = call.definition.name, call.name
        layers = [block.directives for block in self.general]
        layers.append(own)
        layers += [block.directives for block in self.labels if block.matches_label(labels)]
        for name in dict.fromkeys((call.definition.origin, simple, qualified)):
            layers += [block.directives for block in self.names if block.matches(name)]
        return merge(layers)


def merge(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Put directives on top of each other; `ext` and `env` add up."""
    found: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            added = name in {"ext", "env"} and name in found
            found[name] = {**found[name], **value} if added else value
    return found


def read_processes(sections: Iterable[tuple[Mapping[str, Any], str]]) -> Processes:
    """Read `process:` sections, the weaker file or profile first.

    Args:
        sections: Content, and where it stands.

    Raises:
        ConfigError: An unknown directive, a wrong value, a selector that is no expression.
    """
    found = Processes()
    for section, where in sections:
        plain = {name: value for name, value in section.items() if name not in SELECTORS}
        found.general.append(Block("", read(plain, where), where))
        for kind, blocks in (("withLabel", found.labels), ("withName", found.names)):
            for selector, content in (section.get(kind) or {}).items():
                place = f"{where}.{kind}.{selector}"
                if not isinstance(content, dict):
                    raise ConfigError(
                        f"expected directives, got {content!r}",
                        where=place,
                        next_step="write them below the selector, indented",
                    )
                _check_selector(selector, place)
                blocks.append(Block(selector, read(content, place), place))
    return found


def _check_selector(selector: str, place: str) -> None:
    try:
        re.compile(selector.removeprefix("!"))
    except re.error as error:
        raise ConfigError(
            f"the selector {selector!r} is no regular expression: {error}", where=place
        ) from None


def read(section: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check directives whose values may be text, as files hold them.

    Raises:
        ConfigError: An unknown directive or a wrong value.
    """
    found = {}
    for name, value in section.items():
        try:
            given = _from_text(name, value)
            found[name] = read_directive(name, given, None, "process")
        except (ValueError, TypeError) as error:
            raise ConfigError(str(error), where=f"{where}.{name}") from None
        except DslError as error:
            raise ConfigError(
                error.what.removeprefix("`process`: "),
                where=f"{where}.{name}",
                next_step=error.next_step,
            ) from None
    return found


def _from_text(name: str, value: Any) -> Any:
    if name == "publishDir":
        places = value if isinstance(value, list) else [value]
        return [publish(**_publish(p)) if isinstance(p, dict) else p for p in places]
    if name == "resourceLimits" and isinstance(value, dict):
        return {k: int(v) if k == "cpus" else v for k, v in value.items()}
    if not isinstance(value, str) or name not in TABLE:
        return value
    if name in COUNTS:
        return int(value)
    switches = {"true": True, "false": False}
    if name in SWITCHES or (name in {"cache", "scratch"} and value not in CACHE):
        return switches.get(value.lower(), value)
    return value


def _publish(place: Mapping[str, Any]) -> dict[str, Any]:
    switches = {"true": True, "false": False}
    return {
        name: switches.get(value.lower(), value) if isinstance(value, str) else value
        for name, value in place.items()
    }


def chosen(config: HpcctrConfig, profiles: Sequence[str], where: str) -> list[tuple[Any, str]]:
    """Return a file's own sections and those of its chosen profiles, weakest first.

    Without a choice, the profile `standard` counts if there is one.
    """
    known = config.profiles or {}
    found: list[tuple[Any, str]] = [(config, where)]
    found += [
        (known[name], f"{where}: profiles.{name}")
        for name in profiles or (STANDARD,)
        if name in known
    ]
    return found


def of_files(
    configs: Iterable[tuple[HpcctrConfig, str]], profiles: Sequence[str], known: Collection[str]
) -> tuple[Callable[[CallNode], dict[str, Any]], dict[str, Any]]:
    """Return what files say of processes, as `Trace.configured`, and of parameters.

    Args:
        configs: The site's and the project's file, the weaker first, and their names.
        profiles: Chosen profiles, the weaker first.
        known: Profiles of all files together.

    Raises:
        ConfigError: Something in them cannot be used.
    """
    unknown = [name for name in profiles if name not in known]
    if unknown:
        listed = f"the profiles are {', '.join(sorted(known))}" if known else "there are none"
        raise ConfigError(
            f"there is no profile `{unknown[0]}`",
            next_step=f"{listed} (`profiles:` of hpcctr.yaml)",
        )
    sections: list[tuple[Mapping[str, Any], str]] = []
    params: dict[str, Any] = {}
    for config, name in configs:
        for part, where in chosen(config, profiles, name):
            sections.append((part.process or {}, f"{where}: process"))
            params |= part.params or {}
    return read_processes(sections).directives, params
