# `run:` blocks with whatever they may use; test_runner.py runs it by each executor.
import collections
import helper_of_run

envvars: "GIVEN"
configfile: "config.yaml"
workdir: "sub folder"

include: "more/included.smk"

module other:
    snakefile: "more/module.smk"
    config: config["other"]

use rule from_module from other as other_*

Pair = collections.namedtuple("Pair", ["left", "right"])
CONSTANT = {"a": [1, 2], "b": None}


class Mine:
    def __init__(self, number):
        self.number = number

    def __repr__(self):
        return f"Mine({self.number})"


class Function:
    def __init__(self):
        self.call = lambda number: number + 1

    def __repr__(self):
        return "Function()"


def double(number):
    return 2 * number


onstart:
    with open("started.txt", "a") as stream:
        print("started", file=stream)

rule all:
    default_target: True
    input:
        "plain.txt", "values.txt", "calls.txt", "odd it's \"x\" $HOME é.txt", "shadowed.txt",
        "with_log.txt", "benchmarked.txt", "environment.txt", "third_try.txt", "gathered.txt",
        "included.txt", "module.txt", "inherited.txt", "lambda.txt", "planned.txt", "by_class.txt",
        "file_param.txt", "touched.txt", "folder", "processes.txt", "config.txt", "kept.txt",
        "imported.txt", "nested.txt", "updated.txt"

rule plain:
    output: "plain.txt"
    threads: 2
    resources: mem_mb=200, mine="text"
    run:
        with open(output[0], "w") as stream:
            print("plain", rule, threads, resources.mem_mb, resources.mine, jobid > -1, file=stream)

rule values:
    input: first="plain.txt", rest=["plain.txt"]
    output: text="{name}s.txt"
    wildcard_constraints: name="value"
    params: 3, text="a 'b' \"c\" $d\nnext", pair=(1, {"x": 2.5}), made=lambda w, input: len(input)
    run:
        with open(output.text, "w") as stream:
            print(list(params), params.text, params.pair, params.made, file=stream)
            print(wildcards.name, input.first, list(input.rest), list(input), file=stream)
            print(CONSTANT, double(21), Pair(1, 2), os.path.basename(os.getcwd()), file=stream)

rule calls:
    output: "calls.txt"
    params: words="two  words"
    threads: 2
    run:
        shell("echo {params.words:q} {threads} $OMP_NUM_THREADS >{output}; [ $TMPDIR = {resources.tmpdir} ]")
        for line in shell("printf 'one\\ntwo\\n'", iterable=True):
            shell("echo line {line} >>{output}")
        text = shell("echo read", read=True)
        with open(output[0], "a") as stream:
            stream.write(text)

rule odd:
    output: "odd it's \"x\" $HOME é.txt"
    run:
        with open(output[0], "w") as stream:
            print(output[0], file=stream)

rule shadowed:
    input: "plain.txt"
    output: "shadowed.txt"
    shadow: "minimal"
    run:
        open("rubbish.txt", "w").close()
        shell("cat {input} >{output}; echo shadowed >>{output}")

rule with_log:
    output: "with_log.txt"
    log: "logs/deep/a.log"
    run:
        with open(log[0], "w") as stream:
            print("logged", file=stream)
        shell("touch {output} 2>>{log}")

rule benchmarked:
    output: "benchmarked.txt"
    benchmark: repeat("benchmark.tsv", 3)
    run:
        import time
        time.sleep(0.2)
        shell("echo {bench_iteration} >{output}")

rule environment:
    output: "environment.txt"
    run:
        with open(output[0], "w") as stream:
            print(os.environ["GIVEN"], file=stream)

rule third_try:
    output: "third_try.txt"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: 100 * attempt
    run:
        if resources.mem_mb < 300:
            raise ValueError(f"not yet: {resources.mem_mb}")
        shell("echo {resources.mem_mb} >{output}")

checkpoint scatter:
    output: directory("parts")
    run:
        os.makedirs(output[0])
        for number in (1, 2):
            with open(f"{output[0]}/{number}.txt", "w") as stream:
                print("part", number, file=stream)

def parts(wildcards):
    folder = checkpoints.scatter.get().output[0]
    return expand(folder + "/{i}.txt", i=sorted(glob_wildcards(folder + "/{i}.txt").i))

rule gathered:
    input: parts
    output: "gathered.txt"
    run:
        with open(output[0], "w") as stream:
            print(checkpoints.scatter.get().output[0], file=stream)
        shell("cat {input} >>{output}")

use rule plain as inherited with:
    output: "inherited.txt"

# Cannot be sent to a node: Snakemake itself runs it there.
rule by_lambda:
    output: "lambda.txt"
    params: function=Function()
    benchmark: "lambda.benchmark.tsv"
    run:
        with open(output[0], "w") as stream:
            print(params.function.call(1), file=stream)

rule planned:
    output: "planned.txt"
    run:
        with open(output[0], "w") as stream:
            print(len(list(workflow.dag.jobs)) > 0, file=stream)

rule by_class:
    output: "by_class.txt"
    params: value=Mine(7), pair=Pair("l", "r")
    run:
        with open(output[0], "w") as stream:
            print(params.value.number, isinstance(params.value, Mine), params.pair, file=stream)

rule file_param:
    input: "plain.txt"
    output: "file_param.txt"
    params: file=lambda w, input: input[0]
    run:
        with open(output[0], "w") as stream:
            print(params.file, isinstance(params.file, str), file=stream)

rule touched:
    output: touch("touched.txt")
    run:
        pass

rule folder:
    output: directory("folder")
    run:
        os.makedirs(f"{output}/deep")
        open(f"{output}/deep/file.txt", "w").close()

rule processes:
    output: "processes.txt"
    run:
        from multiprocessing.pool import ThreadPool  # forks of Snakemake's own threads may hang
        with ThreadPool(2) as pool:
            found = pool.map(double, [1, 2, 3])
        with open(output[0], "w") as stream:
            print(found, file=stream)

rule config:
    output: "config.txt"
    run:
        with open(output[0], "w") as stream:
            print(sorted(config.items(), key=str), file=stream)

rule temporary:
    output: temp("temporary.txt")
    run:
        shell("echo temporary >{output}")

rule kept:
    input: "temporary.txt"
    output: protected("kept.txt")
    run:
        shell("cat {input} >{output}")

rule imported:
    output: "imported.txt"
    run:
        with open(output[0], "w") as stream:
            print(helper_of_run.NAME, workflow.source_path("helper_of_run.py")[-3:], file=stream)

rule updated:
    output: update("updated.txt")
    run:
        with open(output[0], "a") as stream:
            print("updated", file=stream)

rule nested:
    output: "nested.txt"
    run:
        def write(text):
            with open(output[0], "w") as stream:
                print(*(word for word in text.split()), file=stream)
        write("from a nested function")
