"""The doctor's checks: each can fail, and says what to do."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.config.layers import Layers
from snakemake_executor_plugin_hpcctr.doctor import ask
from snakemake_executor_plugin_hpcctr.doctor.checks import CHECKS, diagnose, worst
from snakemake_executor_plugin_hpcctr.doctor.facts import (
    Facts,
    Folder,
    Machine,
    Place,
    Quota,
    Registry,
    Rule,
    Slurm,
    Trouble,
)
from snakemake_executor_plugin_hpcctr.doctor.finding import Level
from snakemake_executor_plugin_hpcctr.doctor.gather import (
    Planned,
    folders_of,
    place_label,
    places_of,
    registry_of,
)
from snakemake_executor_plugin_hpcctr.doctor.probe import parse_probe, probe_script
from snakemake_executor_plugin_hpcctr.images.reference import parse_reference
from snakemake_executor_plugin_hpcctr.task import Gpu, Resources

NODE = Machine(
    name="n1",
    versions={"apptainer": "apptainer version 1.4.5", "enroot": "4.1.2"},
    mksquashfs=True,
    bash="5.2",
    flock=True,
    user_namespaces=True,
    fuse=True,
    squashfuse=True,
    pyxis="loaded",
    gpu_devices=1,
    gpu_visible="0",
    nvidia_smi=True,
    nvidia_container_cli=True,
    clock=1000.0,
    tmp_free_mb=50_000,
)
PLACE = Place(
    "partition gpu", node=NODE, asked=999.0, answered=1001.0, saw_head=True, seen_after_s=0.1
)
RULE = Rule(
    name="train",
    place="partition gpu",
    engines=("enroot", "apptainer"),
    image="science.sqsh",
    image_format="sqsh",
    resources=Resources(
        runtime_min=5, gpu=Gpu(count=1), account="lab", qos="normal", partition="gpu"
    ),
    binds=("/data",),
)
WELL = Facts(
    head=replace(NODE, name="login"),
    workflow="Snakefile",
    slurm=Slurm(
        answers=True,
        version="22.05.8",
        accounting=True,
        enforces=frozenset({"associations"}),
        accounts=frozenset({"lab"}),
        qos=frozenset({"normal"}),
        default_times={"gpu": "UNLIMITED", "": "1:00:00"},
    ),
    places=(PLACE,),
    rules=(RULE,),
    folders=(Folder("the image store", "/store", free_mb=100_000),),
    registries=(Registry("docker.io"),),
)


def node(**changes: object) -> Facts:
    """Return facts with another node."""
    return replace(WELL, places=(replace(PLACE, node=replace(NODE, **changes)),))  # type: ignore[arg-type]  # any field


def place(**changes: object) -> Facts:
    """Return facts with another place."""
    return replace(WELL, places=(replace(PLACE, **changes),))  # type: ignore[arg-type]  # any field


def rule(**changes: object) -> Facts:
    """Return facts with another rule."""
    return replace(WELL, rules=(replace(RULE, **changes),))  # type: ignore[arg-type]  # any field


def asks(**changes: object) -> Facts:
    """Return facts with another request."""
    return rule(resources=RULE.resources.model_copy(update=changes))


def slurm(**changes: object) -> Facts:
    """Return facts with another Slurm."""
    assert WELL.slurm
    return replace(WELL, slurm=replace(WELL.slurm, **changes))  # type: ignore[arg-type]  # any field


def folder(**changes: object) -> Facts:
    """Return facts with another folder."""
    return replace(WELL, folders=(replace(WELL.folders[0], **changes),))  # type: ignore[arg-type]  # any field


ILL = {
    "no configuration": (
        replace(WELL, configuration=Trouble("unknown key `defalts`", "did you mean `defaults`?")),
        "error configuration: unknown key `defalts`",
    ),
    "no workflow": (
        replace(WELL, loading=Trouble("Snakemake cannot load the workflow", "repair it")),
        "error workflow: Snakemake cannot load the workflow",
    ),
    "nothing to run": (replace(WELL, rules=()), "error workflow: Snakefile plans no job"),
    "no Slurm": (slurm(answers=False), "error slurm: Slurm's controller does not answer"),
    "too long": (
        rule(troubles=(Trouble("partition `gpu` runs a task for at most 5 min", "ask for less"),)),
        "error request: partition `gpu` runs a task for at most 5 min",
    ),
    "foreign account": (asks(account="labb"), "error account: rule train asks for the account"),
    "foreign account, not enforced": (
        replace(asks(account="x"), slurm=slurm(enforces=frozenset()).slurm),
        "warning account: rule train asks for the account `x`",
    ),
    "foreign QOS": (asks(qos="high"), "error account: rule train asks for the QOS `high`"),
    "no account": (
        replace(asks(account=None), slurm=slurm(accounts=frozenset()).slurm),
        "error account: Slurm knows no account of yours",
    ),
    "no time limit": (
        asks(runtime_min=None),
        "warning time limit: no `runtime` for train: the partition's own limit holds (gpu: UNLIM",
    ),
    "no answer": (place(node=None), "warning nodes: no node of partition gpu was free"),
    "refused question": (
        place(node=None, trouble=Trouble("there is no partition `gpu`", "this cluster has: cpu")),
        "error nodes: there is no partition `gpu`",
    ),
    "no engine": (node(versions={}, pyxis="absent"), "error engines: rule train: n1 (partition"),
    "an engine for another format": (
        rule(engines=("enroot",), image="root", image_format="directory"),
        "error engines: rule train: enroot cannot start root",
    ),
    "pyxis on the head only": (node(pyxis="silent"), "error pyxis: srun knows pyxis's options"),
    "no user namespaces": (
        node(user_namespaces=False),
        "error mounting: on n1 (partition gpu) Apptainer has neither",
    ),
    "no user namespaces for Enroot": (
        node(user_namespaces=False, setuid=True),
        "error mounting: on n1 (partition gpu) Enroot has no user namespaces",
    ),
    "no FUSE": (node(fuse=False), "warning mounting: on n1 (partition gpu) Apptainer cannot mount"),
    "old bash": (node(bash="4.1"), "error shell: n1 (partition gpu) has bash 4.1"),
    "no bash": (node(bash=""), "error shell: n1 (partition gpu) has no bash"),
    "no flock": (node(flock=False), "warning shell: n1 (partition gpu) has no flock"),
    "no GPU given": (node(gpu_visible=""), "error gpus: a job with a GPU on n1"),
    "no GPU device": (node(gpu_devices=0), "error gpus: Slurm gives a GPU on n1"),
    "no driver": (node(nvidia_smi=False), "error gpus: nvidia-smi lists no GPU on n1"),
    "no GPU hook": (
        node(nvidia_container_cli=False),
        "error gpus: n1 (partition gpu) has no nvidia-container-cli",
    ),
    "no bind": (
        node(missing=frozenset({"/data"})),
        "error binds: rule train binds /data, which does not exist on n1",
    ),
    "another clock": (node(clock=1100.0), "warning clocks: the clock of n1 differs"),
    "another clock of files": (
        replace(WELL, file_clock_s=-60.0),
        "warning clocks: the shared file system's clock differs",
    ),
    "read-only store": (folder(writable=False), "error folders: the image store (/store) cannot"),
    "full store": (folder(free_mb=100), "error folders: the image store (/store) is full"),
    "tight store": (folder(free_mb=5000), "warning folders: the image store (/store) has 4.9 GiB"),
    "cache in a home with a quota": (
        replace(folder(in_home=True), quotas=(Quota("/home", 10, 10_000),)),
        "warning caches: the image store (/store) is in the home folder",
    ),
    "quota nearly used": (
        replace(WELL, quotas=(Quota("/home", 9500, 10_000),)),
        "warning quota: 9500 of 10000 MiB are used on /home",
    ),
    "quota of files used": (
        replace(WELL, quotas=(Quota("/home", 1, 0, 100, 100),)),
        "error quota: 100 of 100 files are used on /home",
    ),
    "folder not shared": (
        node(missing=frozenset({"/store"})),
        "error shared: n1 (partition gpu) does not see the image store (/store)",
    ),
    "files not seen there": (place(saw_head=False), "error shared: files made here"),
    "files not seen here": (place(seen_after_s=None), "error shared: files made here"),
    "files seen late": (place(seen_after_s=20.0), "warning shared: a file of n1 was seen here"),
    "no /tmp": (node(tmp_free_mb=None), "error tmp: /tmp of n1 (partition gpu) cannot be written"),
    "full /tmp": (node(tmp_free_mb=10), "warning tmp: /tmp of n1 (partition gpu) has 10 MiB"),
    "nothing that pulls": (
        replace(WELL, head=replace(NODE, mksquashfs=False)),
        "error head: this machine (n1) has no mksquashfs, which makes images",
    ),
    "no registry": (
        replace(WELL, registries=(Registry("ghcr.io", "Name or service not known"),)),
        "error registry: the registry ghcr.io does not answer here",
    ),
    "a proxy that curl ignores": (
        replace(WELL, head=replace(NODE, proxies=("HTTP_PROXY",))),
        "warning proxies: HTTP_PROXY is set and http_proxy is not",
    ),
}


def _lines(facts: Facts) -> list[str]:
    return [f"{f.level} {f.check}: {f.what}" for f in diagnose(facts)]


def test_nothing_is_found_where_all_is_well() -> None:
    """Every line is `ok`, and so is the whole."""
    assert [] == [line for line in _lines(WELL) if not line.startswith("ok ")]
    assert Level.OK == worst(diagnose(WELL))


@pytest.mark.parametrize("name", ILL)
def test_each_ill_is_found(name: str) -> None:
    """One thing that is wrong makes its check fail, and what to do stands beside it."""
    facts, line = ILL[name]
    found = [f for f in diagnose(facts) if f.level != Level.OK]
    said = [f"{f.level} {f.check}: {f.what}" for f in found]
    assert any(text.startswith(line) for text in said), said
    assert all(f.next_step for f in found)
    assert worst(diagnose(facts)) != Level.OK


def test_every_check_can_fail() -> None:
    """No check is there only to say that all is well (but the one that lists variables)."""
    silent = {
        check.__name__
        for check in CHECKS
        if all(f.level == Level.OK for facts, _ in ILL.values() for f in check(facts))
    }
    assert {"check_steering"} == silent


def test_variables_that_steer_engines_are_told() -> None:
    """Variables of the user's shell that have no effect on tasks are named."""
    facts = replace(WELL, head=replace(NODE, steering=("APPTAINER_BIND",)))
    assert any("APPTAINER_BIND" in line for line in _lines(facts))


