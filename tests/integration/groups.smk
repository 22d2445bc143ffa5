# Groups of every kind; test_groups.py runs them by each executor.
localrules: cheap
WORDS = ["one", "two", "three"]

rule all:
    input:
        "joined.txt", "kinds.txt", "piped.txt", "counted.txt", "served.txt", "answers.txt",
        "chosen.txt", "third.txt", "alone.txt", "component.1.txt", "component.2.txt",
        "node.txt", "updated.txt", "twice.txt"

# A chain with siblings: they run side by side, and in the end one joins them.
rule word:
    output: "words/{word}.txt"
    group: "chain"
    threads: 2
    resources: mem_mb=50, runtime=3
    log: "logs/{word}.log"
    shell: "echo {wildcards.word} $OMP_NUM_THREADS {threads} >{output}; echo said >{log}"

rule loud:
    input: "words/{word}.txt"
    output: temp("loud/{word}.txt")
    group: "chain"
    resources: mem_mb=50, runtime=2
    shell: "tr a-z A-Z <{input} >{output}; echo $TMPDIR >{resources.tmpdir}/x; test -s $TMPDIR/x"

rule joined:
    input: expand("loud/{word}.txt", word=WORDS)
    output: protected("joined.txt")
    group: "chain"
    shell: "cat {input} >{output}"

# Every kind of rule, each with an input that another member makes.
rule start:
    output: "kinds/start.txt", touch("kinds/flag.txt"), directory("kinds/folder")
    group: "kinds"
    shell: "echo start >{output[0]}; mkdir -p {output[2]}; echo deep >{output[2]}/deep.txt"

rule by_script:
    input: "kinds/start.txt"
    output: "kinds/script.txt"
    group: "kinds"
    params: number=3
    script: "scripts/group.py"

rule by_bash:
    input: "kinds/start.txt"
    output: "kinds/bash.txt"
    group: "kinds"
    script: "scripts/group.sh"

rule by_run:
    input: "kinds/start.txt", "kinds/flag.txt"
    output: "kinds/run.txt"
    group: "kinds"
    run:
        with open(output[0], "w") as stream:
            print("run", open(input[0]).read(), file=stream)

rule by_size:
    input: "kinds/start.txt"
    output: "kinds/size.txt"
    group: "kinds"
    params: size=lambda wildcards, input: os.path.getsize(input[0])
    shell: "echo {params.size} >{output}"

rule by_memory:
    input: "kinds/start.txt"
    output: "kinds/memory.txt"
    group: "kinds"
    resources: mem_mb=lambda wildcards, input: 10 + os.path.getsize(input[0])
    shell: "echo {resources.mem_mb} >{output}"

rule by_template:
    input: "kinds/template.txt"
    output: "kinds/rendered.txt"
    group: "kinds"
    params: name="a name"
    template_engine: "jinja2"

rule template:
    output: "kinds/template.txt"
    group: "kinds"
    shell: "echo 'Hello {{{{ params.name }}}}' >{output}"

rule cheap:
    input: "kinds/start.txt"
    output: "kinds/cheap.txt"
    group: "kinds"
    shell: "cat {input} >{output}"

rule shadow_minimal:
    input: "kinds/start.txt"
    output: "kinds/minimal.txt"
    group: "kinds"
    shadow: "minimal"
    log: "logs/minimal.log"
    shell: "ls kinds >rubbish.txt; cat {input} >{output}; echo logged >{log}"

rule shadow_copy:
    input: "kinds/minimal.txt"
    output: "kinds/copied.txt"
    group: "kinds"
    shadow: "copy-minimal"
    shell: "test ! -L {input}; cat {input} >{output}; echo rubbish >rubbish.txt"

rule shadow_shallow:
    input: "kinds/copied.txt", "kinds/folder"
    output: touch("kinds/shallow.flag"), "kinds/shallow.txt"
    group: "kinds"
    shadow: "shallow"
    shell: "cat {input[0]} {input[1]}/deep.txt >{output[1]}; echo rubbish >rubbish.txt"

rule shadow_full:
    input: "kinds/shallow.flag", "kinds/shallow.txt"
    output: "kinds/full.txt"
    group: "kinds"
    shadow: "full"
    shell: "cat {input} >{output}; echo rubbish >rubbish.txt"

rule nothing:
    input: "kinds/full.txt", "kinds/cheap.txt"
    group: "kinds"

