"""Files of the workflow in semantics.smk, by their paths within its folder."""

from __future__ import annotations

FILES = {
    "workflow/config/defaults.yaml": """
        wanted: true
        version: 1
        module: some/module
        names: {first: "a name"}
    """,
    "workflow/config/data.txt": "beside the Snakefile\n",
    "workflow/config/caption.rst": "A caption.\n",
    "workflow/scripts/shadow.py": """
        import os
        with open("rubbish_script.txt", "w") as stream:
            stream.write("stays in the shadow")
        with open(snakemake.input[0]) as given, open(snakemake.output[0], "w") as stream:
            print(given.read(), sorted(n for n in os.listdir() if n[0] != "."), file=stream)
    """,
    "workflow/scripts/helper.py": "WORD = 'imported'\n",
    "workflow/scripts/paths.py": """
        import os
        from pathlib import Path
        from helper import WORD
        seen = [WORD, snakemake.scriptdir == os.path.dirname(os.path.realpath(__file__))]
        seen += [Path(snakemake.scriptdir).name, snakemake.config["version"], snakemake.rule]
        seen += [*snakemake.params, snakemake.resources.mem_mb, snakemake.wildcards, snakemake.log]
        seen += [snakemake.bench_iteration, os.path.isdir(snakemake.resources.tmpdir)]
        with open(snakemake.output[0], "w") as stream:
            print(*seen, sep="\\n", file=stream)
        with open(snakemake.log[0], "w") as stream:
            print("logged", file=stream)
    """,
    "workflow/wrappers/tool/wrapper.py": """
        from snakemake.shell import shell
        extra = snakemake.params.get("extra", "")
        shell("cat {snakemake.input} >{snakemake.output}; echo {extra} >>{snakemake.output}")
        shell("echo $OMP_NUM_THREADS >>{snakemake.output}")
    """,
    "workflow/wrappers/tool/environment.yaml": "channels: []\ndependencies: []\n",
    "workflow/wrappers/tool/meta.yaml": "name: tool\n",
    "workflow/module/Snakefile": """
        rule one:
            output: "module_one.txt"
            params: word="first"
            script: "scripts/write.py"

        rule two:
            input: "inputs/a.txt"
            output: "module_two.txt"
            shell: "cat {input} >{output}; echo {config[version]} >>{output}"

        rule hidden:
            output: "hidden.txt"
            shell: "echo hidden >{output}"
    """,
    "workflow/module/scripts/write.py": """
        with open(snakemake.output[0], "w") as stream:
            print(snakemake.params.word, snakemake.rule, file=stream)
    """,
    "run/inputs/a.txt": "a\n",
    "run/updated.txt": "before\n",
    "run/inputs/b.txt": "b\n",
    "run/inputs/page.j2": "{{ params.word }} {{ output }}\n",
    "run/inputs/page.yte": "?for i in range(params.number):\n  - ?i\n",
    "run/config_here/deep/x.txt": "deep\n",
}