def test_without_slurm_no_node_is_asked_about_it() -> None:
    """With the scheduler `local` nothing is said of accounts and partitions."""
    lines = _lines(replace(WELL, slurm=None))
    assert any("Slurm is not asked" in line for line in lines)
    assert not any("account" in line.split(":")[0] for line in lines)


def test_a_machine_answers_the_script() -> None:
    """The probe runs under plain sh, tells missing paths byte for byte, and leaves the file."""
    odd = "/nowhere/it's here"
    environ = {"PATH": "/usr/bin:/bin", "ENROOT_X": "1\nHTTP_PROXY=no", "https_proxy": "p"}
    begin = time.time()
    done = proc.run(["/bin/sh", "-c", probe_script(["/", odd])], env=environ)
    found = parse_probe("Welcome to the cluster!\n" + done.out)
    assert "" == done.err
    assert frozenset({odd}) == found.missing
    assert begin - 1 < found.clock < time.time() + 1
    assert found.bash
    assert found.name
    assert ("ENROOT_X",) == found.steering
    assert "https_proxy" in found.proxies


def test_no_answer_is_a_machine_without_anything() -> None:
    """A node that prints nothing has no engine."""
    found = parse_probe("")
    assert not found.has("apptainer")
    assert found.has("host")
    assert "absent" == found.pyxis


