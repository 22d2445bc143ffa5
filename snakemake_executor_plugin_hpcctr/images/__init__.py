"""Images: what a reference means, and the folder of those that were pulled."""
