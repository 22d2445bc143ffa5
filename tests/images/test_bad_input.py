"""What goes wrong with images, and what is said about it; the registry is real."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images import http
from snakemake_executor_plugin_hpcctr.images import registry as transfers
from snakemake_executor_plugin_hpcctr.images.progress import Progress
from snakemake_executor_plugin_hpcctr.images.pull import Puller
from snakemake_executor_plugin_hpcctr.images.reference import parse
from snakemake_executor_plugin_hpcctr.images.store import Entry, Store
from tests.images.proxy import BadDays
from tests.images.registry import (
    Layout,
    LoopbackRegistry,
    Member,
    layer,
    other_architecture,
    write_layout,
)
from tests.integration.workflow import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HPCCTR = (sys.executable, "-m", "snakemake_executor_plugin_hpcctr.cli")


def pull(
    store: Path,
    reference: str,
    said: list[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Entry:
    """Pull an image into a store."""
    puller = Puller(Store(store, (said if said is not None else []).append), environ or {})
    parsed = parse(reference, "/")
    return puller.pull(parsed, puller.resolve(parsed))


def test_a_misspelt_tag_is_named_with_the_one_that_was_meant(tmp_path: Path, tiny: str) -> None:
    """The registry's own tags are asked for, and the nearest is proposed."""
    with pytest.raises(ImageError, match=r"team/tiny has no 1\.0") as raised:
        pull(tmp_path, f"{tiny}.0")
    assert "did you mean `1`?" in raised.value.next_step
    assert "it has the tags 1" in raised.value.next_step


def test_a_misspelt_name_is_named(tmp_path: Path, registry: LoopbackRegistry) -> None:
    """A repository that is not there is another error than a tag."""
    with pytest.raises(ImageError, match="there is no image localhost") as raised:
        pull(tmp_path, f"docker://{registry.host}/team/tyni:1")
    assert "check its spelling" in raised.value.next_step


def test_an_unknown_registry_is_named(tmp_path: Path) -> None:
    """A host without an address: its spelling, or no network."""
    with pytest.raises(ImageError, match=r"registry no\.such\.invalid is not known") as raised:
        pull(tmp_path, "docker://no.such.invalid/x:1")
    assert "check its spelling, and that this machine reaches the internet" in (
        raised.value.next_step
    )


def test_a_registry_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """Nobody listens on that port: said at once, without retries."""
    with pytest.raises(ImageError, match="localhost:9 cannot be reached: Connection refused"):
        pull(tmp_path, "docker://localhost:9/x:1")


@pytest.fixture(scope="module")
def private(closed_registry: LoopbackRegistry, tiny_layout: Path) -> str:
    """Return an image that needs a login."""
    return closed_registry.push(tiny_layout, "private:1")


def login(home: Path, host: str, password: str) -> dict[str, str]:
    """Write Docker's file of logins; return the environment that finds it."""
    (home / ".docker").mkdir()
    auth = base64.b64encode(f"anna:{password}".encode()).decode()
    content = {"auths": {host: {"auth": auth}}}
    (home / ".docker/config.json").write_text(json.dumps(content))
    return {"HOME": str(home)}


def test_an_image_that_needs_a_login_says_how_to_log_in(tmp_path: Path, private: str) -> None:
    """Without a login, the hint has the commands of the tools whose files are read."""
    with pytest.raises(ImageError, match="wants a login for this image") as raised:
        pull(tmp_path, private)
    assert "docker login localhost" in raised.value.next_step


def test_a_wrong_password_is_named_by_its_file_and_never_shown(
    tmp_path: Path, private: str
) -> None:
    """The error has user and file; the password is in no message."""
    environ = login(tmp_path, private.split("/")[2], "wr0ng")
    with pytest.raises(
        ImageError, match=r"refuses the login of anna from .*config\.json"
    ) as raised:
        pull(tmp_path, private, environ=environ)
    assert "wr0ng" not in str(raised.value)


def test_a_login_of_docker_s_file_is_used(tmp_path: Path, private: str) -> None:
    """With the right password the image is pulled."""
    environ = login(tmp_path, private.split("/")[2], "s3cr3t")
    said: list[str] = []
    assert pull(tmp_path / "store", private, said, environ).formats
    assert "s3cr3t" not in "".join(said)


def test_a_login_of_enroot_s_file_is_used(tmp_path: Path, private: str) -> None:
    """A password that is a variable there is looked up in the environment."""
    (tmp_path / ".credentials").write_text("machine localhost login anna password $WORD\n")
    environ = {"ENROOT_CONFIG_PATH": str(tmp_path), "WORD": "s3cr3t"}
    assert pull(tmp_path / "store", private, environ=environ).formats