def test_rules_of_one_place_ask_one_node() -> None:
    """A node is asked per partition, account and the like, and apart for rules with GPUs."""
    rules = [
        Rule("a", place_label(r), resources=r)
        for r in (
            Resources(partition="cpu", mem_mb=5),
            Resources(partition="cpu", runtime_min=9),
            Resources(partition="cpu", gpu=Gpu(count=4, model="a100")),
        )
    ]
    places = places_of(rules)
    assert ["partition cpu", "partition cpu, with a GPU"] == [p.label for p in places]
    assert Gpu(count=1, model="a100") == places[1].resources.gpu
    assert ["default partition"] == [p.label for p in places_of([])]


def test_quotas_are_read() -> None:
    """`quota -w -p`: blocks of 1 KiB, a star where a limit is exceeded, grace as a number."""
    text = """Disk quotas for user ada (uid 1000):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
      nas:/home 10240000* 9000000 10485760  1700000000   4000       0       0       0
"""
    assert (Quota("nas:/home", 10000, 10240, 4000, 0),) == ask.parse_quotas(text)
    assert () == ask.parse_quotas("Disk quotas for user ada (uid 1000): none\n")


def test_default_times_are_read() -> None:
    """A partition without a DefaultTime gives its MaxTime; the default one stands under "" too."""
    text = (
        "PartitionName=cpu Default=YES DefaultTime=NONE MaxTime=2-00:00:00\n"
        "PartitionName=gpu Default=NO DefaultTime=01:00:00 MaxTime=UNLIMITED\n"
    )
    expected = {"cpu": "2-00:00:00", "": "2-00:00:00", "gpu": "01:00:00"}
    assert expected == ask.parse_default_times(text)


