"""What operators do to the items of channels: pure functions on lists, one module per family."""
