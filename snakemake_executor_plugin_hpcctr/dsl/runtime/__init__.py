"""From a task of the plan to its script, and from its folder to its manifest."""
