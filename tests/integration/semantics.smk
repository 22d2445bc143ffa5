# What a Snakefile can say besides kinds of rules; test_semantics.py runs it by each executor.
import os

SOURCE = workflow.source_path("config/data.txt")
configfile: workflow.source_path("config/defaults.yaml")
scattergather: split=2
localrules: here
wildcard_constraints: number=r"\d+"

onstart: shell("echo start >started.log")
onsuccess: shell("echo success >succeeded.log")
onerror: shell("echo error >failed.log")

ruleorder: preferred > other

rule nothing:
    output: "never.txt"
    shell: "exit 1"

rule everything:
    default_target: True
    input:
        "here.txt", "here_too.txt", "handed.txt", "ensured.txt", "updated.txt", "seen.txt",
        "newer.txt", "unpacked.txt", "temp_folder.txt", "guarded_folder", "shadow_full.txt",
        "shadow_copy.txt", "shadow_script.txt", "log_of_failure.txt", "attempts.txt",
        "threads.txt", "modules.txt", "rendered.txt", "rendered.yaml", "gathered.txt", "chosen.txt",
        "looked_up.txt", "from_source.txt", "from_config.txt", "module_one.txt", "second_one.txt",
        "changed_two.txt", "again.txt", "order.txt", "names.txt", "many/a.x", "many/a.y",
        "deep/er/folder/x.txt", "wrapped.txt", "by_sh.txt", "by_dash.txt", "prefix.txt", 
        "part.txt", "default_resources.txt", "empty", "reported.txt", "sequential.txt",
        "function_log.txt", "script_paths.txt", "streams.txt", "variables.txt", "derived.txt",
        "kept_temp.txt", "optional.txt", "no_run.txt", "collected"

rule here:
    output: "here.txt"
    shell: "echo ${{SLURM_JOB_ID:-local}} >{output}"

rule here_too:
    output: "here_too.txt"
    localrule: True
    shell: "echo ${{SLURM_JOB_ID:-local}} >{output}"

rule handed:
    output: "handed.txt"
    handover: True
    shell: "echo ${{SLURM_JOB_ID:-local}} >{output}"

rule ensured:
    output:
        full=ensure("ensured.txt", non_empty=True),
        sum=ensure("sum.txt",
            sha256="f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2"),
    shell: "echo full >{output.full}; echo test >{output.sum}"

rule updated:
    input: "inputs/a.txt"
    output: update("updated.txt")
    shell: "cat {input} >>{output}"

rule seen:
    input: before_update("updated.txt"), "inputs/b.txt"
    output: "seen.txt"
    shell: "cat {input} >{output}"

rule newer:
    input: ancient("inputs/a.txt")
    output: "newer.txt"
    shell: "cat {input} >{output}"

def two_inputs(wildcards):
    return {"first": "inputs/a.txt", "second": ["inputs/b.txt"]}

rule unpacked:
    input: unpack(two_inputs)
    output: "unpacked.txt"
    shell: "cat {input.second} {input.first} >{output}"

rule make_temp_folder:
    output: temp(directory("temp_folder"))
    shell: "mkdir {output}; echo inside >{output}/x"

rule use_temp_folder:
    input: "temp_folder"
    output: "temp_folder.txt"
    shell: "cat {input}/x >{output}"

rule guarded_folder:
    output: protected(directory("guarded_folder"))
    shell: "mkdir {output}; echo inside >{output}/x"

rule shadow_full:
    input: "inputs/a.txt"
    output: "shadow_full.txt"
    log: "logs/shadow_full.log"
    shadow: "full"
    shell:
        "echo rubbish >rubbish_full.txt; cat {input} config_here/deep/x.txt >{output}; "
        "echo >{log}"

rule shadow_copy:
    input: "inputs/a.txt"
    output: "shadow_copy.txt"
    shadow: "copy-minimal"
    shell: "echo more >>{input}; cat {input} >{output}; ls >>{output}"

rule shadow_script:
    input: "inputs/a.txt"
    output: "shadow_script.txt"
    shadow: "minimal"
    script: "scripts/shadow.py"

rule log_of_failure:
    output: "log_of_failure.txt"
    log: "logs/attempts.log"
    retries: 1
    resources: attempt=lambda wildcards, attempt: attempt
    shell: "echo {resources.attempt} >{log}; [ {resources.attempt} = 2 ]; cp {log} {output}"

rule attempts:
    input: lambda wildcards: "inputs/a.txt"
    output: "attempts.txt"
    retries: 1
    threads: lambda wildcards, attempt: attempt
    resources:
        mem_mb=lambda wildcards, input, threads, attempt: 64 * threads + attempt,
        word=lambda wildcards, attempt: f"word{attempt}",
    shell:
        "[ {resources.word} = word2 ] || exit 1; "
        "echo {threads} {resources.mem_mb} {resources.word} {input} >{output}"

rule threads:
    input: "inputs/a.txt"
    output: "threads.txt"
    threads: 2
    resources:
        disk_mb=10, runtime="1h",
        mem_mb=lambda wildcards, input: max(200, 2 * input.size_mb)
    shell:
        "echo {threads} {resources.disk_mb} {resources.runtime} {resources.mem_mb} "
        "$OMP_NUM_THREADS >{output}"

rule rendered:
    input: "inputs/page.j2"
    output: "rendered.txt"
    params: word="two words"
    template_engine: "jinja2"

rule rendered_yaml:
    input: "inputs/page.yte"
    output: "rendered.yaml"
    params: number=2
    template_engine: "yte"

rule scattered:
    output: scatter.split("scattered/{scatteritem}.txt")
    shell: "for f in {output}; do echo $f >$f; done"

