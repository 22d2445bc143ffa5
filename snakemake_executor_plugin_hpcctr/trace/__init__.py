"""What a run leaves behind: its folder, and one database of all tasks of the directory."""
