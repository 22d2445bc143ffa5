"""The lab's configuration files and everything else of the lab that is pure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.errors import CommandError, ConfigError
from snakemake_executor_plugin_hpcctr.lab import LabSettings, conf, packages, plan
from snakemake_executor_plugin_hpcctr.lab.apptainer import (
    apt_options,
    parse_libraries,
    sid_source,
)
from snakemake_executor_plugin_hpcctr.lab.apt import parse_candidate, parse_mirror
from snakemake_executor_plugin_hpcctr.lab.capabilities import NAMES, names_of, parse_permitted
from snakemake_executor_plugin_hpcctr.lab.cluster import parse_nodes, refuse_change
from snakemake_executor_plugin_hpcctr.lab.conf import Machine, State
from snakemake_executor_plugin_hpcctr.lab.daemons import telling_lines
from snakemake_executor_plugin_hpcctr.lab.layout import Layout
from snakemake_executor_plugin_hpcctr.lab.machine import share_gpus
from snakemake_executor_plugin_hpcctr.lab.state import read_state, write_state

DIRECTORY = Path("/home/ada/project/.lab")
SETTINGS = LabSettings(directory=DIRECTORY)
MACHINE = Machine(
    hostname="box",
    user="ada",
    version=(22, 5),
    auth="munge",
    memory_limit="sampled",
    controller_port=20001,
    node_ports=(20003, 20004),
    dbd_port=20002,
    real_gpus=((), ()),
)
LAYOUT = Layout.of(DIRECTORY, 1000)


def slurm_conf(settings: LabSettings = SETTINGS, machine: Machine = MACHINE) -> list[str]:
    """Return the lines of slurm.conf."""
    return conf.render_slurm_conf(settings, machine, LAYOUT).splitlines()


def with_machine(**changes: object) -> Machine:
    """Return another machine."""
    return Machine.model_validate({**MACHINE.model_dump(), **changes})


def test_nodes_have_ports_of_their_own() -> None:
    """Each node is a line with its own port, on this host, with what it claims to have."""
    assert [
        f"NodeName=n{number} NodeHostname=box NodeAddr=127.0.0.1 Port={port} CPUs=8 "
        "RealMemory=16000 TmpDisk=100000 Feature=lab State=UNKNOWN Gres=gpu:fake:2"
        for number, port in ((1, 20003), (2, 20004))
    ] == [line for line in slurm_conf() if line.startswith("NodeName")]


def test_partitions_with_and_without_gpus() -> None:
    """`cpu` is the default partition; `gpu` is there only where a node has GPUs."""
    cpu = "PartitionName=cpu Nodes=n1,n2 Default=YES State=UP"
    assert [cpu, "PartitionName=gpu Nodes=n1,n2 State=UP"] == slurm_conf()[-2:]
    assert cpu == slurm_conf(LabSettings(gpus=0))[-1]
    assert "GresTypes=gpu" not in slurm_conf(LabSettings(gpus=0))


def test_real_gpus_replace_fake_ones() -> None:
    """Where the machine has GPUs, each belongs to one node, and none is made up."""
    machine = with_machine(real_gpus=(("/dev/nvidia0",), ()))
    lines = slurm_conf(machine=machine)
    assert [line.split()[-1] for line in lines if line.startswith("NodeName=n1")] == ["Gres=gpu:1"]
    assert lines[-1] == "PartitionName=gpu Nodes=n1 State=UP"
    assert (
        conf.render_gres_conf(SETTINGS, machine, LAYOUT)
        == "NodeName=n1 Name=gpu File=/dev/nvidia0\n"
    )


def test_fake_gpus_are_files() -> None:
    """A fake GPU is named by a file for Slurm to look at."""
    assert (
        conf.render_gres_conf(SETTINGS, MACHINE, LAYOUT).splitlines()[0]
        == "NodeName=n1 Name=gpu Type=fake File=/home/ada/project/.lab/gpu/gpu[0-1]"
    )


@given(devices=st.integers(0, 9), nodes=st.integers(1, 4), gpus=st.integers(0, 4))
def test_gpus_are_dealt_out_once(devices: int, nodes: int, gpus: int) -> None:
    """No GPU belongs to two nodes, and no node has more than asked for."""
    names = [f"/dev/nvidia{number}" for number in range(devices)]
    shares = share_gpus(names, LabSettings(nodes=nodes, gpus=gpus))
    dealt = [name for share in shares for name in share]
    assert nodes == len(shares)
    assert max(map(len, shares)) <= gpus
    assert len(dealt) == len(set(dealt)) == min(devices, sum(map(len, shares)))


def test_daemons_belong_to_the_user_who_starts_them() -> None:
    """Slurm's users are the user, whoever that is, and the controller is on loopback."""
    lines = slurm_conf()
    assert {"SlurmUser=ada", "SlurmdUser=ada", "SlurmctldHost=box(127.0.0.1)"} <= set(lines)


