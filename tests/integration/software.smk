# Where the software of a rule comes from; test_software.py runs it by each executor.
container: config["image"]
HOST = "host.txt", "module_script.txt", "conda.txt", "named.txt", "modules.txt", "no_module.txt", "wrapped.txt"
INSIDE = "inside.txt", "script.txt", "conda_inside.txt", "shell_exec.txt", "shadow.txt", "own.txt"

rule all:
    input: *(HOST if config["where"] == "host" else INSIDE)

rule inside:
    output: "inside.txt"
    threads: 2
    shell:
        "grep VERSION_CODENAME /etc/os-release >{output}; basename $PWD >>{output}; "
        "echo $OMP_NUM_THREADS >>{output}"

rule script:
    output: "script.txt"
    params: word="a 'word'"
    script: "scripts/write.py"

rule conda_inside:
    output: "conda_inside.txt"
    conda: "env.yaml"
    shell: "grep VERSION_CODENAME /etc/os-release >{output}; hello-conda >>{output}"

rule shell_exec:
    output: "shell_exec.txt"
    resources: shell_exec="sh"
    shell: "echo ${{BASH_VERSION:-no bash}} >{output}"

rule shadow:
    input: "env.yaml"
    output: "shadow.txt"
    shadow: "minimal"
    shell: "echo rubbish >rubbish.txt; cat {input} >{output}"

rule own:
    output: "own.txt"
    container: config["other"]
    shell: "grep VERSION_CODENAME /etc/os-release >{output}"

rule host:
    output: "host.txt"
    container: None
    shell: "grep VERSION_CODENAME /etc/os-release >{output}"

rule conda:
    output: "conda.txt"
    container: None
    conda: "env.yaml"
    shell: "hello-conda >{output}; echo ${{PYTHONPATH-none}} >>{output}"

rule named:
    output: "named.txt"
    container: None
    conda: config["named"]
    shell: "hello-conda >{output}; basename $CONDA_PREFIX >>{output}"

rule modules:
    output: "modules.txt"
    container: None
    envmodules: "tool/1.0"
    shell:
        "module-tool >{output}; echo $TOOL_HOME >>{output}; "
        "module list 2>&1 | grep -o 'tool/1.0' >>{output}"

# Snakemake asks the module for its Python and takes it.
rule module_script:
    output: "module_script.txt"
    container: None
    envmodules: "tool/1.0"
    script: "scripts/python.py"

# As locally: a module that cannot be loaded is reported, and the command runs.
rule no_module:
    output: "no_module.txt"
    container: None
    envmodules: "nothing/0"
    shell: "echo ran >{output}"

rule wrapped:
    output: "wrapped.txt"
    container: None
    wrapper: "file:" + os.path.join(workflow.basedir, "wrapper")
