"""Commands that count on this host: what Snakemake made for them here is gone when they start."""

from __future__ import annotations

import json
import re
from pathlib import Path

from snakemake_executor_plugin_hpcctr.script.quote import heredoc

#: A notebook's program, where Snakemake could not ask whether the image has papermill.
PAPERMILL = "papermill --log-level"
#: Takes papermill's place; its arguments are `--log-level ERROR NOTEBOOK OUTPUT`.
NBCONVERT = (
    "command -v papermill >/dev/null || papermill() { jupyter-nbconvert --log-level ERROR "
    '--execute --output "$(realpath -m -- "$4")" --to notebook '
    '--ExecutePreprocessor.timeout=-1 "$3"; }\n'
)
CWL_INPUTS = '"$TMPDIR"/cwl-inputs.json'
#: How snakemake.notebook (9.17 to 9.27) goes to the working directory, in Python and in R.
GOES_TO = ("os.chdir(r'{}')", "setwd('{}')")


def inline_script(command: str) -> str:
    """Return the text of the temporary script into which Snakemake puts a long command."""
    parts = command.split('"')
    if ".snakemake/shell_tmp." not in command or len(parts) != 5:  # noqa: PLR2004 ("sh" "script")
        return command
    try:
        text = Path(parts[3]).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return command
    return text.removesuffix("\n")


def inline_cwl_inputs(command: str) -> str:
    """Return a call of cwltool that brings its file of inputs with it."""
    program, _, file = command.rpartition(" ")
    inputs = json.dumps(json.loads(Path(file).read_text(encoding="utf-8")))
    opening, body = heredoc(inputs, "END_OF_INPUTS")
    return f"cat >{CWL_INPUTS} {opening}\n{body}{program} {CWL_INPUTS}"


def choose_papermill_later(command: str) -> str:
    """Return a notebook's command that takes nbconvert in an image without papermill."""
    before, program, after = command.partition(PAPERMILL)
    return f"{before}{NBCONVERT}{program}{after}" if program else command


def move_notebook(command: str, here: str, there: str) -> None:
    """Let the notebook of a command work in its shadow folder, as its command does.

    Snakemake wrote the folder of this process into it.
    """
    for path in filter(Path.is_file, script_files(command)):
        text = path.read_text(encoding="utf-8")
        for words in GOES_TO:
            text = text.replace(words.format(here), words.format(there), 1)
        path.write_text(text, encoding="utf-8")


#: How snakemake.script (9.17 to 9.27) names its copy of a script, quoted where it must be.
SCRIPT = re.compile(
    r"'(/[^']*/\.snakemake/scripts/tmp[a-z0-9_]+\.[^']+)'"
    r"|(/[^\s'\"]*/\.snakemake/scripts/tmp[a-z0-9_]+\.[^\s'\"]+)"
)


def script_files(command: str) -> list[Path]:
    """Return the files that Snakemake made of a `script:` or `notebook:` for a command."""
    return [Path(quoted or plain) for quoted, plain in SCRIPT.findall(command)]