rule kinds:
    input:
        "kinds/script.txt", "kinds/bash.txt", "kinds/run.txt", "kinds/size.txt",
        "kinds/memory.txt", "kinds/rendered.txt", "kinds/cheap.txt", "kinds/full.txt"
    output: "kinds.txt"
    group: "kinds"
    benchmark: "benchmark.tsv"
    shell: "cat {input} >{output}"

# A pipe from a script, through a filter, into a command.
rule source:
    output: pipe("pipe.txt")
    script: "scripts/source.py"

rule filter:
    input: "pipe.txt"
    output: pipe("filtered.txt")
    shell: "sed s/line/LINE/ {input} >{output}"

rule piped:
    input: "filtered.txt"
    output: "piped.txt"
    shell: "cat {input} >{output}"

# A pipe within a group: others come before and after.
rule before_pipe:
    output: "before_pipe.txt"
    group: "with pipe"
    shell: "seq 9 >{output}"

rule into_pipe:
    input: "before_pipe.txt"
    output: pipe("inner_pipe.txt")
    group: "with pipe"
    shell: "cat {input} >{output}"

rule out_of_pipe:
    input: "inner_pipe.txt"
    output: "out_of_pipe.txt"
    group: "with pipe"
    shell: "cat {input} >{output}"

rule counted:
    input: "out_of_pipe.txt"
    output: "counted.txt"
    group: "with pipe"
    shell: "wc -l <{input} >{output}"

# A service that two jobs use; it takes a while to be ready.
rule service:
    output: service("service.txt")
    shell: "sleep 0.5; echo ready >{output}; echo up >service.log; sleep 1000"

rule use_service:
    input: "service.txt"
    output: "use.{i}.txt"
    shell: "cat {input} >{output}; test -e service.log"

rule served:
    input: expand("use.{i}.txt", i=[1, 2])
    output: "served.txt"
    shell: "cat {input} >{output}"

# A service with a pipe of requests, in a group.
rule server:
    output: service("server.txt")
    group: "server"
    shell: "mkdir -p requests; touch {output}; while :; do sleep 0.1; done"

rule answers:
    input: "server.txt"
    output: "answers.txt"
    group: "server"
    shell: "test -d requests; echo answered >{output}"

# A checkpoint within a group decides what runs after it.
rule before_choice:
    output: "before_choice.txt"
    group: "choice"
    shell: "echo 3 >{output}"

checkpoint choose:
    input: "before_choice.txt"
    output: directory("choices")
    group: "choice"
    shell: "mkdir {output}; for i in $(seq $(cat {input})); do echo $i >{output}/$i.txt; done"

rule choice:
    input: "choices/{i}.txt"
    output: "chosen/{i}.txt"
    group: "choices"
    shell: "sed s/^/choice/ {input} >{output}"

def chosen(wildcards):
    folder = checkpoints.choose.get().output[0]
    return expand("chosen/{i}.txt", i=sorted(glob_wildcards(folder + "/{i}.txt").i))

rule chosen:
    input: chosen
    output: "chosen.txt"
    group: "choices"
    shell: "cat {input} >{output}"

# The whole group is tried again.
rule first:
    output: "first.txt"
    group: "retried"
    retries: 2
    shell: "echo first >{output}"

rule third:
    input: "first.txt", "chosen.txt"
    output: "third.txt"
    group: "retried"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: 10 * attempt
    shell: "[ {resources.mem_mb} = 30 ] && cat {input} >{output}"

rule alone:
    output: "alone.txt"
    group: "alone"
    shell: "echo alone >{output}"

# Equal groups, each a component of its own.
rule component_a:
    output: "component_a.{i}.txt"
    group: "component"
    shell: "echo {wildcards.i} >{output}"

rule component:
    input: "component_a.{i}.txt"
    output: "component.{i}.txt"
    group: "component"
    shell: "cat {input} {input} >{output}"

# A file that only the node has.
rule node_local:
    output: temp("scratch/local.txt", group_jobs=True)
    shell: "echo local >{output}"

rule node:
    input: "scratch/local.txt"
    output: "node.txt"
    shell: "cat {input} >{output}"

# Two files that a group writes and updates, with names that need quotes.
rule write:
    output: "to update.txt"
    group: "it's a $group"
    shell: "echo written >{output:q}"

rule updated:
    input: "to update.txt"
    output: "updated.txt", ensure("it's \"ensured\".txt", non_empty=True)
    group: "it's a $group"
    shell: "cat {input:q} >{output[0]:q}; echo x >{output[1]:q}"

# Groups named by --groups on the command line.
rule once:
    output: "once.txt"
    shell: "echo once >{output}"

rule twice:
    input: "once.txt"
    output: "twice.txt"
    shell: "cat {input} {input} >{output}"