def test_accounts_are_read() -> None:
    """Accounts of `sacctmgr show assoc`, each once."""
    assert frozenset({"lab", "bio"}) == ask.parse_accounts("lab|normal\nbio|\nlab|high\n")


def test_a_registry_that_refuses_the_connection_is_told() -> None:
    """A host without a registry has its reason; nothing is raised."""
    assert "refused" in ask.ask_registry("localhost:9").trouble


def test_what_is_no_registry_is_told() -> None:
    """A program that answers something else than HTTP raises nothing either."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            for _ in range(2):  # the first asks whether it speaks TLS
                caller, _ = server.accept()
                caller.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                caller.close()

        thread = threading.Thread(target=greet)
        thread.start()
        assert ask.ask_registry(f"127.0.0.1:{server.getsockname()[1]}").trouble
        thread.join()


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("docker://alpine", "docker.io"),
        ("docker://index.docker.io/library/alpine", "docker.io"),
        ("docker://ghcr.io/a/b:1", "ghcr.io"),
        ("docker://me@ghcr.io#a/b", "ghcr.io"),
        ("oras://ghcr.io/a/b", ""),
        ("science.sif", ""),
    ],
)
def test_the_registry_of_an_image_is_asked(text: str, host: str) -> None:
    """It is the host that the image is pulled from, without the user's name."""
    assert host == registry_of(parse_reference(text, "/work"))


def test_a_folder_that_cannot_be_looked_at_is_not_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names an impossible path is an ill of that folder, and no traceback."""
    monkeypatch.setenv("APPTAINER_CACHEDIR", "/nowhere/" + "x" * 300)
    folders = {f.role: f for f in folders_of(Planned(Layers(), Path.cwd()))}
    assert f"/nowhere/{'x' * 300}" == folders["Apptainer's cache"].path


def test_slurms_word_for_no_gpu_is_none() -> None:
    """NoDevFiles in the job's variable is what the job script takes for no GPU, too."""
    for value, seen in (("NoDevFiles", ""), ("0,1", "0,1")):
        environ = {"PATH": "/usr/bin:/bin", "GPU_DEVICE_ORDINAL": value}
        done = proc.run(["/bin/sh", "-c", probe_script([])], env=environ)
        assert seen == parse_probe(done.out).gpu_visible