def test_auth_none_names_no_socket() -> None:
    """Without munge nothing refers to its socket."""
    lines = slurm_conf(machine=with_machine(auth="none"))
    assert {"AuthType=auth/none", "CredType=cred/none"} <= set(lines)
    assert not [line for line in lines if "munge" in line]


def test_accounting_is_off_unless_asked_for() -> None:
    """Slurmdbd is named with `accounting` only, and its connection finds munge."""
    assert "AccountingStorageType=accounting_storage/none" in slurm_conf()
    lines = slurm_conf(LabSettings(accounting=True))
    assert "AccountingStorageType=accounting_storage/slurmdbd" in lines
    assert f"AccountingStoragePass={LAYOUT.munge_socket}" in lines
    assert f"AuthInfo=socket={LAYOUT.munge_socket}" in conf.render_slurmdbd_conf(MACHINE, LAYOUT)
    assert f"socket={LAYOUT.database_socket}" in conf.render_database_conf(MACHINE, LAYOUT)


def test_memory_limits() -> None:
    """Each way to end a job over its memory has the keys that Slurm needs for it."""
    sampled = "JobAcctGatherParams=OverMemoryKill"
    assert sampled in slurm_conf()
    assert sampled not in slurm_conf(machine=with_machine(memory_limit="none"))
    cgroup = with_machine(memory_limit="cgroup")
    assert {"TaskPlugin=task/cgroup", "ProctrackType=proctrack/cgroup"} <= set(
        slurm_conf(machine=cgroup)
    )


@pytest.mark.parametrize(
    ("version", "limit", "text"),
    [
        ((20, 11), "sampled", ""),
        ((20, 11), "cgroup", "ConstrainRAMSpace=yes\n"),
        ((22, 5), "sampled", ""),
        ((22, 5), "cgroup", "CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\n"),
        ((24, 11), "sampled", "CgroupPlugin=disabled\n"),
        ((26, 5), "cgroup", "CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\n"),
    ],
)
def test_cgroup_conf_suits_the_release(version: tuple[int, int], limit: str, text: str) -> None:
    """cgroup.conf holds no key that the release does not know."""
    assert text == conf.render_cgroup_conf(with_machine(version=version, memory_limit=limit))


@given(
    st.lists(
        st.sampled_from(
            ["MaxArraySize=5", "maxarraysize = 7", "KillWait=1", "EnforcePartLimits=ALL"]
        ),
        unique_by=lambda line: line.split("=")[0].strip().lower(),
    )
)
def test_no_key_stands_twice(extra: list[str]) -> None:
    """An extra line replaces the lab's own, whatever its spelling: Slurm warns of doubles."""
    lines = slurm_conf(LabSettings(extra=tuple(extra)))
    keys = [line.partition("=")[0].strip().lower() for line in lines]
    once = [key for key in keys if key not in conf.REPEATABLE]
    assert len(once) == len(set(once))
    assert set(extra) <= set(lines)


def test_extra_partitions_come_last() -> None:
    """A partition of the settings' own follows the nodes that it names."""
    line = "PartitionName=short Nodes=n1 MaxTime=1"
    assert [line] == slurm_conf(LabSettings(extra=(line,)))[-1:]


@given(
    st.text("abcdefgh-_.", min_size=1, max_size=40).filter(lambda name: name.strip(".")),
    st.integers(1, 8),
    st.integers(0, 2**32 - 1),
)
def test_sockets_always_fit(name: str, depth: int, uid: int) -> None:
    """However deep the folder, the longest path of a socket has room (unix(7): 107 bytes)."""
    layout = Layout.of(Path("/", *[name] * depth), uid)
    longest = layout.spool / "n99" / "n99_4294967295.4294967295"
    assert max(len(bytes(path)) for path in (layout.munge_socket, longest)) <= 107


def test_runtime_stays_in_the_folder_if_it_can() -> None:
    """A short folder holds everything itself; two long ones never share a place."""
    assert LAYOUT.runtime == DIRECTORY / "run"
    one, two = (Layout.of(Path("/") / (letter * 100), 7).runtime for letter in "ab")
    assert one != two


def test_daemons_start_in_order() -> None:
    """What others need starts first."""
    state = State(settings=LabSettings(accounting=True), machine=MACHINE)
    assert [daemon.name for daemon in plan.plan_daemons(state, LAYOUT)] == [
        "munged",
        "mariadbd",
        "slurmdbd",
        "slurmctld",
        "slurmd-n1",
        "slurmd-n2",
    ]


def test_only_chosen_daemons_start() -> None:
    """Without munge and accounting a lab is slurmctld and its nodes."""
    state = State(settings=LabSettings(nodes=1), machine=with_machine(auth="none"))
    assert [d.name for d in plan.plan_daemons(state, LAYOUT)] == ["slurmctld", "slurmd-n1"]