def test_an_index_without_this_machine_s_architecture_is_refused(
    tmp_path: Path, registry: LoopbackRegistry
) -> None:
    """The error has both architectures."""
    layout = Layout(tmp_path / "oci")
    images = [layout.image([layer([Member("x", b"x")])], {}, "riscv64") for _ in range(1)]
    reference = registry.push(layout.finish(layout.index(images)), "foreign-index:1")
    with pytest.raises(ImageError, match="was built for riscv64, and this machine is"):
        pull(tmp_path / "store", reference)


def test_an_image_of_another_architecture_is_refused(
    tmp_path: Path, registry: LoopbackRegistry
) -> None:
    """Without an index it is the image's own configuration that tells."""
    layout, other = Layout(tmp_path / "oci"), other_architecture()
    image = layout.image([layer([Member("x", b"x")])], {}, other)
    reference = registry.push(layout.finish(image), "foreign:1")
    with pytest.raises(ImageError, match=f"was built for {other}"):
        pull(tmp_path / "store", reference)


def test_of_an_index_this_machine_s_image_is_taken(
    tmp_path: Path, registry: LoopbackRegistry
) -> None:
    """The digest of the index is what can be pinned, the image's own is what is kept."""
    layout = Layout(tmp_path / "oci")
    images = [
        layout.image([layer([Member("which", name.encode())])], {}, name)
        for name in (other_architecture(), "")
    ]
    reference = parse(registry.push(layout.finish(layout.index(images)), "both:1"), "/")
    puller = Puller(Store(tmp_path / "store", lambda _: None), {})
    tagged = puller.resolve(reference)
    assert tagged.digest != tagged.manifest
    pinned = reference.pinned(tagged.digest)
    assert tagged.manifest == puller.resolve(pinned).manifest
    assert puller.pull(pinned, puller.resolve(pinned)).digest == tagged.manifest


def test_a_registry_that_gets_too_many_requests_is_waited_for(
    tmp_path: Path, registry: LoopbackRegistry, tiny: str
) -> None:
    """The wait is as long as the registry asks for, and is told."""
    said: list[str] = []
    with BadDays(registry.host, busy=2) as proxy:
        assert pull(tmp_path, tiny.replace(registry.host, proxy.host), said).formats
        host = proxy.host
    assert 2 == said.count(f"Registry {host} gets too many requests: waiting 1 s")


