# Rules that need an interpreter; test_languages.py asks for those whose interpreter is installed.
import os

rule by_r:
    input: "inputs/a.txt"
    output: "by_r.txt"
    params: word="a 'word'", number=2
    threads: 2
    script: "scripts/write.R"

rule by_xonsh:
    output: "by_xonsh.txt"
    params: word="word"
    script: "scripts/write.xsh"

rule by_hy:
    output: "by_hy.txt"
    params: word="word"
    script: "scripts/write.hy"

rule by_julia:
    output: "by_julia.txt"
    params: word="word"
    script: "scripts/write.jl"

rule by_rust:
    output: "by_rust.txt"
    params: word="word"
    script: "scripts/write.rs"

rule by_notebook:
    input: "inputs/a.txt"
    output: "by_notebook.txt"
    log: notebook="logs/notebook.ipynb"
    params: word="word"
    threads: 2
    notebook: "scripts/write.ipynb"

rule in_shadow:
    input: "inputs/a.txt"
    output: "in_shadow.txt"
    params: word="shadow"
    shadow: "minimal"
    notebook: "scripts/write.ipynb"

rule by_cwl:
    input: first="inputs/a.txt"
    output: name="by_cwl.txt"
    params: word="a 'word'"
    cwl: os.environ["TOOL"]

rule by_space:
    output: "by_space.txt"
    params: word="spaces"
    script: "scripts/with a space.py"
