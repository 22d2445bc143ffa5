"""Task → job script, and the exit marker that the script leaves behind."""
