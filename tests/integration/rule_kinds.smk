# One rule of every kind; test_rule_kinds.py runs it by each executor.
envvars: "GIVEN"
PLAIN = ["by_shell.txt", "by_script.txt", "by_bash.txt", "by_run.txt", "shadowed.txt",
    "shadow_minimal.txt", "kept.txt", "guarded.txt", "touched.txt", "gathered.txt",
    "benchmarked.txt", "grouped_b.txt", "many_lines.txt", "threads.txt", "third_try.txt",
    "with_log.txt", "environment.txt", "tmpdir.txt", "folder", "long.txt", "piped.txt",
    "space in name/a b.txt", "by_function.txt", "priority.txt", "unnamed.txt", "stdin.txt"]
ODD = "it's a \"b\" $HOME `c` é 漢 ; & | * ? [x] \\ -d.txt"

rule all:
    input: *PLAIN, ODD

rule by_shell:
    output: "by_shell.txt"
    params: text="a 'b' \"c\" $d"
    shell: "printf '%s\\n' {params.text:q} >{output}"

rule by_script:
    output: "by_script.txt"
    params: number=3, names=["x", "y z"]
    threads: 2
    script: "scripts/write.py"

rule by_bash:
    output: "by_bash.txt"
    params: number=4
    script: "scripts/write.sh"

rule by_run:
    output: "by_run.txt"
    run:
        with open(output[0], "w") as stream:
            print("run", threads, file=stream)

rule shadowed:
    input: "by_shell.txt"
    output: "shadowed.txt"
    shadow: "shallow"
    shell: "echo rubbish >rubbish.txt; cat {input} >{output}"

rule shadow_minimal:
    input: "by_shell.txt"
    output: "shadow_minimal.txt"
    shadow: "minimal"
    shell: "echo rubbish >rubbish.txt; cat {input} >{output}"

rule temporary:
    output: temp("temporary.txt")
    shell: "echo temporary >{output}"

rule kept:
    input: "temporary.txt"
    output: "kept.txt"
    shell: "cat {input} >{output}"

rule guarded:
    output: protected("guarded.txt")
    shell: "echo guarded >{output}"

rule touched:
    output: touch("touched.txt")
    shell: "true"

rule folder:
    output: directory("folder")
    shell: "mkdir -p {output}/deep; echo deep >{output}/deep/file.txt"

checkpoint scatter:
    output: directory("parts")
    shell: "mkdir {output}; for i in 1 2 3; do echo part $i >{output}/$i.txt; done"

rule part:
    input: "parts/{i}.txt"
    output: "done/{i}.txt"
    shell: "sed s/part/done/ {input} >{output}"

def parts(wildcards):
    folder = checkpoints.scatter.get().output[0]
    return expand("done/{i}.txt", i=sorted(glob_wildcards(folder + "/{i}.txt").i))

rule gathered:
    input: parts
    output: "gathered.txt"
    shell: "cat {input} >{output}"

rule benchmarked:
    output: "benchmarked.txt"
    benchmark: "benchmark.tsv"
    shell: "sleep 0.5; echo benchmarked >{output}"

rule grouped_a:
    output: "grouped_a.txt"
    group: "pair"
    shell: "echo a >{output}"

rule grouped_b:
    input: "grouped_a.txt"
    output: "grouped_b.txt"
    group: "pair"
    shell: "cat {input} >{output}; echo b >>{output}"

rule many_lines:
    output: "many_lines.txt"
    shell:
        """
        cat >{output} <<'END'
        first line
            second $HOME {{braces}}
        END
        # a comment
        for word in 'a b' "c"; do
          echo "$word" >>{output}
        done
        """

rule threads:
    output: "threads.txt"
    threads: 2
    shell: "echo {threads} $OMP_NUM_THREADS $MKL_NUM_THREADS >{output}"

# After the checkpoint: Snakemake's scheduler may lose a job that waits for its next try while
# a checkpoint is evaluated (its issue 823), with its own executor as well.
rule third_try:
    input: "gathered.txt"
    output: "third_try.txt"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: 100 * attempt
    shell: "[ {resources.mem_mb} = 300 ] && echo {resources.mem_mb} >{output}"

rule with_log:
    output: "with_log.txt"
    log: out="logs/out.log", err="logs/deep/err.log"
    shell: "echo out >{log.out}; echo err >&2 2>{log.err}; echo done >{output}"

rule environment:
    output: "environment.txt"
    shell: "echo $GIVEN >{output}"

rule tmpdir:
    output: "tmpdir.txt"
    params: file=lambda wildcards, resources: f"{resources.tmpdir}/file"
    shell:
        "echo through >{params.file}; [ $TMPDIR = {resources.tmpdir} ]; "
        "cat {params.file} >{output}"

rule long:
    output: "long.txt"
    params: text=" ".join(f"word{i}" for i in range(30000))
    shell: "echo {params.text} | wc -w >{output}"

rule source_of_pipe:
    output: pipe("pipe.txt")
    shell: "echo through the pipe >{output}"

rule piped:
    input: "pipe.txt"
    output: "piped.txt"
    shell: "cat {input} >{output}"

rule spaces:
    output: "space in name/{name}.txt"
    shell: "echo {wildcards.name:q} >{output:q}"

rule by_function:
    input: lambda wildcards: "by_shell.txt"
    output: "by_function.txt"
    params: size=lambda wildcards, input: os.path.getsize(input[0])
    shell: "echo {params.size} >{output}"

rule priority:
    output: "priority.txt"
    priority: 50
    message: "A message of the rule about {output}"
    shell: "echo $(umask) >{output}"

rule:
    output: "unnamed.txt"
    shell: "echo unnamed >{output}"

rule stdin:
    output: "stdin.txt"
    shell: "cat >{output}; echo end >>{output}"

rule odd:
    output: ODD
    shell: "echo odd >{output:q}"