def test_environment_of_daemons() -> None:
    """An allocation around the lab does not reach into it."""
    found = plan.environment(LAYOUT, {"PATH": "/bin", "SLURM_JOB_ID": "7", "SBATCH_ACCOUNT": "x"})
    assert {"PATH": "/bin", "SLURM_CONF": str(LAYOUT.slurm_conf)} == {
        name: value for name, value in found.items() if name != "MYSQL_UNIX_PORT"
    }


@pytest.mark.parametrize("name", ["my lab", "50%", "lab#1", 'a"b'])
def test_unwritable_folder_is_refused(name: str) -> None:
    """slurm.conf has no quotes, so some characters cannot be in the lab's path."""
    with pytest.raises(ConfigError, match=re.escape("slurm.conf cannot hold")):
        plan.checked(LabSettings(directory=Path("/tmp") / name))


def test_relative_folder_becomes_absolute() -> None:
    """Daemons have no current folder of the user to resolve a path against."""
    assert Path.cwd() / ".lab" == plan.checked(LabSettings()).directory


def test_state_survives_a_file(tmp_path: Path) -> None:
    """What is written is what is read."""
    layout = Layout.of(tmp_path, 0)
    assert read_state(layout) is None
    state = State(settings=SETTINGS, machine=MACHINE)
    write_state(layout, state)
    assert state == read_state(layout)


def test_unreadable_state_says_what_to_do(tmp_path: Path) -> None:
    """A state file of another release is an error with a next step, not a traceback."""
    layout = Layout.of(tmp_path, 0)
    layout.state_file.write_text('{"settings": {}}')
    with pytest.raises(ConfigError, match="cannot be read"):
        read_state(layout)


def test_changed_settings_are_named() -> None:
    """The refusal names what the running lab has otherwise."""
    with pytest.raises(ConfigError, match=r"with nodes=2, gpus=2\n"):
        refuse_change(SETTINGS, SETTINGS.model_copy(update={"nodes": 3, "gpus": 0}))
    refuse_change(SETTINGS, SETTINGS)


def test_nodes_are_read_once_each() -> None:
    """Sinfo lists a node once for each of its partitions."""
    assert parse_nodes("n1 idle\nn1 idle\nn2 down*\n") == {"n1": "idle", "n2": "down*"}
    assert parse_nodes("") == {}


def test_log_shows_what_went_wrong() -> None:
    """Errors come before chatter, and what always stands there is left out."""
    log = "start\nerror: Configured MailProg is invalid\nfatal: no port\nend\n"
    assert telling_lines(log) == ["fatal: no port"]
    assert telling_lines("start\nend\n") == ["start", "end"]


def test_missing_program_names_its_package() -> None:
    """The hint holds the command that installs what is missing."""
    with pytest.raises(CommandError, match="`no-such-program`") as caught:
        packages.require({"no-such-program": "its-package", "sh": "dash"})
    assert caught.value.next_step.endswith("--no-install-recommends its-package`")


def test_mirror_is_that_of_the_own_release() -> None:
    """Security archives and other projects are not the mirror."""
    targets = (
        "https://example.org/apt cloud-bookworm main\n"
        "http://security.example.org/debian bookworm-security main\n"
        "http://mirror.example.org/debian/ bookworm contrib\n"
        "http://mirror.example.org/debian/ bookworm main\n"
    )
    assert parse_mirror(targets, "bookworm") == "http://mirror.example.org/debian/"
    assert parse_mirror("", "bookworm") is None


def test_candidate_is_a_version_or_none() -> None:
    """Apt writes `(none)` where it has no candidate, and nothing for an unknown package."""
    assert parse_candidate("apptainer:\n  Installed: (none)\n  Candidate: 1.4.5-2\n") == "1.4.5-2"
    assert parse_candidate("apptainer:\n  Candidate: (none)\n") is None
    assert parse_candidate("") is None


def test_libraries_are_read_from_the_package() -> None:
    """All libraries of the package come with it, under the names that sid has today."""
    depends = (
        "apptainer\n  Depends: conmon\n  Depends: libc6\n  Depends: libsubid6\n"
        "  Recommends: libnothing1\n"
    )
    assert parse_libraries(depends) == ["libc6", "libgcc-s1", "libsubid6"]


def test_sid_stays_private(tmp_path: Path) -> None:
    """Sid is known to one call of apt only, through folders of its own."""
    assert (
        sid_source("http://mirror.example.org/debian", signed_by=False)
        == "deb http://mirror.example.org/debian sid main\n"
    )
    paths = [option.partition("=")[2] for option in apt_options(tmp_path)]
    assert all(path == "-" or path.startswith(str(tmp_path)) for path in paths)


def test_capabilities_of_a_limited_root() -> None:
    """A root that lacks one capability has all the other names."""
    held = parse_permitted("Name:\tx\nCapPrm:\t000001fffeffffff\nCapEff:\t0000000000000000\n")
    assert {"CAP_SYS_RESOURCE"} == set(NAMES) - set(names_of(held))
    assert parse_permitted("") == 0
