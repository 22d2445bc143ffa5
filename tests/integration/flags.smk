# A small workflow whose runs test_flags.py changes by Snakemake's flags.
WORDS = "a", "b", "c", "d"
shell.prefix("set -e; export PREFIXED=yes; ")

onsuccess: shell("echo success >>events.log")
onerror: shell("echo error >>events.log")

rule all:
    input: "last.txt"

rule source:
    output: temp("temporary.txt")
    shell: "echo temporary $PREFIXED >{output}"

rule part:
    input: "temporary.txt"
    output: "parts/{word}.txt"
    params: text=config.get("text", "text")
    shell: "cat {input} >{output}; echo {params.text} {wildcards.word} {resources.extra} >>{output}"

rule last:
    input: expand("parts/{word}.txt", word=WORDS)
    output: "last.txt"
    shell: "cat {input} >{output}"

rule folder:
    output: "tmpdir.txt"
    shell: "echo {resources.tmpdir} $TMPDIR $TMP $TEMP $TEMPDIR >{output}; ls -d $TMPDIR >>{output}"

rule fails:
    output: "failed.txt"
    log: "failed.log"
    shell: "echo half | tee {output} >{log}; [ {config[fail]} = no ]; echo whole >>{output}"

rule third:
    output: "third.txt"
    resources: tries=lambda wildcards, attempt: attempt
    shell: "[ {resources.tries} = 3 ]; echo {resources.tries} >{output}"

rule cached:
    output: "cached.txt"
    cache: True
    shell: "date +%s.%N >{output}"

rule unchecked:
    output: ensure("unchecked.txt", non_empty=True)
    shell: "touch {output}"

rule writes_nothing:
    output: "nothing.txt"
    shell: "true"