rule gathered:
    input: gather.split("scattered/{scatteritem}.txt")
    output: "gathered.txt"
    shell: "cat {input} >{output}"

rule modules:
    output: "modules.txt"
    envmodules: config["module"]
    shell: "echo modules >{output}"

rule chosen:
    input: branch(config["wanted"], then="inputs/a.txt", otherwise="inputs/b.txt")
    output: "chosen.txt"
    shell: "cat {input} >{output}"

rule looked_up:
    output: "looked_up.txt"
    params: name=lookup(dpath="names/first", within=config), value=exists("inputs/a.txt")
    shell: "echo {params.name} {params.value} >{output}"

rule from_source:
    output: "from_source.txt"
    shell: "cat {SOURCE} >{output}"

rule from_config:
    output: "from_config.txt"
    params: version=config["version"], here=lambda wildcards: os.path.basename(os.getcwd())
    shell: "echo {params.version} {config[names][first]} {params.here} >{output}"

module another:
    snakefile: "module/Snakefile"
    config: config
    prefix: ""

use rule * from another exclude hidden as module_*

use rule one from another as second with:
    output: "second_one.txt"
    params: word="second"

use rule two from another as changed with:
    input: "inputs/b.txt"
    output: "changed_two.txt"

rule base:
    output: "base_{word}.txt"
    params: word="base"
    threads: 2
    shell: "echo {params.word} {wildcards} {threads} >{output}"

use rule base as again with:
    output: "again.txt"
    params: word="again"

rule preferred:
    output: "order.txt"
    shell: "echo preferred >{output}"

rule other:
    output: "{name}der.txt"
    shell: "echo other >{output}"

rule names:
    input: a="inputs/a.txt", many=["inputs/a.txt", "inputs/b.txt"]
    output: out="names.txt"
    name: "named_in_place"
    shell: "echo {input.a} {input.many[1]} {rule} {output.out} >{output[0]}"

rule many:
    output: multiext("many/a", ".x", ".y")
    shell: "for f in {output}; do echo $f >$f; done"

rule no_run_part:
    output: "no_run.txt"
    shell: "touch {output}"

rule collected:
    input: "no_run.txt"
    output: touch("collected")

rule deep:
    output: "deep/er/folder/x.txt"
    shell: "echo deep >{output}"

rule wrapped:
    input: "inputs/a.txt"
    output: "wrapped.txt"
    params: extra="more"
    threads: 2
    wrapper: "file:" + os.path.join(workflow.basedir, "wrappers/tool")

rule by_sh:
    output: "by_sh.txt"
    resources: shell_exec="sh"
    shell: "echo $0 ${{BASH_VERSION:-none}} $- >{output}"

rule by_dash:
    output: "by_dash.txt"
    resources: shell_exec="/bin/dash"
    shell: "echo $0 ${{BASH_VERSION:-none}} >{output}"

# Snakemake's `set -euo pipefail` is in force.
rule prefix:
    output: "prefix.txt"
    shell: "echo $- $SHELLOPTS >{output}"

rule part:
    output: "part.txt"
    params: lines=["a b", "c'd", '"e"', "$f", "`g`", "h\\i"], mapping={"k": "v"}
    shell: "printf '%s\\n' {params.lines:q} {params.mapping[k]} >{output:q}"

rule default_resources:
    output: "default_resources.txt"
    shell: "echo {resources.mem_mb} {resources.extra} >{output}"

rule empty:
    output: directory("empty")
    shell: "mkdir {output}"

rule reported:
    output: report("reported.txt", caption="config/caption.rst", category="texts")
    shell: "echo reported >{output}"

rule sequential:
    input: access.sequential("inputs/a.txt")
    output: "sequential.txt"
    shell: "cat {input} >{output}"

rule function_log:
    output: "function_log.txt"
    log: a="logs/by_function.log"
    benchmark: "logs/benchmark.jsonl"
    shell: "echo log >{log.a}; cp {log} {output}"

rule script_paths:
    input: "inputs/a.txt"
    output: "script_paths.txt"
    log: "logs/script.log"
    params: number=1.5, nothing=None, mapping={"k": [1, 2]}, path=lambda wildcards, input: input[0]
    resources: mem_mb=70
    script: "scripts/paths.py"

rule streams:
    output: "streams.txt"
    shell:
        "echo to stdout; echo to stderr >&2; echo $(umask) $(ulimit -Sn) $0 $- >{output}; "
        "locale >>{output}; grep -E 'Sig(Ign|Blk)' /proc/self/status >>{output}"

# Of a task, only what the scheduler adds and its own TMPDIR are different.
rule variables:
    output: "variables.txt"
    shell:
        "env -0 | cut -z -d= -f1 | sort -z | tr '\\0' '\\n' >{output}; echo $PATH >>{output}; "
        "sed -i -E '/^(SLURM|TE?MP|ENVIRONMENT$|HOSTNAME$|OLDPWD|_)/d' {output}"

rule derived:
    input: "inputs/a.txt"
    output: "derived.txt"
    params:
        size=lambda wildcards, input: os.path.getsize(input[0]),
        target=lambda wildcards, output: output[0] + ".d",
        memory=lambda wildcards, resources: resources.mem_mb,
        threads=lambda wildcards, threads: threads,
    shell: "echo {params.size} {params.target} {params.memory} {params.threads} >{output}"

rule makes_temp:
    output: temp("a_temp.txt"), temp("not_used.txt")
    shell: "echo temp | tee {output} >/dev/null"

rule uses_temp:
    input: "a_temp.txt"
    output: "kept_temp.txt"
    shell: "cat {input} >{output}"

rule optional:
    input: a="inputs/a.txt", nothing=[]
    output: "optional.txt"
    shell: "echo {input.a} [{input.nothing}] $(basename $PWD) >{output}"