def test_a_registry_that_stays_busy_is_given_up(
    tmp_path: Path, registry: LoopbackRegistry, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the longest patience the error says what may help."""
    monkeypatch.setattr(http, "PATIENCE_S", 1.5)
    with (
        BadDays(registry.host, busy=100) as proxy,
        pytest.raises(ImageError, match="was still busy after 1 s") as raised,
    ):
        pull(tmp_path, tiny.replace(registry.host, proxy.host))
    assert "a login often allows more requests" in raised.value.next_step


def test_a_transfer_that_broke_off_is_taken_up_where_it_was(
    tmp_path: Path, registry: LoopbackRegistry, tiny: str
) -> None:
    """The second request asks for the rest only."""
    with BadDays(registry.host, broken=1) as proxy:
        assert pull(tmp_path, tiny.replace(registry.host, proxy.host)).formats
        assert "bytes=1000-" in {wanted for _, wanted in proxy.asked}


def test_a_token_that_ends_during_a_pull_is_renewed(
    tmp_path: Path, registry: LoopbackRegistry, tiny: str
) -> None:
    """Each token is good for two requests; a pull has more, and asks for another token."""
    with BadDays(registry.host, tokens=2) as proxy:
        assert pull(tmp_path, tiny.replace(registry.host, proxy.host)).formats
        assert 1 < sum(path.startswith("/token") for path, _ in proxy.asked)


def test_a_disk_that_fills_up_is_not_the_registry_s_fault(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space during a transfer is said as such, and nothing is asked for again."""
    puller = Puller(Store(tmp_path, lambda _: None), {})
    parsed = parse(tiny, "/")
    blob = puller.manifest(parsed, puller.resolve(parsed)).layers[0]
    monkeypatch.setattr(transfers, "_hash_part", lambda _: (0, hashlib.sha256()))
    (tmp_path / "layer.part").symlink_to("/dev/full")
    progress = Progress("x", blob.size, lambda _: None)
    with pytest.raises(OSError, match="No space left"):
        puller.registry(parsed).fetch(parsed.repository, blob, tmp_path / "layer", progress)


def test_ctrl_c_ends_a_pull_at_once(tmp_path: Path, registry: LoopbackRegistry, large: str) -> None:
    """A layer that would take long is not waited for; what has arrived is kept."""
    store = tmp_path / "store"
    with (
        BadDays(registry.host, hanging=True) as proxy,
        start_pull(store, large.replace(registry.host, proxy.host)) as stopped,
    ):
        try:
            until = time.monotonic() + 30
            while not any(path.stat().st_size for path in store.glob("blobs/*/*.part")):
                assert time.monotonic() < until
                assert stopped.poll() is None
                time.sleep(0.02)
            os.killpg(stopped.pid, signal.SIGINT)
            said = stopped.communicate(timeout=20)[0]
        finally:
            stopped.kill()
    assert 130 == stopped.returncode, said
    assert "Traceback" not in said
    assert any(store.glob("blobs/*/*.part"))


def start_pull(store: Path, reference: str, *before: str) -> subprocess.Popen[str]:
    """Start `hpcctr images pull` in a session of its own."""
    return subprocess.Popen(
        [*before, *HPCCTR, "images", "pull", reference, "--image-dir", store],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=store.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def large(registry: LoopbackRegistry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return an image that takes a moment to pack."""
    content = [Member(f"f{i}", os.urandom(4_000_000)) for i in range(12)]
    layout = write_layout(tmp_path_factory.mktemp("large") / "oci", [layer(content)])
    return registry.push(layout, "large:1")


def test_a_pull_that_was_killed_leaves_nothing_half_made(tmp_path: Path, large: str) -> None:
    """No image is there after the kill; the next pull takes over the lock and succeeds."""
    store = tmp_path / "store"
    with start_pull(store, large) as killed:
        until = time.monotonic() + 60
        while not any(store.glob("tmp/*/image.sqsh")):
            assert time.monotonic() < until
            assert killed.poll() is None
            time.sleep(0.005)
        os.killpg(killed.pid, signal.SIGKILL)
    assert not any(store.glob("images/*/image.sqsh"))
    assert any(store.glob("locks/*.lock"))
    with start_pull(store, large) as again:
        said = again.communicate(timeout=60)[0]
    assert 0 == again.returncode, said
    assert any(store.glob("images/*/image.sqsh"))
    assert not any((store / "tmp").iterdir())


def test_of_two_heads_one_pulls_and_the_other_waits_with_a_message(
    tmp_path: Path, large: str
) -> None:
    """Both succeed, one transfer is made, and the second says for whom it waits."""
    store = tmp_path / "store"
    with start_pull(store, large) as one, start_pull(store, large) as two:
        said = [process.communicate(timeout=60)[0] for process in (one, two)]
    assert [0, 0] == [one.returncode, two.returncode], said
    assert 1 == sum("Pulled " in text for text in said)
    assert 1 == sum("is being made by" in text and "waiting for it" in text for text in said)


def test_images_with_a_layer_in_common_are_pulled_side_by_side(
    tmp_path: Path, registry: LoopbackRegistry
) -> None:
    """Neither takes the layer away that the other still needs."""
    base = layer([Member(f"f{i}", os.urandom(2_000_000)) for i in range(8)])
    names = []
    for number in range(4):
        own = layer([Member("own", b"x" * number)])
        layout = write_layout(tmp_path / f"oci{number}", [base, own])
        names.append(registry.push(layout, f"common:{number}"))
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda name: pull(tmp_path / "store", name), names))
    assert 4 == len({entry.key for entry in found})
    assert not any((tmp_path / "store/blobs").iterdir())


def test_a_store_on_a_full_disk_is_named(tmp_path: Path, large: str) -> None:
    """What is needed and what is free are said before anything is transferred."""
    if shutil.which("unshare") is None:
        pytest.skip("`unshare` is not installed")
    store = tmp_path / "store"
    store.mkdir()
    script = f'mount -t tmpfs -o size=20m none "{store}" && exec "$@"'
    with start_pull(store, large, "unshare", "-rm", "sh", "-c", script, "sh") as process:
        said = process.communicate(timeout=60)[0]
    if "unshare:" in said or "mount:" in said:
        pytest.skip(f"no private mounts here: {said.strip()}")
    assert 1 == process.returncode
    assert "error: " in said
    assert f"in {store}, where 21.0 MB are free" in said
    assert "hpcctr images prune" in said
