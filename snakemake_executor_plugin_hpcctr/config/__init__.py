"""What the user configured: hpcctr.yaml, rule resources and flags → settings with their origin."""
