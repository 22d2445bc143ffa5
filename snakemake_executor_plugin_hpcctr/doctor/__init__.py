"""What could keep a run from working, looked at before anything is submitted.

`gather` asks this machine, Slurm and nodes; everything else is pure: facts → findings.
"""
